"""The ledger of events, page by page from the newest on, at a cost that does not grow with it; and the life of one
answer.

Each page continues along one index where the last one ended. Other conditions are checked in stretches of that index,
for a limited time; the page then reports how far it came. Knows the tables, not the page's look.
"""

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, String, and_, literal, select, tuple_

from lib.domain.events import EXPOSURE, PREFERENCE
from lib.domain.ledger import Key, Life, Line, Page, Search
from lib.store import rows
from lib.store.schema import FAILURE, answer, event, message, outbox

STRETCH = 5_000
"""Events of an index that one statement examines."""
PATIENCE_S = 0.25
"""Seconds that a page searches for rare events."""

_LINE = select(event, outbox.c.due_ms, outbox.c.attempts, outbox.c.error)
_EVENTS = _LINE.select_from(event.outerjoin(outbox, outbox.c.event_id == event.c.event_id))
_PLACE = (event.c.time_ms, event.c.event_id)
_PLACE_WAITING = (outbox.c.created_ms, outbox.c.event_id)


def page(connection: Connection, search: Search, before: Key | None, size: int) -> Page:
    """Return the newest matching events, or the newest of those before a place."""
    along, conditions = _conditions(search)
    if search.until_ms is not None:
        before = min(before or _moment(search.until_ms), _moment(search.until_ms))
    if not conditions:
        lines = list(connection.execute(_lines(search, along, before, None, size + 1).limit(size + 1)))
        return _page(lines, size, None)
    lines, until = [], time.monotonic() + PATIENCE_S
    while True:
        reached = _reached(connection, search, along, before)
        lines += connection.execute(_lines(search, [*along, *conditions], before, reached).limit(size + 1 - len(lines)))
        if len(lines) > size or reached is None or time.monotonic() > until:
            return _page(lines, size, reached)
        before = reached


def group_names(connection: Connection) -> list[str]:
    """Return the groups that any event names, one index look-up for each."""
    names: list[str] = []
    while True:
        further = event.c.grp > names[-1] if names else event.c.grp.is_not(None)
        name = connection.scalar(select(event.c.grp).where(further).order_by(event.c.grp).limit(1))
        if name is None:
            return names
        names.append(name)


def has_simulated(connection: Connection) -> bool:
    """Return True where any event is simulated."""
    return connection.scalar(select(event.c.event_id).where(event.c.simulated).limit(1)) is not None


def life(connection: Connection, answer_id: str) -> Life | None:
    """Return the life of one answer; None for an unknown one."""
    columns = (answer.c.user_id, answer.c.session_id, answer.c.experiment, answer.c.time_ms, answer.c.comparison_id)
    stored = connection.execute(
        select(*columns, message.c.asked_ms)
        .outerjoin(message, message.c.answer_id == answer.c.answer_id)
        .where(answer.c.answer_id == answer_id)
    ).one_or_none()
    own = [_line(row) for row in connection.execute(_EVENTS.where(event.c.answer_id == answer_id).order_by(*_PLACE))]
    if stored is None and not own:
        return None
    before = [exposed] if stored is not None and (exposed := _exposure(connection, stored)) else []
    votes = _votes(connection, stored) if stored is not None and stored.comparison_id else []
    return Life(answer_id, stored.asked_ms if stored is not None else None, [*before, *own, *votes])


def _votes(connection: Connection, stored: Any) -> list[Line]:
    """Return the votes on the comparison that an answer belongs to."""
    condition = (event.c.user_id == stored.user_id) & (event.c.name == PREFERENCE)
    condition &= event.c.metadata.contains(f'"{stored.comparison_id}"', autoescape=True)
    return [_line(row) for row in connection.execute(_EVENTS.where(condition).order_by(*_PLACE))]


def _exposure(connection: Connection, stored: Any) -> Line | None:
    """Return the exposure that an answer counts under: the last one of its session before it ended."""
    condition = (event.c.user_id == stored.user_id) & (event.c.name == EXPOSURE)
    if stored.time_ms is not None:
        condition &= event.c.time_ms <= stored.time_ms
    latest = _EVENTS.where(condition).order_by(*(column.desc() for column in _PLACE)).limit(50)
    for line in map(_line, connection.execute(latest)):
        metadata = line.event.metadata
        if (metadata.get("session_id"), metadata.get("experiment")) == (stored.session_id, stored.experiment):
            return line
    return None


def _conditions(search: Search) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return the conditions that an index can serve, and those that are checked event by event."""
    ranked = list(_every(search))
    if search.delivery == "waiting":
        return [], [condition for _, condition in ranked]
    best = min(ranked, key=lambda pair: pair[0], default=None)
    if best is None or best[0] == _NONE:
        return [], [condition for _, condition in ranked]
    return [best[1]], [condition for rank, condition in ranked if rank != best[0]]


_ANSWER, _USER, _FAILED, _GROUP, _NAME, _NONE = range(6)
"""The indexes, the most selective first."""


def _every(search: Search) -> Iterator[tuple[int, ColumnElement[bool]]]:
    if search.answer_id is not None:
        yield _ANSWER, event.c.answer_id == search.answer_id
    if search.user_id is not None:
        yield _USER, event.c.user_id == search.user_id
    if search.failed:
        yield _FAILED, FAILURE  # type: ignore[misc]
    if search.group is not None:
        yield _GROUP, event.c.grp == search.group if search.group else event.c.grp.is_(None)
    if search.name is not None:
        yield _NAME, event.c.name == search.name
    if search.simulated is not None:
        yield _NONE, event.c.simulated.is_(search.simulated)
    if search.delivery == "acknowledged":
        yield _NONE, event.c.acknowledged_ms.is_not(None)
    if search.delivery == "kept":
        yield _NONE, and_(event.c.acknowledged_ms.is_(None), outbox.c.event_id.is_(None))


def _lines(
    search: Search, conditions: list[ColumnElement[bool]], before: Key | None, reached: Key | None, limit: int = STRETCH
) -> Select[Any]:
    """Return events of one stretch of the ledger, newest first. Of the waiting ones, at most this many are examined."""
    reached = reached or _oldest(search)
    if search.delivery == "waiting":
        return _waiting(before, reached, limit).where(*conditions)
    return _EVENTS.where(*conditions, *_between(_PLACE, before, reached)).order_by(
        *(column.desc() for column in _PLACE)
    )


def _waiting(before: Key | None, reached: Key | None, limit: int) -> Select[Any]:
    """Return the waiting events of a stretch. The join starts from the outbox; otherwise PostgreSQL might walk all
    events."""
    newest = (column.desc() for column in _PLACE_WAITING)
    stretch = select(outbox).where(*_between(_PLACE_WAITING, before, reached)).order_by(*newest).limit(limit)
    waits = (few := stretch.subquery()).c
    same = (event.c.time_ms == waits.created_ms) & (event.c.event_id == waits.event_id)
    lines = select(event, waits.due_ms, waits.attempts, waits.error).select_from(few.join(event, same))
    return lines.order_by(waits.created_ms.desc(), waits.event_id.desc())


def _reached(
    connection: Connection, search: Search, along: list[ColumnElement[bool]], before: Key | None
) -> Key | None:
    """Return the end of a stretch of the index; None at the end of the ledger or of its searched part."""
    place = _PLACE_WAITING if search.delivery == "waiting" else _PLACE
    walk = (
        select(*place)
        .where(*along, *_between(place, before, _oldest(search)))
        .order_by(*(column.desc() for column in place))
    )
    row = connection.execute(walk.limit(1).offset(STRETCH - 1)).one_or_none()
    return None if row is None else (row[0], row[1])


def _oldest(search: Search) -> Key | None:
    """Return the place at which a search begins; None for the beginning of the ledger."""
    return None if search.since_ms is None else _moment(search.since_ms)


def _moment(time_ms: int) -> Key:
    """Return the place before all events of this moment."""
    return time_ms, ""


def _between(place: tuple[Any, Any], before: Key | None, reached: Key | None) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of being older than one place and not older than the other."""
    if before is not None:
        yield tuple_(*place) < _key(before)
    if reached is not None:
        yield tuple_(*place) >= _key(reached)


def _key(key: Key) -> Any:
    return tuple_(literal(key[0], BigInteger), literal(key[1], String))


def _page(lines: list[Row[Any]], size: int, reached: Key | None) -> Page:
    """Return the found events and the place to continue from: after the last event shown, or where the search
    stopped."""
    if len(lines) > size:
        last = lines[size - 1]
        reached = last.time_ms, last.event_id
    return Page([_line(row) for row in lines[:size]], reached)


def _line(row: Row[Any]) -> Line:
    waits = row.due_ms is not None
    return Line(
        rows.to_event(row),
        row.acknowledged_ms,
        row.due_ms,
        row.attempts if waits else 0,
        row.error if waits else None,
        row.grp,
        row.simulated,
    )
