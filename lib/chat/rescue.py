"""Answers whose process is gone: found by its silence, taken over by one other process, ended with what had arrived.

A process says of each running answer every second that it lives. Housekeeping ends what was silent for a long time by
the clock. A page that follows an answer of another process is a sign by itself: its browser was sent here, most likely
because nobody answers there. It counts its own looks at the record, so that neither clocks that differ nor a database
that was away or frozen make a living process seem dead. Knows nothing of pages, and of SQL only the store's word.
"""

import logging
import math
from collections.abc import Callable

from lib.chat.generation import Journal
from lib.domain.completion import Completion, FinishReason
from lib.domain.conversation import Question, Turn
from lib.store import Store

log = logging.getLogger("parley")

STALE_MS = 15_000
"""An answer of which nothing was heard for so long was cut off, even if nobody looks at it."""
SILENT_LOOKS = 6
"""Looks of a page in a row, `LOOK_EVERY` apart, that find no new sign of life: the answer was cut off."""
LOOK_EVERY = 0.5
"""Seconds between two looks; six of them are three signs of life that did not come."""
CUT_OFF = "That answer was interrupted."


class Rescue:
    """Finds and ends them, in one process of those that share the store."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal

    def sweep(self) -> None:
        """End every answer that was silent for long."""
        for question, text in self._store.conversations.recover(STALE_MS):
            self._end(question, text)

    def watch(self) -> Callable[[Turn], None]:
        """A function for one follower, to be told every fresh look at the turn; it ends an answer that stays silent."""
        heard_ms, looks = None, 0

        def look(turn: Turn) -> None:
            nonlocal heard_ms, looks
            looks = looks + 1 if turn.heard_ms == heard_ms else 0
            heard_ms = turn.heard_ms
            if turn.running and heard_ms is not None and looks >= SILENT_LOOKS:
                looks = 0
                if found := self._store.conversations.take_over(turn.answer_id, heard_ms):
                    self._end(*found)

        return look

    def _end(self, question: Question, text: str) -> None:
        reason: FinishReason = "interrupted" if text else "error"
        log.warning("an answer was cut off with its process", extra={"answer_id": question.answer_id})
        self._journal.ended(question, Completion(text, reason, math.nan, error="ProcessEnded", message=CUT_OFF))
