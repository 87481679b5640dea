"""Budgets: an answer's cost is reserved before its question is sent and settled when the answer has ended.

Owns the limits, the reservation, and the texts at a limit. The store counts the spending, for all replicas together.
Knows no SQL, no model server and no page.

While the store is away, no question waits for it. This process then judges by the last known state and by what it has
admitted since, and the store counts those questions later. Meanwhile each replica may spend what was left of a limit,
so that all replicas together can exceed it.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from lib.domain.budget import EVERYBODY, FOR_GOOD, Account, Held, Judged, Spent, invitation_account, visitor_account
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion, Limit
from lib.domain.recent import Recent
from lib.domain.record import StoreError

LIMIT_WORDS: Mapping[Limit, str] = {
    "day": "Today's answers are used up for everybody.",
    "visitor": "You have had all your answers for today.",
    "address": "Many questions have come from your network. Please try again in a few minutes.",
    "busy": "Many people are asking at the same time. Please try again in a minute.",
    "invitation": "What your invitation allows has been used up. Please ask the person who sent it to you.",
}
"""The text that replaces an answer at a limit. For a day's limit the page adds the time at which it ends, in the
reader's time zone."""
WAIT_S = 0.25
"""Seconds that a question waits for the store. The store takes a third of a millisecond when healthy, a tenth of a
second on a busy machine; while the store is known to be away, no question waits."""
REMEMBERED = 10_000
"""Accounts whose last state this process remembers."""


class Holding(Protocol):
    """A promise of `Held`."""

    @property
    def result(self) -> object: ...
    def wait(self, timeout: float) -> bool: ...


class Till(Protocol):
    """The counter of spending. Only `allowance` and `spent` raise."""

    @property
    def healthy(self) -> bool: ...
    def hold(self, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Holding: ...
    def allowance(self, invitation_id: str) -> float | None: ...
    def settle(self, answer_id: str, completion: Completion) -> Holding: ...
    def spent(self, accounts: Iterable[Account]) -> dict[Account, Spent]: ...


class Budgets:
    """The limits of one Parley. Thread-safe."""

    def __init__(self, till: Till, usd_per_day: float | None = None, answers_per_visitor: int | None = None) -> None:
        self.usd_per_day, self.answers_per_visitor = usd_per_day, answers_per_visitor
        self._till, self._lock = till, threading.Lock()
        self._last_state: Recent[Account, Spent] = Recent(REMEMBERED)
        self._allowances: dict[str, float | None] = {}

    def reserve(
        self, answer_id: str, visitor_id: str | None, invitation_id: str | None, most_usd: Callable[[], float]
    ) -> Limit | None:
        """Count this answer and reserve its largest cost, or return the limit that it meets.

        Does nothing where nothing is limited. Without a visitor only the day's spend counts.
        """
        accounts = self._accounts(visitor_id, invitation_id)
        if not accounts:
            return None
        usd = most_usd() if any(account.usd is not None for account in accounts) else 0.0
        verdict: list[bool] = []
        holding = self._till.hold(answer_id, usd, accounts, lambda: verdict[0] if verdict else None)
        if self._till.healthy and holding.wait(WAIT_S) and isinstance(held := holding.result, Held):
            self._remember(held.spent)
            return held.limit
        limit = self._judge(accounts, usd)
        verdict.append(limit is None)
        return limit

    def release(self, answer_id: str) -> None:
        """Release the reservation of an answer that is not asked for after all."""
        self._till.settle(answer_id, refusal("busy"))

    def left(self, visitor_id: str) -> int | None:
        """Return how many answers a visitor has left today; None where that is not limited, or not known now."""
        if self.answers_per_visitor is None:
            return None
        account = Account("visitor", visitor_account(visitor_id), now_ms() // DAY_MS, answers=self.answers_per_visitor)
        try:
            spent = self._till.spent([account]).get(account, Spent())
        except StoreError:
            return None
        return max(0, self.answers_per_visitor - spent.answers)

    def limits_usd(self, invitation_id: str | None) -> bool:
        """Return True where a limit in US dollars applies to this visitor."""
        return self.usd_per_day is not None or (
            invitation_id is not None and self._allowance(invitation_id) is not None
        )

    def _accounts(self, visitor_id: str | None, invitation_id: str | None) -> list[Account]:
        """Return the limited accounts that a question counts under, in the order in which all replicas lock them."""
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
        """Return an invitation's own limit. It never changes, so it is read once, and again only after a failure."""
        if invitation_id not in self._allowances:
            try:
                self._allowances[invitation_id] = self._till.allowance(invitation_id)
            except Exception:  # the store let this guest in a minute ago, so a missing limit is rare and brief
                return None
        return self._allowances[invitation_id]

    def _judge(self, accounts: Sequence[Account], usd: float) -> Limit | None:
        """Judge by the last known state, without the store."""
        with self._lock:
            last = {account: self._last_state.get(account, Spent()) for account in accounts}
        limit = next((account.limit for account, spent in last.items() if account.met(spent, usd)), None)
        if limit is None:
            self._remember({account: Spent(spent.usd + usd, spent.answers + 1) for account, spent in last.items()})
        return limit

    def _remember(self, spent: Mapping[Account, Spent]) -> None:
        with self._lock:
            for account, amount in spent.items():
                self._last_state[account] = amount


def refusal(limit: Limit) -> Completion:
    """Return the completion of a refused question: no model was asked and no time passed."""
    return Completion("", "limited", math.nan, message=LIMIT_WORDS[limit], limit=limit)
