"""The times of one answer on a monotonic clock, and the timeouts from each of them."""

import time


class Times:
    """Created when the question is sent. A *sign* is anything that the server sends, an *event* has content."""

    def __init__(self) -> None:
        self._started = self._requested = self._sign = self._event = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None
        self._thinking: float | None = None

    def ask(self) -> None:
        """Note that a request is sent, the first one or a repeat."""
        self._requested = self._event = time.monotonic()
        self._thinking = None

    def sign(self) -> None:
        """Note that the server has sent something."""
        self._sign = time.monotonic()

    def event(self, *, thought: bool) -> None:
        """Note an event with content; `thought`: it is thinking."""
        self._event = time.monotonic()
        if thought and self._first is None and self._thinking is None:
            self._thinking = self._event

    def text(self) -> None:
        """Note text of the answer."""
        self._last = time.monotonic()
        if self._first is None:
            self._first = self._last

    def withdraw(self) -> None:
        """Note that all text so far was thinking."""
        self._thinking = self._first if self._thinking is None else self._thinking
        self._first = self._last = None

    def left(self, silence_s: float, keep_alive_s: float, total_s: float) -> float:
        """Return the seconds until the nearest timeout."""
        until = min(self._sign + silence_s, self._event + keep_alive_s, self._started + total_s)
        return until - time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the question was sent."""
        return time.monotonic() - self._started

    @property
    def attempt(self) -> float:
        """Seconds since the latest request was sent."""
        return time.monotonic() - self._requested

    @property
    def answered(self) -> float:
        """Seconds from the question to the last text, or to the last event where no text came."""
        return (self._event if self._last is None else self._last) - self._started

    @property
    def first_text(self) -> float | None:
        """Seconds from the question to the first text of the answer."""
        return None if self._first is None else self._first - self._started

    @property
    def thinking(self) -> float | None:
        """Seconds from the first thinking to the first text, or to the last event where no text came."""
        if self._thinking is None:
            return None
        return max(0.0, (self._event if self._first is None else self._first) - self._thinking)
