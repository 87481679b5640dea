"""The rows of simulated visitors: their existence, their spread over days, their removal.

Real rows are never touched. Knows the tables and their mark, not the visitors' behaviour.
"""

import time
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, tuple_, union_all, update

from lib.domain.clock import DAY_MS
from lib.store import Store
from lib.store.schema import answer, comparison, conversation, event, exposure, held, message, vote
from lib.store.writer import Fact

TIMES = ("time_ms", "rated_ms", "voted_ms", "asked_ms", "created_ms", "updated_ms")
"""The columns that hold times of a visit."""
UNITS = 50
"""Visitors whose rows are moved in one transaction."""
PIECE = 1_000
"""Rows deleted in one transaction, so that other writers do not wait long."""
COMMIT_S = 30.0
"""Seconds that one piece may take."""


def has_simulated(store: Store) -> bool:
    """Return True where there are simulated visitors. Raises StoreError."""
    with store.read() as connection:
        return bool(connection.scalar(select(exists().where(event.c.simulated))))


def spread(store: Store, days: int, since_ms: int) -> None:
    """Move simulated visitors who came since a time into the past, spread evenly over some days.

    The first visitor is moved furthest; the times within a visit keep their distances. Raises StoreError.
    """
    moments = (exposure.c.time_ms, comparison.c.asked_ms, vote.c.time_ms)
    visits = (
        select(column.table.c.user_id, column.label("time_ms")).where(column.table.c.simulated) for column in moments
    )
    visit = union_all(*visits).subquery().c
    first = func.min(visit.time_ms)
    units_since = select(visit.user_id).group_by(visit.user_id).having(first >= since_ms).order_by(first, visit.user_id)
    with store.read() as connection:
        units = list(connection.scalars(units_since))
    of_days: dict[int, list[str]] = {}
    for place, unit in enumerate(units):
        of_days.setdefault(days - 1 - place * days // len(units), []).append(unit)
    for day, moved in of_days.items():
        for begin in range(0, len(moved) if day else 0, UNITS):
            store.written(_move(moved[begin : begin + UNITS], day * DAY_MS, since_ms), COMMIT_S)


def _move(units: Sequence[str], by_ms: int, since_ms: int) -> Fact:
    """Return a fact that moves rows. Moved rows lie before `since_ms`, so running it twice moves them once."""
    conversations_of_units = select(answer.c.conversation_id).where(answer.c.simulated, answer.c.user_id.in_(units))
    rows: dict[Table, ColumnElement[bool]] = {
        message: message.c.conversation_id.in_(conversations_of_units),
        conversation: conversation.c.id.in_(conversations_of_units),
        **{
            table: table.c.simulated & table.c.user_id.in_(units)
            for table in (answer, comparison, exposure, event, vote)
        },
    }

    def fact(connection: Connection) -> None:
        for table, condition in rows.items():
            for column in (table.c[name] for name in TIMES if name in table.c):
                connection.execute(update(table).where(condition, column >= since_ms).values({column: column - by_ms}))

    return fact


def remove_simulated(store: Store) -> int:
    """Delete the rows of simulated visitors, in pieces; return their number. May be repeated. Raises StoreError."""
    deleted = 0
    while piece := store.written(_remove, COMMIT_S):
        deleted += piece
        time.sleep(0.01)  # lets other writers in
    return deleted


def _remove(connection: Connection) -> int:
    """Delete at most one piece of the first table that has any. Text goes first, because its mark is its answer's."""
    simulated_answers = select(answer.c.answer_id).where(answer.c.simulated)
    marked: list[tuple[Table, ColumnElement[bool]]] = [(message, message.c.answer_id.in_(simulated_answers))]
    marked += [(table, table.c.simulated) for table in (answer, comparison, exposure, conversation, event, vote, held)]
    for table, condition in marked:
        key = list(table.primary_key)
        piece = select(*key).where(condition).limit(PIECE)
        if deleted := connection.execute(delete(table).where(tuple_(*key).in_(piece))).rowcount:
            return deleted
    return 0
