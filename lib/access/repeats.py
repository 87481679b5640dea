"""Refused questions that were refused before: told on the page, and written nowhere.

Without this, somebody at a limit fills the record with events for free. Lives in one process.
"""

import threading

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Limit
from lib.domain.recent import Recent
from lib.domain.visitor import Visitor

REMEMBERED = 20_000
"""Refusals that are remembered."""


class Repeats:
    """The refusals of a day. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: Recent[tuple[Limit, int, str], None] = Recent(REMEMBERED)

    def first(self, limit: Limit, visitor: Visitor) -> bool:
        """Return True for the first refusal by this limit today, of a visitor or of all who count as one with them."""
        network = visitor.place if limit in ("address", "busy") or not visitor.known else ""
        who = network or (visitor.visitor_id if visitor.known else "")
        key = (limit, now_ms() // DAY_MS, who)
        with self._lock:
            if key in self._told:
                return False
            self._told[key] = None
        return True
