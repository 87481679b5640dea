"""How answers get from the loop into the record, and where their texts are while nothing stores them.

`Recorder` is generation's journal: it hands over and counts. Knows the store and the metrics; knows neither a model nor
what a tester may do.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace

from lib.domain.completion import Completion
from lib.domain.conversation import Question, Turn
from lib.domain.events import chat_completion, signal
from lib.domain.recent import Recent
from lib.domain.record import Receipt
from lib.metrics.counters import Metrics
from lib.store import Store

REMEMBERED = 2_000
"""Answers whose text is held where none is stored."""


class Texts:
    """Where no text is stored: the latest ones, in this process only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: Recent[str, tuple[str, str | None, str | None]] = Recent(REMEMBERED)

    def question(self, answer_id: str, text: str) -> None:
        """A question left."""
        with self._lock:
            self._kept[answer_id] = (text, None, None)

    def answer(self, answer_id: str, text: str, reasoning: str | None = None) -> None:
        """Its answer ended, after this thinking."""
        with self._lock:
            if answer_id in self._kept:
                self._kept[answer_id] = (self._kept[answer_id][0], text, reasoning)

    def forget(self, answer_ids: Iterable[str]) -> None:
        """These answers' texts were deleted."""
        with self._lock:
            for answer_id in answer_ids:
                self._kept.pop(answer_id, None)

    def fill(self, turn: Turn) -> Turn:
        """Return a turn of the store with the texts that it does not have."""
        question, answer, reasoning = self._kept.get(turn.answer_id, (None, None, None))
        return replace(
            turn,
            question=turn.question or question,
            answer=turn.answer or answer,
            reasoning=turn.reasoning or reasoning,
        )


class Written:
    """The receipt of what need not be written."""

    committed = True
    result = True

    def wait(self, timeout: float) -> bool:
        """Return True at once."""
        return True


class Unwritten:
    """A journal that keeps nothing, for what was refused before."""

    def partial(self, answer_id: str, text: str) -> None:
        """Keep nothing."""

    def ended(self, question: Question, completion: Completion) -> Receipt:
        """Keep nothing."""
        return Written()

    def abandoned(self, question: Question) -> None:
        """Keep nothing."""


class Recorder:
    """Generation's journal: how answers get from the loop into the store, and are counted."""

    def __init__(self, store: Store, metrics: Metrics, texts: Texts | None = None) -> None:
        self._store, self._metrics, self._texts = store, metrics, texts

    def partial(self, answer_id: str, text: str) -> None:
        """Keep what has arrived so far."""
        self._store.partial(answer_id, text)

    def ended(self, question: Question, completion: Completion) -> Receipt:
        """Keep the answer and its event."""
        self._metrics.ended(question.assignment.group, completion)
        if self._texts:
            self._texts.answer(question.answer_id, completion.text, completion.reasoning)
        return self._store.finish(question, completion, chat_completion(question, completion))

    def abandoned(self, question: Question) -> None:
        """Nobody waited for this answer."""
        self._store.record([signal(question, "abandoned")])
