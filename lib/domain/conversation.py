"""A conversation, its turns, and a question on its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib.domain.assignment import Assignment
from lib.domain.completion import FinishReason
from lib.domain.rating import Rating, Reason


@dataclass(frozen=True, slots=True)
class Question:
    """One question on its way: everything that the events about its answer repeat. `turn` counts from 1."""

    answer_id: str
    conversation_id: str
    session_id: str
    turn: int
    model: str
    assignment: Assignment
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, as a page shows them; of an answer that was replaced, the newest version.

    `finish_reason` is None while it runs, and `answer` is then what has arrived. The texts are None where they are not
    kept. `session_id` and `model` are those of the answer, `message` is what the tester reads about a failure. For
    operators, `facts` is the metadata of its `chat_completion`, and `reasoning` what the model thought before it
    answered. `heard_ms` is when the process of a running answer last wrote its heartbeat, by its own clock. Times in
    milliseconds since 1970.
    """

    answer_id: str
    turn: int
    session_id: str
    model: str
    asked_ms: int
    question: str | None = None
    answer: str | None = None
    finish_reason: FinishReason | None = None
    time_ms: int | None = None
    message: str | None = None
    error: str | None = None
    rating: Rating | None = None
    reason: Reason | None = None
    comment: str | None = None
    heard_ms: int | None = None
    reasoning: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.finish_reason is None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one visitor and the model said, under the one assignment that it began with.

    `turns` are in order, oldest first; `earlier` tells that older ones exist beyond them. The store fills in the times
    and, where it is None, the title (the first words of the first question).
    """

    id: str
    visitor_id: str
    assignment: Assignment
    title: str | None = None
    simulated: bool = False
    created_ms: int = 0
    updated_ms: int = 0
    turns: tuple[Turn, ...] = ()
    earlier: bool = False

    def question(self, turn: Turn) -> Question:
        """What the events about one of its turns repeat."""
        return Question(
            turn.answer_id, self.id, turn.session_id, turn.turn, turn.model, self.assignment, self.simulated
        )
