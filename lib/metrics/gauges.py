"""Gauges that are read at each scrape: the state of the store, and values that all replicas share.

Owns these names and how often they are read. Shared values are the same on every replica: dashboards and rules take
their maximum, never their sum. No question waits for any of this.
"""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from lib.domain.budget import EVERYBODY, Account
from lib.domain.clock import DAY_MS, now_ms
from lib.metrics.counters import Metrics
from lib.store import Store

T = TypeVar("T")

ONE_SCRAPE_S = 1.0
"""Several gauges of one scrape share one read."""
SPLIT_S = 60.0
"""The split is read this rarely because it walks over all exposures."""


class Gauges:
    """The gauges of one process. `usd_per_day`: the daily budget, None without one; `split` reads the split of the
    experiment that testers get, with its name."""

    def __init__(self, store: Store, split: Callable[[], tuple[str, float | None]], usd_per_day: float | None) -> None:
        self._store, self._split, self._usd_per_day = store, split, usd_per_day

    def serve(self, metrics: Metrics) -> None:
        """Serve the gauges from now on."""
        store, limit = self._store, self._usd_per_day
        pending = Cached(store.outbox.pending, ONE_SCRAPE_S)
        metrics.gauge("parley_ready", "1 while this replica can serve, else 0", lambda: store.trouble is None)
        metrics.gauge("parley_store_queued", "Facts that wait to be written", lambda: store.queued)
        metrics.gauge("parley_outbox_pending", "Events that Statsig has not acknowledged", lambda: pending()[0])
        metrics.gauge("parley_outbox_oldest_seconds", "Age of the oldest of them", lambda: pending()[1])
        if limit is not None:
            metrics.gauge("parley_budget_usd", "What all answers of a day (UTC) may cost", lambda: limit)
            metrics.gauge("parley_budget_spent_usd", "What today's answers cost, running ones included", self._spent)
        metrics.gauge_of(
            "parley_split_log_evidence",
            "Evidence that the split is not as configured; above 6.9 it is broken",
            "experiment",
            Cached(self._split, SPLIT_S),
        )

    def _spent(self) -> float:
        today = Account("day", EVERYBODY, now_ms() // DAY_MS)
        return self._store.spending.spent([today])[today].usd


class Cached(Generic[T]):
    """The last result of `read`, refreshed after some seconds. Exceptions are not cached.

    >>> numbers = iter([1, 2])
    >>> often, seldom = Cached(lambda: next(numbers), 0), Cached(lambda: "once", 60)
    >>> often(), often(), seldom() is seldom()
    (1, 2, True)
    """

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read, self._seconds = read, seconds
        self._last: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return the current value."""
        if self._last is None or time.monotonic() - self._last[0] >= self._seconds:
            self._last = time.monotonic(), self._read()
        return self._last[1]
