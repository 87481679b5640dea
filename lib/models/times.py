"""The moments of one answer on a monotonic clock, and how long may be waited from each of them."""

import time


class Times:
    """Made when the question leaves. A *sign* is anything that the server sends, an *event* what says something."""

    def __init__(self) -> None:
        self._started = self._asked = self._sign = self._event = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None
        self._thinking: float | None = None

    def ask(self) -> None:
        """A request leaves, the first one or a repeat."""
        self._asked = self._event = time.monotonic()
        self._thinking = None

    def sign(self) -> None:
        """The server has sent something."""
        self._sign = time.monotonic()

    def event(self, *, thought: bool) -> None:
        """It said something; `thought`: what the model thinks."""
        self._event = time.monotonic()
        if thought and self._first is None and self._thinking is None:
            self._thinking = self._event

    def text(self) -> None:
        """Text of the answer came."""
        self._last = time.monotonic()
        if self._first is None:
            self._first = self._last

    def withdraw(self) -> None:
        """All text so far was thinking."""
        self._thinking = self._first if self._thinking is None else self._thinking
        self._first = self._last = None

    def left(self, silence_s: float, keep_alive_s: float, total_s: float) -> float:
        """Return the seconds that remain of the shortest patience."""
        until = min(self._sign + silence_s, self._event + keep_alive_s, self._started + total_s)
        return until - time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the question left."""
        return time.monotonic() - self._started

    @property
    def attempt(self) -> float:
        """Seconds since the latest request left."""
        return time.monotonic() - self._asked

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
