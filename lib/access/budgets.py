"""What answers may cost: counted before a question leaves, settled when its answer has ended.

Owns which limits a question meets, how much is set aside for it, and the words for who meets one. What everybody has
spent is the store's to know, for all replicas alike; it is handed in. Knows no SQL, no model server and no page.

While the store is away nobody waits for it: a question is then judged by what this process saw last and has let through
since, and counted when the store is back. Several replicas can so exceed a limit by what was left of it when the store
went away, each once.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lib.domain.events import DAY_MS, Completion, Limit, now_ms

WORDS: Mapping[Limit, str] = {
    "day": "Today's answers are used up for everybody.",
    "visitor": "You have had all your answers for today.",
    "invitation": "What your invitation allows has been used up. Please ask the person who sent it to you.",
}
"""What a tester reads in the place of an answer. Until when the first two hold is said in the reader's own time."""
FOR_GOOD = 0
"""The day of an account that is not counted by days."""
EVERYBODY = "everybody"
WAIT_S = 0.25
"""How long a question waits for the store's word. It takes a third of a millisecond while the store is well, a tenth of
a second on a busy machine; once the store is known to be away, nobody waits."""
REMEMBERED = 10_000
"""Accounts whose last state this process remembers."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is counted under one name on one day (UTC, days since 1970), and what it may come to. None: anything."""

    limit: Limit
    name: str
    day: int
    usd: float | None = None
    answers: int | None = None

    def met(self, spent: "Spent") -> bool:
        """Whether nothing more may be asked.

        >>> [Account("day", EVERYBODY, 1, usd=5).met(Spent(usd, 80)) for usd in (4.99, 5.0)]
        [False, True]
        """
        return (self.usd is not None and spent.usd >= self.usd) or (
            self.answers is not None and spent.answers >= self.answers
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """What an account has come to, running answers included."""

    usd: float = 0.0
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What the store said: the limit that was met, None where the answer is counted; and the accounts it looked at."""

    limit: Limit | None
    spent: Mapping[Account, Spent]


Judged = Callable[[], bool | None]
"""Whether the answer goes on, where that was decided without the store; None where the store is to say it."""


class Holding(Protocol):
    """A promise of `Held`."""

    @property
    def result(self) -> object: ...
    def wait(self, timeout: float) -> bool: ...


class Till(Protocol):
    """Who counts. Nothing of it raises but `allowance`."""

    @property
    def healthy(self) -> bool: ...
    def hold(self, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Holding: ...
    def allowance(self, invitation_id: str) -> float | None: ...


class Budgets:
    """The limits of one Parley. Any thread may ask."""

    def __init__(self, till: Till, usd_per_day: float | None = None, answers_per_visitor: int | None = None) -> None:
        self.usd_per_day, self.answers_per_visitor = usd_per_day, answers_per_visitor
        self._till, self._lock = till, threading.Lock()
        self._seen: OrderedDict[Account, Spent] = OrderedDict()
        self._allowances: dict[str, float | None] = {}

    def reserve(
        self, answer_id: str, visitor_id: str | None, invitation_id: str | None, expected_usd: Callable[[], float]
    ) -> Limit | None:
        """Count this answer and set aside what it will cost, or say which limit is met.

        Where nothing is limited, nothing is done. Without a visitor only the day's spend counts.
        """
        accounts = self._accounts(visitor_id, invitation_id)
        if not accounts:
            return None
        usd = expected_usd() if any(account.usd is not None for account in accounts) else 0.0
        verdict: list[bool] = []
        holding = self._till.hold(answer_id, usd, accounts, lambda: verdict[0] if verdict else None)
        if self._till.healthy and holding.wait(WAIT_S) and isinstance(held := holding.result, Held):
            self._remember(held.spent)
            return held.limit
        limit = self._judge(accounts, usd)
        verdict.append(limit is None)
        return limit

    def _accounts(self, visitor_id: str | None, invitation_id: str | None) -> list[Account]:
        """What a question is counted under: only what is limited. The order is the one in which all replicas count."""
        day = now_ms() // DAY_MS
        accounts = []
        if self.usd_per_day is not None:
            accounts.append(Account("day", EVERYBODY, day, usd=self.usd_per_day))
        if invitation_id is not None and (usd := self._allowance(invitation_id)) is not None:
            accounts.append(Account("invitation", invitation_account(invitation_id), FOR_GOOD, usd=usd))
        if visitor_id is not None and self.answers_per_visitor is not None:
            accounts.append(Account("visitor", visitor_account(visitor_id), day, answers=self.answers_per_visitor))
        return accounts

    def _allowance(self, invitation_id: str) -> float | None:
        """An invitation's own limit, which never changes; asked once, and again only where the store was away."""
        if invitation_id not in self._allowances:
            try:
                self._allowances[invitation_id] = self._till.allowance(invitation_id)
            except Exception:  # whoever comes by an invitation is let in by the store; it was there a minute ago
                return None
        return self._allowances[invitation_id]

    def _judge(self, accounts: Sequence[Account], usd: float) -> Limit | None:
        """Without the store: by what was seen last."""
        with self._lock:
            seen = {account: self._seen.get(account, Spent()) for account in accounts}
        limit = next((account.limit for account, spent in seen.items() if account.met(spent)), None)
        if limit is None:
            self._remember({one: Spent(spent.usd + usd, spent.answers + 1) for one, spent in seen.items()})
        return limit

    def _remember(self, spent: Mapping[Account, Spent]) -> None:
        with self._lock:
            for account, amount in spent.items():
                self._seen[account] = amount
                self._seen.move_to_end(account)
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)


def visitor_account(visitor_id: str) -> str:
    """The name under which a visitor's answers are counted."""
    return f"visitor:{visitor_id}"


def invitation_account(invitation_id: str) -> str:
    """The name under which the answers of an invitation's guests are counted."""
    return f"invitation:{invitation_id}"


def charge(completion: Completion, reserved_usd: float) -> tuple[float, int]:
    """What an ended answer costs at last, in US dollars and answers.

    One that failed before any text costs nothing. Where the cost is not known (its process died, or it was stopped
    before a word), what was set aside stays.

    >>> charge(Completion("", "error", 1.0), 0.1), charge(Completion("a", "stop", 1.0, cost_usd=0.02), 0.1)
    ((0.0, 0), (0.02, 1))
    >>> charge(Completion("", "stopped", 1.0), 0.1)
    (0.1, 1)
    """
    if completion.finish_reason in ("error", "limited"):
        return 0.0, 0
    return (reserved_usd if completion.cost_usd is None else completion.cost_usd), 1


def refusal(limit: Limit) -> Completion:
    """Instead of an answer: nobody was asked, and no time was taken."""
    return Completion("", "limited", math.nan, message=WORDS[limit], limit=limit)


def exhausted_ms(spent_usd: float, limit_usd: float, now_ms: int) -> int | None:
    """When a day's limit will be met if the day goes on as it began; None where that is not before midnight, UTC.

    >>> exhausted_ms(1.0, 2.0, 6 * 3_600_000) == 12 * 3_600_000, exhausted_ms(1.0, 9.0, 6 * 3_600_000)
    (True, None)
    """
    began = now_ms // DAY_MS * DAY_MS
    if spent_usd <= 0:
        return None
    met = began + (now_ms - began) * limit_usd / spent_usd
    return int(met) if met < began + DAY_MS else None


def until_ms(time_ms: int) -> int:
    """When a day's limit that was met then ends: the next midnight, UTC.

    >>> until_ms(1_790_000_000_000) % DAY_MS, until_ms(DAY_MS) == 2 * DAY_MS
    (0, True)
    """
    return (time_ms // DAY_MS + 1) * DAY_MS
