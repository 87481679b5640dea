"""Repeated refusals: shown on the page, but not recorded again.

Otherwise a visitor at a limit could fill the record with events for free. Each process counts for itself.
"""

import threading

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Limit
from lib.domain.recent import Recent
from lib.domain.visitor import Visitor

REMEMBERED = 20_000
"""Refusals remembered."""


class Repeats:
    """The refusals of a day. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: Recent[tuple[Limit, int, str], None] = Recent(REMEMBERED)

    def first(self, limit: Limit, visitor: Visitor) -> bool:
        """Return True for the first refusal by this limit today, of a visitor or of all browsers that count as one."""
        network = visitor.place if limit in ("address", "busy") or not visitor.known else ""
        account = network or (visitor.visitor_id if visitor.known else "")
        key = (limit, now_ms() // DAY_MS, account)
        with self._lock:
            if key in self._refused:
                return False
            self._refused[key] = None
        return True
