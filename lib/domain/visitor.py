"""The visitor of one session, under the ids that an experiment may randomise by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

UnitType = Literal["userID", "stableID", "sessionID"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser in one Streamlit session, with the ids that an experiment may randomise by.

    `visitor_id` owns conversations (the cookie's id; the session's where there is no cookie). `user_id` is the id that
    `PARLEY_UNIT` selects. `custom` holds fields for targeting, none of which names a person. `place` is the network
    that the limits of an open link count under, empty without limits; it is never stored or sent. `known` is False for
    a browser without cookies.
    """

    visitor_id: str
    user_id: str
    stable_id: str
    session_id: str
    custom: Mapping[str, str] = field(default_factory=dict)
    place: str = field(default="", repr=False)
    known: bool = True

    def ids(self) -> dict[str, str]:
        """The three ids under Statsig's names."""
        return {"userID": self.user_id, "stableID": self.stable_id, "sessionID": self.session_id}


def device_of(user_agent: str | None) -> str | None:
    """Return the kind of device of a browser, and nothing else from its name.

    >>> device_of("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Mobile/15E148 Safari/604.1")
    'phone'
    >>> device_of("Mozilla/5.0 (Linux; Android 16; SM-X910) Chrome/150.0 Safari/537.36"), device_of("Mozilla/5.0 (X11)")
    ('tablet', 'desktop')
    >>> device_of(None)
    """
    if not user_agent:
        return None
    if "iPad" in user_agent or ("Android" in user_agent and "Mobile" not in user_agent):
        return "tablet"
    return "phone" if "Mobi" in user_agent else "desktop"
