"""Invitations as values: the limits of a link, and the reasons that refuse a guest.

Owns the rules and the texts. Knows no signature (`access` makes those), no database and no page.
"""

import math
import secrets
from dataclasses import dataclass
from typing import Literal

from lib.domain.clock import DAY_MS

PATH = "/invite"
"""The path of links."""
DAYS, MAX_DAYS = 30, 365
"""Default and longest lifetime of a link, in days."""

Refusal = Literal["uninvited", "unknown", "revoked", "expired", "used_up"]
"""The reason that refuses a guest. `uninvited`: without a link; `unknown`: with a link that we did not sign."""

REFUSAL_WORDS: dict[Refusal, tuple[str, str]] = {
    "uninvited": (
        "This page is by invitation",
        "If somebody sent you a link, please open it once more. If not, ask the person who told you about this page.",
    ),
    "unknown": (
        "This link does not work",
        "A part of it may have been lost on the way. Please copy the whole link, or ask the person who sent it.",
    ),
    "revoked": (
        "This invitation has ended",
        "The person who sent it has closed it. If that surprises you, please ask them.",
    ),
    "expired": (
        "This invitation has run out",
        "It was good for a limited time. The person who sent it can send you a new one.",
    ),
    "used_up": (
        "This invitation has been used up",
        "It was good for a limited number of people, and they are here. The person who sent it can send you a new one.",
    ),
}
"""The texts for a guest: the reason, and what can be done about it."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """One link. `id` is random and stands for the name in events and logs.

    `sessions`: browsers that it lets in, None for any number; `used`: how many it has let in so far, the last one at
    `last_ms`. `group` is forced on its guests, `usd` limits the cost of all their answers, and with
    `compare` they compare two answers instead of taking part in the A/B test. Times in milliseconds since 1970.
    """

    id: str
    name: str
    created_ms: int
    expires_ms: int
    sessions: int | None = None
    group: str | None = None
    usd: float | None = None
    revoked_ms: int | None = None
    used: int = 0
    last_ms: int | None = None
    compare: bool = False

    def over(self, now_ms: int) -> Refusal | None:
        """Return the reason why the link is no longer valid, None while it is.

        >>> Invitation("a", "A", 0, 5).over(4), Invitation("a", "A", 0, 5).over(5)
        (None, 'expired')
        """
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if now_ms >= self.expires_ms else None

    def closed(self, now_ms: int) -> Refusal | None:
        """Return the reason why the link admits no further browser, None while it does.

        >>> Invitation("a", "A", 0, 5, sessions=2, used=2).closed(1)
        'used_up'
        """
        full = self.sessions is not None and self.used >= self.sessions
        return self.over(now_ms) or ("used_up" if full else None)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a new invitation: its lifetime in days, and the limits that `Invitation` describes."""

    days: int = DAYS
    sessions: int | None = None
    group: str | None = None
    usd: float | None = None
    compare: bool = False


def new_invitation(name: str, terms: Terms, now_ms: int) -> Invitation:
    """Return an invitation that is valid from now on. Raises ValueError with a sentence for the operator.

    >>> new_invitation("Ann's team", Terms(days=7, sessions=20), 0).expires_ms == 7 * DAY_MS
    True
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise ValueError("The name must have 1 to 80 characters.")
    if not 1 <= terms.days <= MAX_DAYS:
        raise ValueError(f"The days must be a whole number from 1 to {MAX_DAYS}.")
    if terms.sessions is not None and not 1 <= terms.sessions <= 1_000_000:
        raise ValueError("The sessions must be a whole number from 1 to 1000000.")
    if terms.usd is not None and not 0 < terms.usd < math.inf:
        raise ValueError("The US dollars must be above 0, such as 5 or 0.50.")
    if terms.compare and terms.group is not None:
        raise ValueError("Guests either get one group or compare two answers: leave one of the two out.")
    return Invitation(
        secrets.token_hex(6),
        name,
        created_ms=now_ms,
        expires_ms=now_ms + terms.days * DAY_MS,
        sessions=terms.sessions,
        group=terms.group,
        usd=terms.usd,
        compare=terms.compare,
    )


def address(public_url: str, token: str) -> str:
    """Return the link to hand out.

    >>> address("https://chat.example.org/", "token")
    'https://chat.example.org/invite/token'
    """
    return f"{public_url.rstrip('/')}{PATH}/{token}"
