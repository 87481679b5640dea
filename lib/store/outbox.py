"""Events that Statsig has not acknowledged: leased to one dispatcher at a time, acknowledged, or postponed.

Knows the table `outbox`, not Statsig.
"""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, func, select, update

from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.domain.record import StoreError
from lib.store import rows
from lib.store.channel import Channel
from lib.store.schema import event, outbox
from lib.store.writer import Ticket

_DUE = outbox.c.due_ms <= bindparam("now")
_ID = outbox.c.event_id == bindparam("id")


def lease(connection: Connection, limit: int, seconds: float) -> list[Event]:
    """Lease due events, the longest due first; no other process gets them until the lease ends."""
    now = now_ms()
    due = select(outbox.c.event_id, outbox.c.created_ms).where(_DUE)
    longest = due.order_by(outbox.c.due_ms, outbox.c.created_ms).limit(limit)
    leased = {
        row.event_id: row.created_ms
        for row in connection.execute(longest.with_for_update(skip_locked=True), {"now": now})
    }
    if not leased:
        return []
    ids = list(leased)
    until = {"due_ms": now + int(seconds * 1_000), "attempts": outbox.c.attempts + 1}
    connection.execute(update(outbox).where(outbox.c.event_id.in_(ids)).values(until))
    stored = select(event).where(event.c.time_ms.in_(set(leased.values())))  # and a few with the same time
    events_by_id = {row.event_id: rows.to_event(row) for row in connection.execute(stored) if row.event_id in leased}
    erased = [event_id for event_id in ids if event_id not in events_by_id]
    if erased:
        connection.execute(delete(outbox).where(outbox.c.event_id.in_(erased)))
    return [events_by_id[event_id] for event_id in ids if event_id in events_by_id]


def acknowledge(connection: Connection, ids: Collection[str]) -> None:
    """Mark these events as acknowledged."""
    if not ids:
        return
    waiting = select(outbox.c.created_ms.label("at"), outbox.c.event_id.label("id"))
    waiting_rows = (
        connection.execute(waiting.where(outbox.c.event_id.in_(ids)).order_by(outbox.c.event_id)).mappings().all()
    )
    if not waiting_rows:  # another process acknowledged them, too
        return
    keys = [dict(row) for row in waiting_rows]  # replicas lock the same rows in the same order
    acknowledged = update(event).where(event.c.time_ms == bindparam("at"), event.c.event_id == bindparam("id"))
    connection.execute(acknowledged.values(acknowledged_ms=now_ms()), keys)
    connection.execute(delete(outbox).where(_ID), keys)


def postpone(connection: Connection, ids: Collection[str], delay_s: float, error: str | None) -> None:
    """Make these events due again after the delay."""
    later = {"due_ms": now_ms() + int(delay_s * 1_000)} | rows.fit(outbox, {"error": error})
    connection.execute(update(outbox).where(_ID).values(later), [{"id": event_id} for event_id in sorted(ids)])


def pending(connection: Connection) -> tuple[int, float]:
    """Return how many events wait, and the age of the oldest in seconds (0 where none does)."""
    count, oldest = connection.execute(select(func.count(), func.min(outbox.c.created_ms)).select_from(outbox)).one()
    return count, 0.0 if oldest is None else max(0.0, (now_ms() - oldest) / 1_000)


class EventOutbox:
    """The undelivered events of a database."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def lease(self, limit: int, seconds: float) -> list[Event]:
        """Lease events for `seconds` and return them, the longest due first; none while the store is away."""
        try:
            return list(self._channel.call(lambda connection: lease(connection, limit, seconds)))
        except StoreError:
            return []

    def acknowledge(self, event_ids: Collection[str]) -> Ticket:
        """Remove events that Statsig has."""
        return self._channel.write(lambda connection: acknowledge(connection, event_ids))

    def postpone(self, event_ids: Collection[str], delay_s: float, error: str | None) -> Ticket:
        """Deliver these events after the delay, for a reason that the operator may read."""
        return self._channel.write(lambda connection: postpone(connection, event_ids, delay_s, error))

    def pending(self) -> tuple[int, float]:
        """Return how many events wait for Statsig, and for how many seconds the oldest of them has."""
        with self._channel.read() as connection:
            return pending(connection)
