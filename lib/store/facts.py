"""The statements of each fact, inside a transaction that the writer opened.

Every function may run twice for the same fact (a connection can break between commit and confirmation). Each therefore
compares with the stored rows before it changes or emits anything.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Conversation, Question
from lib.domain.events import EXPOSURE, Event
from lib.domain.rating import Rating, Reason
from lib.store import reads, rows
from lib.store.recording import Recording
from lib.store.schema import answer, conversation, definition, deletion, event, exposure, message, outbox, vote


def add(connection: Connection, table: Table, values: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Insert missing rows, by primary key."""
    if values:
        connection.execute(insert_into(connection, table).on_conflict_do_nothing(), values)


def upsert(connection: Connection, table: Table, values: dict[str, Any], *changing: str) -> None:
    """Insert a row, or update these columns where its primary key exists."""
    statement = insert_into(connection, table)
    changed = {name: statement.excluded[name] for name in changing}
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), values)


def record(
    connection: Connection, events: Sequence[Event], recording: Recording, invitation: str | None = None
) -> None:
    """Insert events into the ledger, and into the tables of exposures and votes.

    Those to deliver get an outbox row, unless they are simulated. `invitation` is that of the exposed unit.
    """
    if not events:
        return
    add(connection, event, [rows.event_row(item) for item in events])
    add(
        connection,
        exposure,
        [rows.exposure_row(item, recording.tier, invitation) for item in events if item.name == EXPOSURE],
    )
    keep_votes(connection, [row for item in events if (row := rows.vote_row(item, recording.tier)) is not None])
    if recording.deliver:
        now = now_ms()
        add(
            connection,
            outbox,
            [
                {"event_id": item.event_id, "created_ms": item.time_ms, "due_ms": now, "attempts": 0}
                for item in events
                if not rows.simulated(item) and not item.withheld
            ],
        )


def keep_votes(connection: Connection, votes: list[dict[str, Any]]) -> None:
    """Insert votes on comparisons; of one comparison the last vote stays, by time and then event id."""
    if not votes:
        return
    statement = insert_into(connection, vote)
    new, key = statement.excluded, list(vote.primary_key)
    later = tuple_(new.time_ms, new.event_id) > tuple_(vote.c.time_ms, vote.c.event_id)
    changed = {column.name: new[column.name] for column in vote.c if column not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed, where=later), votes)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in its conversation, once for each group that answers it. `text` is None where it is not stored,
    `replaces` names the answers that it replaces."""

    conversation: Conversation
    questions: Sequence[Question]
    text: str | None
    replaces: Collection[str]
    asked_ms: int


def ask(connection: Connection, asked: Asked, recording: Recording) -> None:
    """Insert the conversation if it is new, and the message and the running answer of each question. A deleted
    conversation stays deleted."""
    owner, tier = recording.owner, recording.tier
    add(connection, answer, [rows.running_row(question, owner, now_ms(), tier) for question in asked.questions])
    asked_in, text = asked.conversation, asked.text
    if connection.scalar(select(deletion.c.time_ms).where(deletion.c.conversation_id == asked_in.id)) is not None:
        return
    title = rows.title(text) if text and not any(turn.answer for turn in asked_in.turns) else None
    upsert(connection, conversation, rows.conversation_row(asked_in, title, asked.asked_ms), "updated_ms")
    if asked.replaces:
        connection.execute(update(message).where(message.c.answer_id.in_(asked.replaces)).values(replaced=True))
    add(connection, message, [rows.message_row(question, asked.asked_ms, text) for question in asked.questions])


def partial(connection: Connection, answer_id: str, text: str | None, owner: str) -> None:
    """Store the text so far with a heartbeat; does nothing once the answer ended or another process took it over."""
    running = (answer.c.answer_id == answer_id) & answer.c.finish_reason.is_(None) & (answer.c.owner == owner)
    updated = connection.execute(update(answer).where(running).values(beat_ms=now_ms()))
    if text is not None and updated.rowcount:
        _keep_answer(connection, answer_id, text)


def finish(
    connection: Connection, question: Question, completion: Completion, time_ms: int, recording: Recording
) -> bool:
    """Store the end of an answer, once; False where it was stored before. An answer whose question the full queue
    refused gets its rows here, so that it counts."""
    ended = rows.ended_row(completion, time_ms)
    running = (answer.c.answer_id == question.answer_id) & answer.c.finish_reason.is_(None)
    if not connection.execute(update(answer).where(running).values(ended)).rowcount:
        if connection.scalar(select(answer.c.answer_id).where(answer.c.answer_id == question.answer_id)) is not None:
            return False
        add(connection, answer, rows.running_row(question, None, None, recording.tier) | ended)
        add(connection, message, rows.message_row(question, time_ms, None))
    if recording.keep_text:
        _keep_answer(connection, question.answer_id, completion.text, completion.reasoning)
    return True


def rate(connection: Connection, answer_id: str, rating: Rating | None, rating_event: Event | None) -> list[Event]:
    """Set the rating and return its events: none when it is unchanged. A new rating has no reason yet."""
    stored = connection.execute(
        select(answer.c.rating).where(answer.c.answer_id == answer_id).with_for_update()
    ).one_or_none()
    if stored is None or stored.rating == rating:
        return []
    rated_ms = None if rating is None else rating_event.time_ms if rating_event is not None else now_ms()
    changed = {"rating": rating, "rated_ms": rated_ms, "reason": None}
    connection.execute(update(answer).where(answer.c.answer_id == answer_id).values(changed))
    connection.execute(update(message).where(message.c.answer_id == answer_id).values(comment=None))
    if rating_event is None:
        return []
    return [replace(rating_event, value=stored.rating) if rating is None else rating_event]


def give_reason(
    connection: Connection, answer_id: str, reason: Reason | None, comment: str | None, reason_event: Event | None
) -> list[Event]:
    """Set the reason and the comment and return their events: none when the reason is unchanged."""
    values = rows.fit(message, {"comment": comment or None})
    connection.execute(update(message).where(message.c.answer_id == answer_id).values(values))
    changes = (answer.c.answer_id == answer_id) & answer.c.reason.is_distinct_from(reason)
    changed = connection.execute(update(answer).where(changes).values(reason=reason)).rowcount
    return [reason_event] if changed and reason is not None and reason_event is not None else []


def rename(connection: Connection, conversation_id: str, visitor_id: str, title: str | None) -> None:
    """Change the title, for the owner only."""
    of_owner = (conversation.c.id == conversation_id) & (conversation.c.visitor_id == visitor_id)
    connection.execute(update(conversation).where(of_owner).values(rows.fit(conversation, {"title": title})))


def forget(connection: Connection, visitor_id: str, conversation_id: str | None) -> list[str]:
    """Delete the text of one conversation, or of all of a visitor; numbers and events stay. Return the answers."""
    chosen = select(conversation.c.id).where(conversation.c.visitor_id == visitor_id)
    if conversation_id is not None:
        chosen = chosen.where(conversation.c.id == conversation_id)
    ids, now = list(connection.scalars(chosen)), now_ms()
    add(connection, deletion, [{"conversation_id": key, "visitor_id": visitor_id, "time_ms": now} for key in ids])
    answers = list(connection.scalars(select(message.c.answer_id).where(message.c.conversation_id.in_(chosen))))
    connection.execute(delete(message).where(message.c.conversation_id.in_(chosen)))
    connection.execute(delete(conversation).where(conversation.c.id.in_(chosen)))
    return answers


def deletions(connection: Connection, since_ms: int) -> dict[str, str]:
    """Return the conversations that were deleted since then, with their visitors."""
    recent = select(deletion.c.conversation_id, deletion.c.visitor_id).where(deletion.c.time_ms >= since_ms)
    return {row.conversation_id: row.visitor_id for row in connection.execute(recent)}


def keep_definitions(connection: Connection, source: str, specs: str) -> None:
    """Store the definitions that Statsig served last."""
    values = rows.fit(definition, {"source": source, "specs": specs, "time_ms": now_ms()})
    upsert(connection, definition, values, "specs", "time_ms")


def delete_old_text(connection: Connection, before_ms: int, piece: int) -> int:
    """Delete at most `piece` messages asked before a time, and the conversations without later use; return the number
    of rows.

    A title is made from the first question, and is deleted with it.
    """
    begun = (conversation.c.created_ms < before_ms) & conversation.c.title.is_not(None)
    connection.execute(update(conversation).where(begun).values(title=None))
    connection.execute(delete(deletion).where(deletion.c.time_ms < now_ms() - DAY_MS))
    old = select(message.c.answer_id).where(message.c.asked_ms < before_ms).order_by(message.c.asked_ms).limit(piece)
    deleted = connection.execute(delete(message).where(message.c.answer_id.in_(old))).rowcount
    stale = select(conversation.c.id).where(conversation.c.updated_ms < before_ms).limit(piece)
    return deleted + connection.execute(delete(conversation).where(conversation.c.id.in_(stale))).rowcount


def claim(connection: Connection, before_ms: int, owner: str, limit: int) -> list[tuple[Question, str]]:
    """Take over answers without a heartbeat since a time (see `reads.cut_off`); no two processes get the same one."""
    cut = answer.c.finish_reason.is_(None) & (answer.c.beat_ms < before_ms) & (answer.c.owner != owner)
    return _take(connection, select(answer.c.answer_id).where(cut).order_by(answer.c.beat_ms).limit(limit), owner)


def claim_one(connection: Connection, answer_id: str, heard_ms: int, owner: str) -> list[tuple[Question, str]]:
    """Take over this answer unless it ended or its process wrote a heartbeat since."""
    silent = (answer.c.answer_id == answer_id) & answer.c.finish_reason.is_(None) & (answer.c.beat_ms == heard_ms)
    return _take(connection, select(answer.c.answer_id).where(silent), owner)


def _take(connection: Connection, candidates: Select[Any], owner: str) -> list[tuple[Question, str]]:
    answer_ids = list(connection.scalars(candidates.with_for_update(skip_locked=True)))
    if not answer_ids:
        return []
    lease = {"owner": owner, "beat_ms": now_ms()}
    connection.execute(update(answer).where(answer.c.answer_id.in_(answer_ids)).values(lease))
    return reads.cut_off(connection, answer_ids)


def _keep_answer(connection: Connection, answer_id: str, text: str, reasoning: str | None = None) -> None:
    values = rows.fit(message, {"answer": text} | ({"reasoning": reasoning} if reasoning else {}))
    connection.execute(update(message).where(message.c.answer_id == answer_id).values(values))


def insert_into(connection: Connection, table: Table) -> Any:
    """Return the dialect's `insert`: both dialects have upserts, each under its own name."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
