"""Signed-out sessions of operators and accounts: their cookies may survive but are rejected.

The record lists them for all replicas. Each process caches the record's answer for a moment, because every script run
asks. Knows neither a cookie nor a page.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from lib.domain.recent import Recent

REMEMBERED = 10_000
FRESH_S, TRUSTED_S = 1.0, 60.0
"""Seconds for which a session is trusted after the record confirmed it, and while the record cannot be read."""


class Record(Protocol):
    """The record of ended sessions. Both methods may raise."""

    def end_sessions(self, sessions: Sequence[str]) -> None: ...
    def session_ended(self, session: str) -> bool: ...


class Sessions:
    """The sessions of one process. Thread-safe."""

    def __init__(self, record: Record, clock: Callable[[], float] = time.monotonic) -> None:
        self._record, self._clock, self._lock = record, clock, threading.Lock()
        self._ended: Recent[str, bool] = Recent(REMEMBERED)
        self._going_on: Recent[str, float] = Recent(REMEMBERED)

    def end(self, sessions: Sequence[str]) -> None:
        """End these sessions for good. Raises what the record raises."""
        self._record.end_sessions(sessions)
        for session in sessions:
            self._remember_end(session)

    def ended(self, session: str) -> bool:
        """Return True for a session that was signed out, or that, while the record cannot be read, was not confirmed in
        the last `TRUSTED_S`."""
        with self._lock:
            confirmed_at = self._going_on.get(session)
            if session in self._ended:
                return True
        now = self._clock()
        if confirmed_at is not None and now - confirmed_at < FRESH_S:
            return False
        try:
            over = self._record.session_ended(session)
        except Exception:
            return confirmed_at is None or now - confirmed_at >= TRUSTED_S
        if over:
            self._remember_end(session)
        else:
            with self._lock:
                self._going_on[session] = now
        return over

    def _remember_end(self, session: str) -> None:
        with self._lock:
            self._going_on.pop(session, None)
            self._ended[session] = True
