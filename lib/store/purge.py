"""Removal of old events from the ledger: whole partitions where they exist, else in pieces, while others write.

Events that still wait for Statsig stay, and so do the numbers that a readout is made of (`answer`, `exposure`, `vote`).
The number of removed events is added up in `purged`. Knows the tables, but not the command that calls it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, String, and_, delete, exists, func, literal, select, tuple_

from lib.domain.ledger import Key
from lib.store import Store, StoreError, partitions
from lib.store.facts import insert_into
from lib.store.partitions import Partition
from lib.store.schema import event, outbox, purged

HOLD_S = 0.03
"""Target duration of a piece, during which other writers wait; they get as long in between."""
SIZES = (10, 5_000)
"""Least and most events of a piece."""
COMMIT_S = 60.0
"""Seconds that one step may take to commit, waiting included."""
TRIES, PAUSE_S = 60, 0.5
"""Attempts at a partition in use, and the seconds between them."""

_PLACE = (event.c.time_ms, event.c.event_id)
_WAITS = exists().where(outbox.c.event_id == event.c.event_id)


@dataclass(frozen=True, slots=True)
class Old:
    """Counts of events from before a time: `events` can be removed, of which Statsig never got `unsent`; `waiting` ones
    must stay."""

    events: int
    unsent: int
    waiting: int


def old(store: Store, before_ms: int) -> Old:
    """Return what a purge would find. Raises StoreError."""
    early = event.c.time_ms < before_ms
    with store.read() as connection:
        counts = select(func.count(), func.count(event.c.acknowledged_ms)).where(early)
        events, acknowledged = connection.execute(counts).one()
        waiting = connection.scalar(select(func.count()).where(outbox.c.created_ms < before_ms)) or 0
    return Old(events - waiting, events - waiting - acknowledged, waiting)


def purge(store: Store, before_ms: int) -> Iterator[int]:
    """Remove the events from before a time that do not wait for Statsig; yield the number removed after each step.

    It can stop after any step and be called again. Raises StoreError, also where others keep a partition in use.
    """
    with store.read() as connection:
        whole = partitions.before(connection, before_ms)
    for partition in whole:
        yield _drop(store, partition)
    size, after = SIZES[0], (0, "")
    while True:
        piece = _Piece(after, before_ms, size)
        removed, reached = store.written(piece, COMMIT_S)
        yield removed
        if reached is None:
            return
        after, size = reached, min(max(int(size * HOLD_S / piece.took), SIZES[0]), SIZES[1], 2 * size)
        time.sleep(piece.took)  # lets writers that waited for this piece go first


class _Piece:
    """A fact that removes the events of one stretch of the ledger, except those that wait for Statsig."""

    def __init__(self, after: Key, before_ms: int, size: int) -> None:
        self._after, self._before_ms, self._size = after, before_ms, size
        self._began = 0.0

    @property
    def took(self) -> float:
        """Seconds since it was begun, the commit included."""
        return time.monotonic() - self._began

    def __call__(self, connection: Connection) -> tuple[int, Key | None]:
        """Return the number removed and the end of the stretch; None where it was the last."""
        self._began = time.monotonic()
        further = and_(event.c.time_ms >= self._after[0], tuple_(*_PLACE) > _key(self._after))
        until = event.c.time_ms < self._before_ms
        row = connection.execute(
            select(*_PLACE).where(further, until).order_by(*_PLACE).offset(self._size - 1).limit(1)
        ).one_or_none()
        if row is not None:  # replaces the other bound: given both, SQLite would use that one and walk the whole index
            until = and_(event.c.time_ms <= row.time_ms, tuple_(*_PLACE) <= _key((row.time_ms, row.event_id)))
        removed = delete(event).where(further, until, ~_WAITS).returning(event.c.simulated, event.c.acknowledged_ms)
        counts: dict[bool, list[int]] = {}
        for simulated, acknowledged_ms in connection.execute(removed):
            count = counts.setdefault(bool(simulated), [0, 0])
            count[0] += 1
            count[1] += acknowledged_ms is not None
        for simulated, count in counts.items():
            _remember(connection, simulated, *count)
        return sum(count[0] for count in counts.values()), None if row is None else (row.time_ms, row.event_id)


def _drop(store: Store, partition: Partition) -> int:
    """Drop a partition as soon as no other user blocks it; return the number of its events. One with waiting events
    stays.

    Counting comes first and may take long: an event that a wrong clock writes into that month in between is dropped
    uncounted.
    """
    with store.read() as connection:
        if _waits(connection, partition):
            return 0
        counts = f"SELECT simulated, count(*), count(acknowledged_ms) FROM {partition.name} GROUP BY simulated"  # noqa: S608
        counted = [tuple(row) for row in connection.exec_driver_sql(counts)]
    for _ in range(TRIES):
        gone: int | None = store.written(lambda connection: _dropped(connection, partition, counted), COMMIT_S)
        if gone is not None:
            return gone
        time.sleep(PAUSE_S)
    raise StoreError(f"The partition {partition.name} is in use all the time (a backup?), and so it cannot be dropped.")


def _dropped(connection: Connection, partition: Partition, counted: Sequence[tuple[bool, int, int]]) -> int | None:
    """Drop a partition and return the number of its events; None where others use it."""
    # Blocks only writers into this partition; an autovacuum yields to a lock request after a second.
    if not partitions.at_once(connection, f"LOCK TABLE {partition.name} IN SHARE MODE", patience="5s"):
        return None
    if _waits(connection, partition):
        return 0
    if not partitions.at_once(connection, f"DROP TABLE {partition.name}"):
        return None
    for simulated, events, acknowledged in counted:
        _remember(connection, simulated, events, acknowledged)
    return sum(events for _, events, _ in counted)


def _waits(connection: Connection, partition: Partition) -> bool:
    """Return True where any event of a partition waits for Statsig."""
    within = outbox.c.created_ms < partition.until_ms
    if partition.from_ms is not None:
        within &= outbox.c.created_ms >= partition.from_ms
    return connection.scalar(select(outbox.c.event_id).where(within).limit(1)) is not None


def _remember(connection: Connection, simulated: bool, events: int, acknowledged: int) -> None:
    """Add to the count of removed events that a readout shows."""
    new = insert_into(connection, purged)
    more = {
        "events": purged.c.events + new.excluded.events,
        "acknowledged": purged.c.acknowledged + new.excluded.acknowledged,
    }
    statement = new.on_conflict_do_update(index_elements=[purged.c.simulated], set_=more)
    connection.execute(statement, {"simulated": simulated, "events": events, "acknowledged": acknowledged})


def _key(key: Key) -> Any:
    return tuple_(literal(key[0], BigInteger), literal(key[1], String))
