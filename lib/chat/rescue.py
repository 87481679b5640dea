"""Answers whose process is gone: found by a missing heartbeat, taken over by one other process, ended with the text so
far.

Each running answer writes a heartbeat every second. Housekeeping ends answers whose heartbeat is old by the clock. A
page that follows an answer of another process is evidence by itself: its browser was sent here, most likely because
that process is gone. The page counts its own looks at the record, so that neither different clocks nor a database that
was away or frozen make a living process seem dead. Knows neither pages nor SQL.
"""

import logging
import math
from collections.abc import Callable

from lib.chat.running_answer import Journal
from lib.domain.completion import Completion, FinishReason
from lib.domain.conversation import Question, Turn
from lib.store import Store

log = logging.getLogger("parley")

STALE_MS = 15_000
"""Milliseconds without a heartbeat after which an answer was cut off, even if no page shows it."""
SILENT_LOOKS = 6
"""Consecutive looks of a page, `LOOK_EVERY` apart, without a new heartbeat, after which the answer was cut off."""
LOOK_EVERY = 0.5
"""Seconds between two looks; six of them cover three missing heartbeats."""
CUT_OFF = "That answer was interrupted."


class Rescue:
    """The search for cut-off answers, in one of the processes that share the store."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal

    def sweep(self) -> None:
        """End every answer without a recent heartbeat."""
        for question, text in self._store.conversations.recover(STALE_MS):
            self._end(question, text)

    def watch(self) -> Callable[[Turn], None]:
        """Return a function for one follower, to be called with every fresh read of the turn; it ends an answer without
        heartbeats."""
        heard_ms, looks = None, 0

        def look(turn: Turn) -> None:
            nonlocal heard_ms, looks
            looks = looks + 1 if turn.heard_ms == heard_ms else 0
            heard_ms = turn.heard_ms
            if turn.running and heard_ms is not None and looks >= SILENT_LOOKS:
                looks = 0
                if cut_off := self._store.conversations.take_over(turn.answer_id, heard_ms):
                    self._end(*cut_off)

        return look

    def _end(self, question: Question, text: str) -> None:
        reason: FinishReason = "interrupted" if text else "error"
        log.warning("an answer was cut off with its process", extra={"answer_id": question.answer_id})
        self._journal.ended(question, Completion(text, reason, math.nan, error="ProcessEnded", message=CUT_OFF))
