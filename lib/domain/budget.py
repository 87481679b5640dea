"""Budgets as values: the accounts of an answer, their state, and the cost of an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.domain.clock import DAY_MS
from lib.domain.completion import Completion, Limit

FOR_GOOD = 0
"""The day of an account that is not counted by days."""
EVERYBODY = "everybody"
CENT_PARTS = 1e-9
"""US dollars below which a difference is rounding."""


@dataclass(frozen=True, slots=True)
class Account:
    """The count under one name on one day (UTC, days since 1970), and its limits. None: unlimited."""

    limit: Limit
    name: str
    day: int
    usd: float | None = None
    answers: int | None = None

    def met(self, spent: "Spent", usd: float = 0.0) -> bool:
        """Return True where an answer that may cost this many US dollars does not fit.

        >>> [Account("day", EVERYBODY, 1, usd=5).met(Spent(usd, 80), 0.01) for usd in (4.99, 4.995, 5.0)]
        [False, True, True]
        """
        if self.answers is not None and spent.answers >= self.answers:
            return True
        return self.usd is not None and (spent.usd >= self.usd or spent.usd + usd > self.usd + CENT_PARTS)


@dataclass(frozen=True, slots=True)
class Spent:
    """The state of an account, running answers included."""

    usd: float = 0.0
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The store's decision: the limit that was met, None where the answer is counted, and the accounts involved."""

    limit: Limit | None
    spent: Mapping[Account, Spent]


Judged = Callable[[], bool | None]
"""The decision that was made without the store: True to go on; None where the store decides."""


def visitor_account(visitor_id: str) -> str:
    """Return the account of a visitor's answers."""
    return f"visitor:{visitor_id}"


def invitation_account(invitation_id: str) -> str:
    """Return the account of the answers of an invitation's guests."""
    return f"invitation:{invitation_id}"


def charge(completion: Completion, reserved_usd: float) -> tuple[float, int]:
    """Return the final cost of an ended answer, in US dollars and answers.

    An answer that failed before any text costs nothing. Where the cost is unknown (its process died, or it was stopped
    before its first text), the reservation stays.

    >>> charge(Completion("", "error", 1.0), 0.1), charge(Completion("a", "stop", 1.0, cost_usd=0.02), 0.1)
    ((0.0, 0), (0.02, 1))
    >>> charge(Completion("", "stopped", 1.0), 0.1)
    (0.1, 1)
    """
    if completion.finish_reason in ("error", "limited"):
        return 0.0, 0
    return (reserved_usd if completion.cost_usd is None else completion.cost_usd), 1


def exhausted_ms(spent_usd: float, limit_usd: float, now_ms: int) -> int | None:
    """Return the time at which a day's limit will be met at the current rate; None where that is after midnight, UTC.

    >>> exhausted_ms(1.0, 2.0, 6 * 3_600_000) == 12 * 3_600_000, exhausted_ms(1.0, 9.0, 6 * 3_600_000)
    (True, None)
    """
    began = now_ms // DAY_MS * DAY_MS
    if spent_usd <= 0:
        return None
    met = began + (now_ms - began) * limit_usd / spent_usd
    return int(met) if met < began + DAY_MS else None


def until_ms(time_ms: int) -> int:
    """Return the end of a day's limit: the next midnight, UTC.

    >>> until_ms(1_790_000_000_000) % DAY_MS, until_ms(DAY_MS) == 2 * DAY_MS
    (0, True)
    """
    return (time_ms // DAY_MS + 1) * DAY_MS
