"""The queries of the pages, the operator's tool and the delivery. Writes nothing."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, tuple_

from lib.domain.assignment import Assignment
from lib.domain.conversation import Conversation, Question, Turn
from lib.domain.events import CHAT_COMPLETION
from lib.store import comparisons, rows
from lib.store.database import Database
from lib.store.schema import answer, conversation, definition, event, message

PAGE = 1_000
"""Events in one page of an export."""


def one_conversation(
    connection: Connection, conversation_id: str, visitor_id: str, newest: int, before_turn: int | None
) -> Conversation | None:
    """Return the conversation with its newest turns (before a turn, if given); None where it is not this visitor's."""
    of_owner = (conversation.c.id == conversation_id) & (conversation.c.visitor_id == visitor_id)
    stored = connection.execute(select(conversation).where(of_owner)).one_or_none()
    if stored is None:
        return None
    shown = (message.c.conversation_id == conversation_id) & message.c.replaced.is_(False)
    if before_turn is not None:
        shown &= message.c.turn < before_turn
    answers = newest * (2 if rows.to_assignment(stored.assignment).compare else 1)
    latest = _messages_with_answers().where(shown).order_by(message.c.turn.desc(), message.c.asked_ms.desc())
    read = connection.execute(latest.limit(answers + 1)).all()
    shown_rows = read[:answers]
    if (
        len(read) > len(shown_rows)
        and shown_rows
        and shown_rows[-1].comparison_id
        and shown_rows[-1].comparison_id == read[-1].comparison_id
    ):
        shown_rows = shown_rows[:-1]  # its other half comes with the earlier turns
    facts = completions(connection, [row.answer_id for row in shown_rows])
    turns = [rows.to_turn(row, facts.get(row.answer_id, {})) for row in reversed(shown_rows)]
    versions = _versions(connection, conversation_id, {turn.turn for turn in turns if not turn.comparison_id})
    turns = [replace(turn, versions=versions.get(turn.turn, ())) for turn in turns]
    return rows.to_conversation(stored, comparisons.joined(connection, turns), earlier=len(read) > len(shown_rows))


def _versions(connection: Connection, conversation_id: str, turns: Collection[int]) -> dict[int, tuple[Turn, ...]]:
    """Return by turn the answers that another one replaced, as far as they have text, oldest first."""
    replaced_answers = (
        (message.c.conversation_id == conversation_id) & message.c.replaced.is_(True) & message.c.turn.in_(turns)
    )
    read = connection.execute(
        _messages_with_answers()
        .where(replaced_answers, message.c.answer != "", answer.c.comparison_id.is_(None))
        .order_by(message.c.asked_ms)
    ).all()
    facts = completions(connection, [row.answer_id for row in read]) if read else {}
    by_turn: dict[int, tuple[Turn, ...]] = {}
    for row in read:
        by_turn[row.turn] = (*by_turn.get(row.turn, ()), rows.to_turn(row, facts.get(row.answer_id, {})))
    return by_turn


def _messages_with_answers() -> Any:
    texts = (
        message.c.answer_id,
        message.c.turn,
        message.c.asked_ms,
        message.c.question,
        message.c.answer,
        message.c.comment,
        message.c.reasoning,
    )
    ended = (
        answer.c.session_id,
        answer.c.model,
        answer.c.finish_reason,
        answer.c.time_ms,
        answer.c.message,
        answer.c.error,
        answer.c.rating,
        answer.c.reason,
        answer.c.beat_ms,
        answer.c.grp,
        answer.c.comparison_id,
        answer.c.experiment,
    )
    return select(*texts, *ended).join(answer, answer.c.answer_id == message.c.answer_id)


def conversations(connection: Connection, visitor_id: str, limit: int, skip: int = 0) -> list[Conversation]:
    """Return a visitor's conversations without their turns, the last used first, from the one after `skip` on."""
    owned = select(conversation).where(conversation.c.visitor_id == visitor_id)
    newest = owned.order_by(conversation.c.updated_ms.desc(), conversation.c.id).limit(limit).offset(skip)
    return [rows.to_conversation(row) for row in connection.execute(newest)]


def search_conversations(
    connection: Connection, visitor_id: str, words: Sequence[str], limit: int
) -> list[Conversation]:
    """Return a visitor's conversations whose title or text has all these words, in whatever case, newest first."""
    query = select(conversation).where(conversation.c.visitor_id == visitor_id)
    for word in words:
        own = (message.c.conversation_id == conversation.c.id) & message.c.replaced.is_(False)
        contains = message.c.question.icontains(word, autoescape=True) | message.c.answer.icontains(
            word, autoescape=True
        )
        query = query.where(conversation.c.title.icontains(word, autoescape=True) | exists().where(own & contains))
    newest = query.order_by(conversation.c.updated_ms.desc(), conversation.c.id).limit(limit)
    return [rows.to_conversation(row) for row in connection.execute(newest)]


def failures(connection: Connection, since_ms: int, except_user_id: str) -> list[tuple[str, int]]:
    """Return the messages of real answers that failed since then, and how often each was read, most often first.

    Answers to `except_user_id` are left out.
    """
    recent = (answer.c.time_ms >= since_ms) & answer.c.simulated.is_(False) & (answer.c.finish_reason == "error")
    count = func.count()
    counted = (
        select(answer.c.message, count)
        .where(recent, answer.c.user_id != except_user_id)
        .group_by(answer.c.message)
        .order_by(count.desc())
    )
    return [(text or "", number) for text, number in connection.execute(counted)]


def completions(connection: Connection, answer_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the metadata of the `chat_completion` of each of these answers that has ended."""
    ends_it = (event.c.answer_id == answer.c.answer_id) & (event.c.time_ms == answer.c.time_ms)
    ended = (
        select(event.c.answer_id, event.c.metadata)
        .join(answer, ends_it)
        .where(answer.c.answer_id.in_(list(answer_ids)), event.c.name == CHAT_COMPLETION)
    )
    return {row.answer_id: json.loads(row.metadata) for row in connection.execute(ended)}


def definitions(connection: Connection, source: str) -> str | None:
    """Return the definitions that a source served last."""
    return connection.scalar(select(definition.c.specs).where(definition.c.source == source))


def cut_off(connection: Connection, answer_ids: Collection[str]) -> list[tuple[Question, str]]:
    """Return answers that did not end: the question, and the text that had arrived."""
    query = (
        select(answer, conversation.c.assignment, message.c.answer.label("text"))
        .outerjoin(conversation, conversation.c.id == answer.c.conversation_id)
        .outerjoin(message, message.c.answer_id == answer.c.answer_id)
        .where(answer.c.answer_id.in_(list(answer_ids)))
    )
    return [_cut_off(row) for row in connection.execute(query)]


def _cut_off(row: Row[Any]) -> tuple[Question, str]:
    if row.assignment is not None:
        assignment = rows.to_assignment(row.assignment)
        assignment = rows.of_side(assignment, row) if row.comparison_id else assignment
    else:  # its conversation was deleted meanwhile
        assignment = Assignment(row.experiment, row.grp, "", row.user_id, {"userID": row.user_id}, {})
    question = Question(
        row.answer_id,
        row.conversation_id,
        row.session_id,
        row.turn,
        row.model,
        assignment,
        row.simulated,
        row.comparison_id,
    )
    return question, row.text or ""


def export(database: Database, since_ms: int | None, text: bool) -> Iterator[dict[str, Any]]:
    """Yield every event, oldest first, page by page: an export holds no transaction and little memory."""
    after = (since_ms or 0, "")
    while True:
        with database.read() as connection:
            page = _page(connection, after, text)
        yield from (_line(row, text) for row in page)
        if len(page) < PAGE:
            return
        after = (page[-1].time_ms, page[-1].event_id)


def _page(connection: Connection, after: tuple[int, str], text: bool) -> list[Row[Any]]:
    query = select(event)
    if text:
        texts = (message.c.question, message.c.answer, message.c.comment, message.c.reasoning)
        query = select(event, *texts).outerjoin(message, message.c.answer_id == event.c.answer_id)
    key = tuple_(event.c.time_ms, event.c.event_id)
    return list(connection.execute(query.where(key > after).order_by(event.c.time_ms, event.c.event_id).limit(PAGE)))


def _line(row: Row[Any], text: bool) -> dict[str, Any]:
    line = rows.to_event(row).wire()
    if text and row.name == CHAT_COMPLETION:
        line["text"] = {name: getattr(row, name) for name in ("question", "answer", "comment", "reasoning")}
    return line
