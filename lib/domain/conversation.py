"""A conversation, its turns and comparisons, and a question on its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lib.domain.assignment import Assignment
from lib.domain.completion import FinishReason
from lib.domain.rating import Rating, Reason, Vote

Position = Literal["left", "right"]
"""The place of an answer in a comparison."""
CUT = ("stopped", "interrupted", "error")
"""Finish reasons of answers that are not whole."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question on its way: everything that the events about its answer repeat. `turn` counts from 1.
    `comparison_id`: of the comparison that the answer is one side of."""

    answer_id: str
    conversation_id: str
    session_id: str
    turn: int
    model: str
    assignment: Assignment
    simulated: bool = False
    comparison_id: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its newest answer, as a page shows them.

    `finish_reason` is None while it runs, and `answer` is then the text so far. The texts are None where they are not
    kept. `session_id` and `model` are those of the answer, `message` is the tester's sentence about a failure. For
    operators, `facts` is the metadata of its `chat_completion`, and `reasoning` the model's thinking. `heard_ms` is
    the time of the last heartbeat of a running answer, by the clock of its process. Times in milliseconds since 1970.

    `versions` are the answers that this one replaced, oldest first, themselves without any.

    A question that two groups answered is one turn with a `comparison`, whose sides are turns with `comparison_id`,
    `group` and `run`; see `compared`.
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
    group: str | None = None
    run: int = 1
    comparison_id: str | None = None
    comparison: "Comparison | None" = None
    versions: "tuple[Turn, ...]" = ()

    @property
    def running(self) -> bool:
        """True until the answer has ended."""
        return self.finish_reason is None

    @property
    def sides(self) -> "tuple[Turn, ...]":
        """The answers of this turn: the two of a comparison from left to right, or the turn itself."""
        return (self.comparison.left, self.comparison.right) if self.comparison else (self,)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question answered by two groups side by side, and the vote on it.

    `drawn` is the side, chosen by chance when the question was asked, from which the conversation goes on where the
    vote prefers none.
    """

    id: str
    left: Turn
    right: Turn
    drawn: Position
    vote: Vote | None = None

    @property
    def sides(self) -> tuple[Turn, Turn]:
        """Both answers, from left to right."""
        return self.left, self.right

    @property
    def running(self) -> bool:
        """True until both answers have ended."""
        return self.left.running or self.right.running

    @property
    def votable(self) -> bool:
        """True where the two can be compared: both ended with text, and neither is cut off unless both are."""
        if self.running or not all(side.answer for side in self.sides):
            return False
        return (self.left.finish_reason in CUT) == (self.right.finish_reason in CUT)

    @property
    def continued(self) -> Turn:
        """The answer from which the conversation continues: the preferred one, else the drawn one, else the one with
        text."""
        at = self.vote if self.vote in ("left", "right") else self.drawn
        chosen, other = self.sides if at == "left" else self.sides[::-1]
        return other if other.answer and not chosen.answer else chosen

    @property
    def worse(self) -> tuple[Turn, ...]:
        """The answers that lost the vote: both, where both are bad."""
        if self.vote == "both_bad":
            return self.sides
        return {"left": (self.right,), "right": (self.left,)}.get(self.vote or "", ())


def compared(comparison: Comparison) -> Turn:
    """Return the turn of a comparison: its id is the comparison's, its text the one that the conversation continues."""
    first, chosen = comparison.left, comparison.continued
    running = comparison.running
    return Turn(
        comparison.id,
        first.turn,
        first.session_id,
        chosen.model,
        first.asked_ms,
        question=first.question,
        answer=chosen.answer,
        finish_reason=None if running else chosen.finish_reason,
        time_ms=None if running else max(side.time_ms or 0 for side in comparison.sides),
        message=chosen.message,
        error=chosen.error,
        facts=chosen.facts,
        comparison=comparison,
    )


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of one visitor and the model under one assignment.

    `turns` are in order, oldest first; `earlier` is True where older turns exist. The store fills in the times
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
        """Return the `Question` of one of its turns, or of one side of a comparison."""
        assignment = self.assignment
        if turn.comparison_id:
            assignment = replace(assignment, group=turn.group, run=turn.run)
        return Question(
            turn.answer_id,
            self.id,
            turn.session_id,
            turn.turn,
            turn.model,
            assignment,
            self.simulated,
            turn.comparison_id,
        )


def with_changes(conversation: Conversation, answer_id: str, **changes: object) -> Conversation:
    """Return the conversation with changes to one of its answers, which may be one side of a comparison."""
    turns = tuple(_changed(turn, answer_id, changes) for turn in conversation.turns)
    return replace(conversation, turns=turns)


def _changed(turn: Turn, answer_id: str, changes: Mapping[str, object]) -> Turn:
    if turn.comparison and any(side.answer_id == answer_id for side in turn.sides):
        left, right = (_changed(side, answer_id, changes) for side in turn.sides)
        return compared(replace(turn.comparison, left=left, right=right))
    if any(version.answer_id == answer_id for version in turn.versions):
        return replace(turn, versions=tuple(_changed(version, answer_id, changes) for version in turn.versions))
    return replace(turn, **changes) if turn.answer_id == answer_id else turn  # type: ignore[arg-type]
