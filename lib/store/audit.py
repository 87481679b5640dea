"""The audit log: a line for every act of an operator. Lines are added and read; nothing here changes or deletes one."""

import json
from collections.abc import Iterator

from sqlalchemy import Connection, Select, or_, select
from sqlalchemy import and_ as both

from lib.domain.operations import Entry
from lib.store.facts import add
from lib.store.rows import fit
from lib.store.schema import audit


def log_act(connection: Connection, entry: Entry) -> None:
    """Add a line; does nothing where it exists."""
    add(connection, audit, _row(entry))


def is_logged(connection: Connection, entry_id: str) -> bool:
    """Return True for an act that was written before: a transaction may be tried twice."""
    return connection.scalar(select(audit.c.id).where(audit.c.id == entry_id)) is not None


def entries(
    connection: Connection,
    operator: str | None = None,
    act: str | None = None,
    subject: str | None = None,
    before: tuple[int, str] | None = None,
    limit: int | None = 50,
) -> Iterator[Entry]:
    """Yield lines, newest first; `before` is the time and id of a line to continue after, `limit` None: all of them."""
    query: Select[tuple[object, ...]] = select(audit).order_by(audit.c.time_ms.desc(), audit.c.id.desc())
    for column, value in ((audit.c.operator, operator), (audit.c.act, act), (audit.c.subject, subject)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        earlier = both(audit.c.time_ms == before[0], audit.c.id < before[1])
        query = query.where(or_(audit.c.time_ms < before[0], earlier))
    if limit is not None:
        query = query.limit(limit)
    for row in connection.execute(query):
        yield Entry(row.id, row.time_ms, row.operator, row.act, row.subject, json.loads(row.details))


def operators(connection: Connection) -> list[str]:
    """Return the operators who have a line."""
    return list(connection.scalars(select(audit.c.operator).distinct().order_by(audit.c.operator)))


def acts(connection: Connection) -> list[str]:
    """Return the acts that have a line."""
    return list(connection.scalars(select(audit.c.act).distinct().order_by(audit.c.act)))


def _row(entry: Entry) -> dict[str, object]:
    details = json.dumps(dict(entry.details), ensure_ascii=False, default=str)
    return fit(
        audit,
        {
            "id": entry.id,
            "time_ms": entry.time_ms,
            "operator": entry.operator,
            "act": entry.act,
            "subject": entry.subject,
            "details": details,
        },
    )
