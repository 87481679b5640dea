"""The data of one unit, found and deleted: text, numbers, events, also those that still wait for Statsig.

Knows every table that holds a personal id. Keys are read first and then deleted in pieces, so that no replica waits
for a long search.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, bindparam, delete, func, or_, select

from lib.domain.budget import visitor_account
from lib.domain.ledger import Key
from lib.store.schema import (
    answer,
    comparison,
    consent,
    conversation,
    event,
    exposure,
    guest,
    message,
    outbox,
    reservation,
    spending,
    vote,
)

T = TypeVar("T")
PIECE = 500
"""Keys in one statement and one transaction."""


@dataclass(frozen=True, slots=True)
class Erased:
    """The deleted rows. `undelivered`: events that Statsig had not acknowledged.

    `at_statsig`: True where Statsig may have any of them. `running`: answers that another process is still writing and
    will write again.
    """

    conversations: int = 0
    messages: int = 0
    answers: int = 0
    events: int = 0
    votes: int = 0
    undelivered: int = 0
    at_statsig: bool = False
    running: int = 0

    @property
    def nothing(self) -> bool:
        """True where nothing of this unit was found."""
        return self == Erased(at_statsig=self.at_statsig)


@dataclass(frozen=True, slots=True)
class UnitKeys:
    """The keys of what belongs to a unit. `units`: its id, and the units of the conversations that it owns.

    `owners`: those, and owners without any other conversation.
    """

    units: list[str]
    owners: list[str]
    conversations: list[str]
    answers: list[str]
    events: list[Key]
    erased: Erased


def find(connection: Connection, unit: str) -> UnitKeys:
    """Find what belongs to this unit: its answers and events, the conversations that it owns, and every event that has
    it among its ids."""
    owned = select(conversation.c.id).where(conversation.c.visitor_id == unit)
    units = {unit, *connection.scalars(select(answer.c.user_id).where(answer.c.conversation_id.in_(owned)))}
    of_unit = answer.c.user_id.in_(units) | answer.c.conversation_id.in_(owned)
    answers = connection.execute(select(answer.c.answer_id, answer.c.conversation_id).where(of_unit)).all()
    conversations = {*connection.scalars(owned), *(row.conversation_id for row in answers)}
    answer_ids = [row.answer_id for row in answers]
    has_unit = event.c.user_id.in_(units) | event.c.ids.contains(f'"{unit}"', autoescape=True)
    events = _events(connection, has_unit)
    for piece in _pieces(answer_ids):
        events |= _events(connection, event.c.answer_id.in_(piece))
    owners = units | _left_without(connection, conversations)
    keys = UnitKeys(sorted(units), sorted(owners), sorted(conversations), answer_ids, sorted(events), Erased())
    return replace(keys, erased=_count(connection, keys, any(events.values())))


def steps(unit_keys: UnitKeys) -> Iterator[Callable[[Connection], None]]:
    """Yield the transactions that delete it. Events go first: until they are deleted, one may still be delivered."""
    for events in _pieces(unit_keys.events):
        yield _deletion(outbox.c.event_id, [event_id for _, event_id in events])
        yield _deletion_of_events(events)
    for column, keys in (
        (exposure.c.user_id, unit_keys.units),
        (comparison.c.user_id, unit_keys.units),
        (vote.c.user_id, unit_keys.units),
        (comparison.c.conversation_id, unit_keys.conversations),
        (message.c.answer_id, unit_keys.answers),
        (message.c.conversation_id, unit_keys.conversations),
        (answer.c.answer_id, unit_keys.answers),
        (conversation.c.id, unit_keys.conversations),
        (guest.c.visitor_id, unit_keys.owners),
        (consent.c.visitor_id, unit_keys.owners),
        (spending.c.account, [visitor_account(owner) for owner in unit_keys.owners]),
        (reservation.c.account, [visitor_account(owner) for owner in unit_keys.owners]),
        (spending.c.account, [visitor_account(unit) for unit in unit_keys.units]),
        (reservation.c.account, [visitor_account(unit) for unit in unit_keys.units]),
    ):
        for piece in _pieces(keys):
            yield _deletion(column, piece)


def _events(connection: Connection, condition: ColumnElement[bool]) -> dict[Key, bool]:
    """Return the keys of events, each with True where Statsig has it."""
    rows = connection.execute(select(event.c.time_ms, event.c.event_id, event.c.acknowledged_ms).where(condition))
    return {(row.time_ms, row.event_id): row.acknowledged_ms is not None for row in rows}


def _left_without(connection: Connection, conversations: set[str]) -> set[str]:
    """Return the owners of these conversations who own no others."""
    owners: set[str] = set()
    for piece in _pieces(sorted(conversations)):
        owners |= set(connection.scalars(select(conversation.c.visitor_id).where(conversation.c.id.in_(piece))))
    owned = select(conversation.c.id, conversation.c.visitor_id).where(conversation.c.visitor_id.in_(sorted(owners)))
    return owners - {row.visitor_id for row in connection.execute(owned) if row.id not in conversations}


def _deletion(column: "Column[Any]", keys: list[str]) -> Callable[[Connection], None]:
    def fact(connection: Connection) -> None:
        connection.execute(delete(column.table).where(column.in_(keys)))

    return fact


def _deletion_of_events(keys: list[Key]) -> Callable[[Connection], None]:
    event_key = (event.c.time_ms == bindparam("at")) & (event.c.event_id == bindparam("id"))
    parameters = [{"at": time_ms, "id": event_id} for time_ms, event_id in keys]

    def fact(connection: Connection) -> None:
        connection.execute(delete(event).where(event_key), parameters)

    return fact


def _count(connection: Connection, keys: UnitKeys, sent: bool) -> Erased:
    def rows(column: "Column[Any]", keys: list[str], *also: Any) -> int:
        counted = select(func.count()).select_from(column.table)
        return sum(connection.scalar(counted.where(column.in_(piece), *also)) or 0 for piece in _pieces(keys))

    event_ids = [event_id for _, event_id in keys.events]
    waiting = rows(outbox.c.event_id, event_ids)
    tried = rows(outbox.c.event_id, event_ids, or_(outbox.c.attempts > 0, outbox.c.error.is_not(None)))
    return Erased(
        conversations=rows(conversation.c.id, keys.conversations),
        messages=rows(message.c.answer_id, keys.answers),
        answers=len(keys.answers),
        events=len(keys.events),
        votes=rows(vote.c.user_id, keys.units),
        undelivered=waiting,
        at_statsig=sent or tried > 0,
        running=rows(answer.c.answer_id, keys.answers, answer.c.finish_reason.is_(None)),
    )


def _pieces(keys: list[T]) -> Iterator[list[T]]:
    return (keys[start : start + PIECE] for start in range(0, len(keys), PIECE))
