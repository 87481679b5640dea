"""Values of the domain as rows, and back. Knows the columns; knows no transaction.

Every text passes `fit`: a character that a database cannot store must not cost an answer.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, String, Table

from lib.domain.assignment import Assignment
from lib.domain.completion import Completion
from lib.domain.conversation import Comparison, Conversation, Question, Turn
from lib.domain.events import PREFERENCE, Event, completion_facts
from lib.domain.operations import run_of, stretch
from lib.store import schema
from lib.store.votes import vote_of

TITLE = 60
"""Longest title of a conversation that is made from its first question, in characters."""


def fit(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that the table can hold: no NUL, lone surrogate or NaN, cut to the column's length.

    >>> fit(schema.migration, {"name": "a\\x00b\\ud800" + "c" * 99, "applied_ms": 1})["name"] == "ab" + "c" * 62
    True
    """
    return {name: _fit(table, name, value) for name, value in values.items()}


def _fit(table: Table, name: str, value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, str):
        return value
    column_type, value = table.c[name].type, storable(value)
    return value[: column_type.length] if isinstance(column_type, String) and column_type.length else value


def storable(value: str) -> str:
    """Return text that every database, page and JSON reader accepts."""
    if value.isascii():
        return value.replace("\x00", "")
    return value.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def title(question: str) -> str:
    """Return the first words of a question.

    >>> title("  What is\\nthe  answer?  ")
    'What is the answer?'
    >>> title("word " * 30)[-8:], len(title("x" * 100))
    ('rd word…', 60)
    """
    words = " ".join(question[:1_000].split())
    if len(words) <= TITLE:
        return words
    head = words[: TITLE - 1]
    return (head.rpartition(" ")[0] or head) + "…"


def conversation_row(conversation: Conversation, name: str | None, asked_ms: int) -> dict[str, Any]:
    """Return the row of a new conversation; `name` None where text is not kept."""
    return fit(
        schema.conversation,
        {
            "id": conversation.id,
            "visitor_id": conversation.visitor_id,
            "title": name,
            "assignment": _assignment_json(conversation.assignment),
            "simulated": conversation.simulated,
            "created_ms": conversation.created_ms or asked_ms,
            "updated_ms": asked_ms,
        },
    )


def message_row(question: Question, asked_ms: int, text: str | None) -> dict[str, Any]:
    """Return the row of a turn's text."""
    return fit(
        schema.message,
        {
            "answer_id": question.answer_id,
            "conversation_id": question.conversation_id,
            "turn": question.turn,
            "asked_ms": asked_ms,
            "replaced": False,
            "question": text,
        },
    )


def running_row(question: Question, owner: str | None, beat_ms: int | None, tier: str) -> dict[str, Any]:
    """Return the row of an answer that has begun."""
    return fit(
        schema.answer,
        {
            "answer_id": question.answer_id,
            "conversation_id": question.conversation_id,
            "session_id": question.session_id,
            "turn": question.turn,
            "experiment": stretch(question.assignment.experiment, question.assignment.run),
            "grp": question.assignment.group,
            "user_id": question.assignment.user_id,
            "model": question.model,
            "simulated": question.simulated,
            "tier": tier,
            "comparison_id": question.comparison_id,
            "owner": owner,
            "beat_ms": beat_ms,
        },
    )


def comparison_row(conversation: Conversation, comparison: Comparison) -> dict[str, Any]:
    """Return the row of a comparison that has begun."""
    return fit(
        schema.comparison,
        {
            "comparison_id": comparison.id,
            "conversation_id": conversation.id,
            "experiment": conversation.assignment.experiment,
            "user_id": conversation.assignment.user_id,
            "simulated": conversation.simulated,
            "asked_ms": comparison.left.asked_ms,
            "left_answer_id": comparison.left.answer_id,
            "right_answer_id": comparison.right.answer_id,
            "drawn": comparison.drawn,
        },
    )


def ended_row(completion: Completion, time_ms: int) -> dict[str, Any]:
    """Return the columns that an answer's end sets; its numbers equal those of its event exactly."""
    facts = completion_facts(completion)
    return fit(
        schema.answer,
        {
            "owner": None,
            "beat_ms": None,
            "time_ms": time_ms,
            "finish_reason": completion.finish_reason,
            "error": completion.error,
            "message": completion.message,
            "response_time": facts.get("response_time"),
            "time_to_first_token": facts.get("time_to_first_token"),
            "completion_tokens": facts.get("completion_tokens"),
            "cost_usd": facts.get("cost_usd"),
        },
    )


def event_row(event: Event) -> dict[str, Any]:
    """Return the row of an event."""
    return fit(
        schema.event,
        {
            "event_id": event.event_id,
            "name": event.name,
            "time_ms": event.time_ms,
            "user_id": event.user_id,
            "answer_id": event.metadata.get("answer_id"),
            "grp": event.metadata.get("group"),
            "simulated": simulated(event),
            "value": None if event.value is None else _json(event.value),
            "metadata": _json(dict(event.metadata)),
            "ids": _json(dict(event.ids)),
            "sent": None if event.sent is None else _json(dict(event.sent)),
        },
    )


def exposure_row(event: Event, tier: str, invitation: str | None) -> dict[str, Any]:
    """Return the row of an exposure, with the columns that its event lacks."""
    metadata = event.metadata
    return fit(
        schema.exposure,
        {
            "event_id": event.event_id,
            "experiment": stretch(metadata.get("experiment") or "", metadata.get("run") or 1),
            "simulated": simulated(event),
            "user_id": event.user_id,
            "time_ms": event.time_ms,
            "grp": metadata.get("group"),
            "forced": bool(metadata.get("forced")),
            "tier": tier,
            "invitation": invitation,
        },
    )


def vote_row(event: Event, tier: str) -> dict[str, Any] | None:
    """Return the row of a vote on a comparison; None where the event is no vote."""
    vote = vote_of(event.value, event.metadata) if event.name == PREFERENCE else None
    if vote is None:
        return None
    own = {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "time_ms": event.time_ms,
        "simulated": simulated(event),
        "tier": tier,
    }
    return fit(schema.vote, vote | own)


def simulated(event: Event) -> bool:
    """Return True for a simulated visitor."""
    return bool(event.metadata.get("simulated"))


def to_event(row: Row[Any]) -> Event:
    """Return the event of a row."""
    value = None if row.value is None else json.loads(row.value)
    metadata, ids = json.loads(row.metadata), json.loads(row.ids)
    sent = None if row.sent is None else json.loads(row.sent)
    return Event(row.event_id, row.name, row.time_ms, row.user_id, value, metadata, ids, sent)


def to_conversation(row: Row[Any], turns: tuple[Turn, ...] = (), earlier: bool = False) -> Conversation:
    """Return a conversation with the turns that were read."""
    return Conversation(
        id=row.id,
        visitor_id=row.visitor_id,
        assignment=to_assignment(row.assignment),
        title=row.title,
        simulated=row.simulated,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        turns=turns,
        earlier=earlier,
    )


def to_turn(row: Row[Any], facts: Mapping[str, Any]) -> Turn:
    """Return the turn of a message and its answer."""
    return Turn(
        answer_id=row.answer_id,
        turn=row.turn,
        session_id=row.session_id,
        model=row.model,
        asked_ms=row.asked_ms,
        question=row.question,
        answer=row.answer,
        finish_reason=row.finish_reason,
        time_ms=row.time_ms,
        message=row.message,
        error=row.error,
        rating=row.rating,
        reason=row.reason,
        comment=row.comment,
        heard_ms=row.beat_ms,
        reasoning=row.reasoning,
        facts=facts,
        group=row.grp if row.comparison_id else None,
        run=run_of(row.experiment),
        comparison_id=row.comparison_id,
    )


def of_side(assignment: Assignment, row: Row[Any]) -> Assignment:
    """Return the assignment of one side of a comparison, whose answer has the group and the run."""
    return replace(assignment, group=row.grp, run=run_of(row.experiment))


def to_assignment(text: str) -> Assignment:
    """Return the assignment that a conversation began with."""
    return Assignment(**json.loads(text))


def _assignment_json(assignment: Assignment) -> str:
    compare = {"compare": True} if assignment.compare else {}  # replicas of an older version do not know the name
    return _json(
        compare
        | {
            "experiment": assignment.experiment,
            "group": assignment.group,
            "rule_id": assignment.rule_id,
            "user_id": assignment.user_id,
            "ids": dict(assignment.ids),
            "parameters": dict(assignment.parameters),
            "defaults": dict(assignment.defaults),
            "forced": assignment.forced,
            "layer": assignment.layer,
            "allocated": assignment.allocated,
            "parameter": assignment.parameter,
            "invitation": assignment.invitation,
            "unknown_unit": assignment.unknown_unit,
            "sent": None if assignment.sent is None else dict(assignment.sent),
            "run": assignment.run,
        }
    )


def _json(value: Any) -> str:
    """Return JSON; a value that JSON cannot represent (a date of a TOML file) becomes its text."""
    return json.dumps(value, ensure_ascii=False, default=str)
