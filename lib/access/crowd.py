"""Limits for an open link on the internet, for each network and for all together.

The counts are those of one process, so each replica has its own. Browsers on this machine or in a private network have
no limits.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lib.domain.completion import Limit
from lib.domain.recent import Recent

PLACES = 10_000
"""Networks remembered; beyond that the least recently seen are dropped."""
UNNAMED = "?"
"""The place of all clients behind a proxy that `PARLEY_TRUSTED_PROXIES` does not name. Only the common limits apply to
it."""


class Bucket:
    """A token bucket: a burst, and a steady rate per second.

    >>> clock = iter([0.0, 0.0, 0.0, 0.0, 1.0]).__next__
    >>> bucket = Bucket(2, 1.0, clock)
    >>> [bucket.take() for _ in range(4)]
    [True, True, False, True]
    """

    __slots__ = ("_clock", "_last", "_tokens", "burst", "per_s")

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.burst, self.per_s, self._clock = burst, per_s, clock
        self._tokens, self._last = float(burst), clock()

    def take(self) -> bool:
        """Take one token and return True, or return False when none is left."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._last) * self.per_s)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self) -> float:
        """Return the seconds until the next token."""
        return max(0.0, (1 - self._tokens) / self.per_s)


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits of one kind: burst and hourly rate, for one network and for all together."""

    burst: int
    an_hour: float
    burst_of_all: int
    an_hour_of_all: float


REQUESTS = Pace(3_000, 360_000, 20_000, 3_600_000)
"""A first page takes about ninety requests, a later one ten."""
VISITORS = Pace(200, 200, 2_000, 2_000)
QUESTIONS = Pace(60, 300, 300, 2_000)
"""Sixty in the first minute, and 300 an hour."""
AT_ONCE, AT_ONCE_OF_ALL = 8, 40
"""Concurrent answers, for one network and for all."""
PAGES, PAGES_OF_ALL = 200, 5_000
"""Open pages, for one network and for all."""


class Ended(Protocol):
    """An object with an end, such as an answer."""

    @property
    def completion(self) -> object: ...


class _Waiting:
    """An answer that was admitted and has not begun."""

    completion = None


class _Paces:
    """The buckets of one kind, by place."""

    def __init__(self, pace: Pace, clock: Callable[[], float]) -> None:
        self._pace, self._clock = pace, clock
        self._all = Bucket(pace.burst_of_all, pace.an_hour_of_all / 3_600, clock)
        self._places: Recent[str, Bucket] = Recent(PLACES)

    def take(self, place: str) -> float:
        """Count one and return 0, or return the seconds until there is room."""
        bucket = self._all if place == UNNAMED else self._of(place)
        if not bucket.take():
            return bucket.wait_s()
        return 0.0 if bucket is self._all or self._all.take() else self._all.wait_s()

    def _of(self, place: str) -> Bucket:
        bucket = self._places.get(place)
        if bucket is None:
            bucket = Bucket(self._pace.burst, self._pace.an_hour / 3_600, self._clock)
        self._places[place] = bucket
        return bucket


class Crowd:
    """The limits of one process. Thread-safe. An empty place is a browser nearby, which has no limit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._requests, self._visitors = _Paces(REQUESTS, clock), _Paces(VISITORS, clock)
        self._questions = _Paces(QUESTIONS, clock)
        self._answers: dict[str, tuple[str, Ended]] = {}
        self._pages: dict[str, int] = {}

    def request(self, place: str) -> float:
        """Return the seconds until a request may be served; 0 for now."""
        return self._take(self._requests, place)

    def visitor(self, place: str) -> float:
        """Return the seconds until a new visitor may begin; 0 for now."""
        return self._take(self._visitors, place)

    def _take(self, paces: _Paces, place: str) -> float:
        if not place:
            return 0.0
        with self._lock:
            return paces.take(place)

    def open_page(self, place: str) -> bool:
        """Return True, and count an open page, unless there are too many."""
        with self._lock:
            of_place, of_all = self._pages.get(place, 0), sum(self._pages.values())
            if place and (of_all >= PAGES_OF_ALL or (place != UNNAMED and of_place >= PAGES)):
                return False
            if place:
                self._pages[place] = of_place + 1
            return True

    def close_page(self, place: str) -> None:
        """Remove an open page from the count."""
        with self._lock:
            remaining = self._pages.pop(place, 0) - 1
            if remaining > 0:
                self._pages[place] = remaining

    def ask(self, answer_id: str, place: str) -> Limit | None:
        """Count an answer before it is asked for, or return the limit that it meets."""
        if not place:
            return None
        with self._lock:
            self._answers = {key: entry for key, entry in self._answers.items() if entry[1].completion is None}
            of_place = sum(entry_place == place for entry_place, _ in self._answers.values())
            if len(self._answers) >= AT_ONCE_OF_ALL or (place != UNNAMED and of_place >= AT_ONCE):
                return "busy"
            if self._questions.take(place):
                return "address"
            self._answers[answer_id] = (place, _Waiting())
        return None

    def began(self, answer_id: str, answer: Ended) -> None:
        """Replace an admitted answer by its running one, which counts until it has a completion."""
        with self._lock:
            if answer_id in self._answers:
                self._answers[answer_id] = (self._answers[answer_id][0], answer)

    def withdraw(self, answer_id: str) -> None:
        """Release an admitted answer that is not asked for after all."""
        with self._lock:
            self._answers.pop(answer_id, None)
