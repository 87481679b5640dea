"""One thread that writes: facts are queued in microseconds and committed in groups.

Owns the queue, the receipts, and the retries while the store is away. Knows neither tables nor statements: a fact is a
function of a connection. Each fact is atomic and may run more than once, so it must be idempotent.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection

from lib.domain.record import StoreError, StoreFailure
from lib.store.failures import away, explain

log = logging.getLogger("parley.store")

Fact = Callable[[Connection], Any]

GROUP = 200
"""Most facts in one commit."""
VITAL_LIMIT, SIGNAL_LIMIT, PROGRESS_LIMIT = 100_000, 50_000, 10_000
"""Longest queue that still accepts a vote or answer, a signal, the progress of a running answer. Beyond it the newcomer
is refused, the least important kind first."""
RETRY_S = (0.05, 1.0)
"""First and longest pause between two attempts while the store is away."""
STALLED_S = 2.0
"""Seconds after which a pending commit means that the store hangs."""


class StoreMeter(Protocol):
    """The receiver of the store's measurements. Called on any thread, so it must be quick and never raise."""

    def committed(self, facts: int, seconds: float) -> None: ...
    def read(self, seconds: float) -> None: ...
    def store_failed(self, how: StoreFailure) -> None: ...


class Unmetered:
    """A meter that ignores all measurements."""

    def committed(self, facts: int, seconds: float) -> None:
        """Observe a committed group."""

    def read(self, seconds: float) -> None:
        """Observe a read."""

    def store_failed(self, how: StoreFailure) -> None:
        """Count a failed write or read."""


class Ticket:
    """The receipt of a fact."""

    __slots__ = ("_decided", "_fact", "_keep", "_key", "committed", "result")

    def __init__(self, fact: Fact, key: str | None = None, keep: bool = True) -> None:
        self._fact: Fact | None = fact
        self._key, self._keep = key, keep
        self._decided = threading.Event()
        self.committed = False
        self.result: Any = None

    @property
    def done(self) -> bool:
        """True once it is committed or given up (see `committed`)."""
        return self._decided.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most this many seconds; True when it is committed, so that no crash of this process can lose it."""
        self._decided.wait(timeout)
        return self.committed

    def _decide(self, committed: bool) -> None:
        self.committed, self._fact = committed, None
        self._decided.set()


class Writer:
    """The queue of facts and the thread that commits them. Public methods are thread-safe.

    `begin` opens a transaction, which commits when its block ends.
    """

    def __init__(
        self, begin: Callable[[], AbstractContextManager[Connection]], meter: StoreMeter | None = None
    ) -> None:
        self._begin, self._meter = begin, meter or Unmetered()
        self._queue: deque[Ticket] = deque()
        self._keys: dict[str, Ticket] = {}
        self._news = threading.Condition(threading.Lock())
        self._in_hand: list[Ticket] = []
        self._closing, self._abandon = False, threading.Event()
        self._error: str | None = None
        self._began_at = math.inf  # start of the pending commit; all on the monotonic clock
        self.committed_at = -math.inf
        self._reported_at = -math.inf
        self.returned_at = -math.inf  # when the store was last found to work again
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Count facts that are neither committed nor given up."""
        return len(self._queue) + len(self._undecided())

    @property
    def error(self) -> str | None:
        """The reason why nothing can be written, as a sentence for the operator; None when the last attempt
        succeeded."""
        return self._error or self.hangs

    @property
    def hangs(self) -> str | None:
        """The sentence about a commit that gets no answer; None otherwise."""
        seconds = time.monotonic() - self._began_at
        return f"The store has not answered for {seconds:.0f} s" if seconds > STALLED_S else None

    def submit(self, fact: Fact, *, limit: int = VITAL_LIMIT, key: str | None = None, keep: bool = True) -> Ticket:
        """Queue a fact. Never waits, never raises.

        A fact replaces a waiting one with the same `key`. `keep` False: given up as soon as the store turns out to be
        away.
        """
        with self._news:
            if key is not None and (waiting := self._keys.get(key)) is not None:
                waiting._fact = fact
                return waiting
            receipt = Ticket(fact, key, keep)
            refused = self._closing or len(self._queue) >= limit
            if not refused:
                self._queue.append(receipt)
                if key is not None:
                    self._keys[key] = receipt
                self._news.notify()
        if refused:
            receipt._decide(False)
            self._meter.store_failed("refused")
            self._report_refusal()
        return receipt

    def call(self, fact: Fact, timeout: float = 5.0, *, keep: bool = False) -> Any:
        """Run a fact in a transaction and return its result. Raises StoreError on failure or timeout.

        `keep`: wait that long for a store that is away, too.
        """
        receipt = self.submit(fact, keep=keep)
        if receipt.wait(timeout):
            return receipt.result
        with self._news:
            if receipt in self._queue:
                self._queue.remove(receipt)
        if isinstance(receipt.result, Exception):
            raise StoreError(f"The store refused it: {explain(receipt.result)}") from receipt.result
        raise StoreError(self.error or f"The store did not answer within {timeout:g} s")

    def close(self, timeout: float) -> bool:
        """Write what is queued, for at most this long, and end the thread; True when nothing was lost."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(timeout)
        self._abandon.set()
        self._thread.join(1.5)
        lost = [*self._undecided(), *self._queue]
        for receipt in lost:
            receipt._decide(False)
        if lost:
            log.error("the store was away at the end: facts are lost", extra={"facts": len(lost)})
        return not lost

    def _report_refusal(self) -> None:
        """Report at most once a minute: a full queue refuses many."""
        if time.monotonic() - self._reported_at > 60:
            self._reported_at = time.monotonic()
            log.error("facts are refused", extra={"cause": "closed" if self._closing else "the queue is full"})

    def _undecided(self) -> list[Ticket]:
        return [receipt for receipt in self._in_hand if not receipt.done]

    def _run(self) -> None:
        while group := self._take():
            self._write(group)

    def _take(self) -> list[Ticket]:
        with self._news:
            self._news.wait_for(lambda: self._queue or self._closing)
            if self._abandon.is_set():
                return []
            self._in_hand = [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]
            for receipt in self._in_hand:
                if receipt._key is not None:
                    del self._keys[receipt._key]
            return self._in_hand

    def _write(self, group: list[Ticket]) -> None:
        """Commit a group, with retries; when one fact cannot be written, commit each alone."""
        pause = RETRY_S[0]
        while group:
            try:
                self._commit(group)
                return
            except Exception as error:
                if not away(error):
                    self._write_singly(group, error)
                    return
                group = self._hold(group, error)
            if group and self._abandon.wait(pause):
                return
            pause = min(2 * pause, RETRY_S[1])

    def _commit(self, group: list[Ticket]) -> None:
        self._began_at = time.monotonic()
        try:
            with self._begin() as connection:
                for receipt in group:
                    if receipt._fact is not None:
                        receipt.result = receipt._fact(connection)
            now = time.monotonic()
            self._meter.committed(len(group), now - self._began_at)
            self._well(now)
        finally:
            self._began_at = math.inf
        for receipt in group:
            receipt._decide(True)

    def _well(self, now: float) -> None:
        """Note that the store has just committed something."""
        self.committed_at = now
        if self._error or now - self._began_at > STALLED_S:
            self._error, self.returned_at = None, now
            log.warning("the store is back", extra={"facts": len(self)})

    def _write_singly(self, group: list[Ticket], error: Exception) -> None:
        if len(group) > 1:
            for receipt in group:
                self._write([receipt])
            return
        self._meter.store_failed("fact")
        log.error("a fact cannot be written", extra={"error": type(error).__name__, "cause": explain(error)})
        group[0].result = error
        group[0]._decide(False)

    def _hold(self, group: list[Ticket], error: Exception) -> list[Ticket]:
        """Note why the store is away, and give up facts that need not be kept."""
        self._meter.store_failed("away")
        if self._error is None:
            log.error("the store is away; what is to be written waits", extra={"cause": explain(error)})
        self._error = f"The store cannot be written: {explain(error)}"
        for receipt in group:
            if not receipt._keep:
                receipt._decide(False)
        return [receipt for receipt in group if receipt._keep]
