"""The recording of answers, and their texts while nothing stores them.

`Recorder` is generation's journal. Knows the store and the metrics; knows neither models nor testers' operations.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from lib.domain.completion import Completion
from lib.domain.conversation import Question, Turn, compared
from lib.domain.events import chat_completion, signal
from lib.domain.recent import Recent
from lib.domain.record import Receipt
from lib.metrics.counters import Metrics
from lib.store import Store

REMEMBERED = 2_000
"""Answers whose text is held where none is stored."""
CLOSED_S = 60.0
"""Seconds that a conversation's text outlives its last open page, which covers a reload or a lost connection."""


@dataclass(slots=True)
class _Held:
    conversation_id: str
    question: str
    answer: str | None = None
    reasoning: str | None = None


class Texts:
    """The texts of this process's open conversations, where no text is stored."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._held: Recent[str, _Held] = Recent(REMEMBERED)
        self._open_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def question(self, conversation_id: str, answer_id: str, text: str) -> None:
        """Hold the question of an answer."""
        with self._lock:
            self._held[answer_id] = _Held(conversation_id, text)
            self._open_at[conversation_id] = self._clock()

    def answer(self, answer_id: str, text: str, reasoning: str | None = None) -> None:
        """Hold an answer that ended, and the thinking before it."""
        with self._lock:
            if held := self._held.get(answer_id):
                held.answer, held.reasoning = text, reasoning

    def forget(self, answer_ids: Iterable[str]) -> None:
        """Drop the texts of answers that were deleted."""
        with self._lock:
            for answer_id in answer_ids:
                self._held.pop(answer_id, None)

    def forget_conversation(self, conversation_id: str) -> None:
        """Drop the texts of a conversation."""
        with self._lock:
            for answer_id in [key for key, held in self._held.items() if held.conversation_id == conversation_id]:
                del self._held[answer_id]
            self._open_at.pop(conversation_id, None)

    def forget_closed(self, shown: Collection[str]) -> None:
        """Drop the texts of conversations that no page has shown for `CLOSED_S`; `shown` are those shown now."""
        now = self._clock()
        with self._lock:
            self._open_at |= {key: now for key in shown if key in self._open_at}
            closed = [key for key, at in self._open_at.items() if now - at > CLOSED_S]
        for conversation_id in closed:
            self.forget_conversation(conversation_id)

    def fill(self, turn: Turn) -> Turn:
        """Return a stored turn with the texts that the store lacks."""
        if turn.comparison:
            left, right = (self.fill(side) for side in turn.sides)
            return compared(replace(turn.comparison, left=left, right=right))
        held = self._held.get(turn.answer_id)
        if held is None:
            return turn
        return replace(
            turn,
            question=turn.question or held.question,
            answer=turn.answer or held.answer,
            reasoning=turn.reasoning or held.reasoning,
        )


class Written:
    """The receipt of a fact that needs no writing."""

    committed = True
    result = True

    def wait(self, timeout: float) -> bool:
        """Return True at once."""
        return True


class Unwritten:
    """A journal for answers that were refused: it records nothing."""

    def partial(self, answer_id: str, text: str) -> None:
        """Ignore the text."""

    def ended(self, question: Question, completion: Completion) -> Receipt:
        """Ignore the end."""
        return Written()

    def abandoned(self, question: Question) -> None:
        """Ignore the page."""


class Recorder:
    """Generation's journal: hands answers to the store and counts them."""

    def __init__(self, store: Store, metrics: Metrics, texts: Texts | None = None) -> None:
        self._store, self._metrics, self._texts = store, metrics, texts

    def partial(self, answer_id: str, text: str) -> None:
        """Record the text so far."""
        self._store.conversations.partial(answer_id, text)

    def ended(self, question: Question, completion: Completion) -> Receipt:
        """Record the answer and its event."""
        self._metrics.ended(question.assignment.group, completion)
        if self._texts is not None:
            self._texts.answer(question.answer_id, completion.text, completion.reasoning)
        return self._store.conversations.finish(question, completion, chat_completion(question, completion))

    def abandoned(self, question: Question) -> None:
        """Record that the page was left while this answer ran."""
        self._store.events.record([signal(question, "abandoned")])
