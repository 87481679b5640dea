"""The ledger's partitions on PostgreSQL: one per month, created in advance, and dropped whole when old.

On SQLite the ledger is one table, and every function does nothing. Events of other months go to a default partition, so
that no event is ever refused. Knows no row.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

AHEAD = 3
"""Months that are prepared beyond the current and the last one."""
TURN = 7_265_792_003
"""PostgreSQL's advisory lock under which one replica prepares months."""
PATIENCE = "100ms"
"""Time that a change of partitions waits for the ledger's users; later users wait as long."""

_ALL = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = to_regclass('event') ORDER BY c.relname"
)
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'?(-?\d+)'?)\) TO \('?(-?\d+)'?\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A table that holds the events from one moment (None: from the beginning) up to before another."""

    name: str
    from_ms: int | None
    until_ms: int


def partitioned(connection: Connection) -> bool:
    """Return True where the ledger of this database can have partitions."""
    return connection.dialect.name == "postgresql"


def prepare(connection: Connection, now_ms: int) -> None:
    """Create the missing partitions of the coming months.

    No writer waits for it longer than a moment: a month that cannot be created now is created at the next call.
    """
    if not partitioned(connection):
        return
    existing = list(_all(connection))
    reached = max((partition.until_ms for partition in existing), default=month(now_ms, -1))
    missing = [start for step in range(-1, AHEAD + 1) if (start := month(now_ms, step)) >= reached]
    if missing and connection.scalar(text("SELECT pg_try_advisory_xact_lock(:turn)"), {"turn": TURN}):
        for start in missing:
            if not at_once(connection, *_month(Partition(f"event_{_name(start)}", start, month(start, 1)))):
                return


def convert(connection: Connection) -> None:
    """Turn a ledger of one table into the partition of everything up to the end of this month, without copying rows."""
    if not partitioned(connection):
        return
    latest = connection.scalar(text("SELECT greatest(max(time_ms), :now) FROM event"), {"now": _now_ms()})
    for statement in (*_CONVERT, f"ALTER TABLE event ATTACH PARTITION event_past {_values(None, month(latest, 1))}"):
        connection.exec_driver_sql(statement)
    default(connection)


def default(connection: Connection) -> None:
    """Create the default partition, for times that no other partition covers."""
    if partitioned(connection):
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS event_default PARTITION OF event DEFAULT")


def before(connection: Connection, before_ms: int) -> list[Partition]:
    """Return the partitions that end before a time, oldest first."""
    if not partitioned(connection):
        return []
    return sorted(
        (partition for partition in _all(connection) if partition.until_ms <= before_ms),
        key=lambda partition: partition.until_ms,
    )


def at_once(connection: Connection, *statements: str, patience: str = PATIENCE) -> bool:
    """Run exclusive statements unless other users block them for longer than a moment; return True if they ran."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience}'")
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in ("55P03", "40P01"):  # lock not available, deadlock
            raise
        return False
    return True


def month(time_ms: int, step: int) -> int:
    """Return the beginning (UTC) of the month that is this many months after a time's.

    >>> [_name(month(1_795_438_800_000, step)) for step in (-11, 0, 2)]
    ['2025_12', '2026_11', '2027_01']
    """
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    months = moment.year * 12 + moment.month - 1 + step
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp() * 1_000)


def _name(start_ms: int) -> str:
    return datetime.fromtimestamp(start_ms / 1_000, UTC).strftime("%Y_%m")


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000)


def _all(connection: Connection) -> Iterator[Partition]:
    """Yield every partition but the default one."""
    for name, bounds in connection.execute(_ALL):
        if match := _BOUNDS.search(bounds):
            yield Partition(name, None if match[1] is None else int(match[1]), int(match[2]))


def _month(partition: Partition) -> Iterator[str]:
    """Yield the statements that move rows from the default partition into a month's table and attach it."""
    moved = (
        f"DELETE FROM event_default WHERE time_ms >= {partition.from_ms} AND time_ms < {partition.until_ms} RETURNING *"  # noqa: S608
    )
    yield f"CREATE TABLE {partition.name} (LIKE event)"
    yield f"WITH moved AS ({moved}) INSERT INTO {partition.name} SELECT * FROM moved"  # noqa: S608
    yield f"ALTER TABLE event ATTACH PARTITION {partition.name} {_values(partition.from_ms, partition.until_ms)}"


def _values(from_ms: int | None, until_ms: int) -> str:
    return f"FOR VALUES FROM ({'MINVALUE' if from_ms is None else from_ms}) TO ({until_ms})"


_CONVERT = (
    "ALTER TABLE event RENAME TO event_past",
    "ALTER TABLE event_past DROP CONSTRAINT event_pkey",
    "DROP INDEX event_by_time",
    "ALTER TABLE event_past ADD PRIMARY KEY (time_ms, event_id)",
    "ALTER INDEX event_of_answer RENAME TO event_past_of_answer",
    "ALTER INDEX event_of_user RENAME TO event_past_of_user",
    "ALTER INDEX event_by_name RENAME TO event_past_by_name",
    "ALTER INDEX event_by_group RENAME TO event_past_by_group",
    "ALTER INDEX event_acknowledged RENAME TO event_past_acknowledged",
    "ALTER INDEX event_failed RENAME TO event_past_failed",
    "CREATE TABLE event (LIKE event_past, PRIMARY KEY (time_ms, event_id)) PARTITION BY RANGE (time_ms)",
    "CREATE INDEX event_of_answer ON event (answer_id)",
    "CREATE INDEX event_of_user ON event (user_id, time_ms, event_id)",
    "CREATE INDEX event_by_name ON event (name, time_ms, event_id, grp)",
    "CREATE INDEX event_by_group ON event (grp, time_ms, event_id)",
    "CREATE INDEX event_acknowledged ON event (simulated, acknowledged_ms)",
    """CREATE INDEX event_failed ON event (time_ms, event_id) WHERE value IN ('"error"', '"interrupted"')""",
)
