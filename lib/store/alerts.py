"""The alerts of a database: each is noted once by all replicas together, and sent until its receivers have it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select, update

from lib.domain.clock import now_ms
from lib.domain.events import CHAT_COMPLETION
from lib.store.channel import Channel
from lib.store.facts import add
from lib.store.rows import fit
from lib.store.schema import alert, event

FAILED = ('"error"', '"interrupted"')
"""The values of the events of failed answers, as the record has them."""
TRIES = 10
"""Attempts to send an alert."""
MOST = 1_000
"""Failed answers whose errors are counted."""
RETRY_MS = 60_000
"""Milliseconds between two attempts, and how long an alert belongs to the process that sends it."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert. `sent_ms` is None while a receiver does not have it; `reached` has the places of those that do."""

    key: str
    title: str
    text: str
    page: str
    time_ms: int
    sent_ms: int | None = None
    attempts: int = 0
    reached: tuple[int, ...] = ()

    @property
    def given_up(self) -> bool:
        """True where the last attempt was made and some receiver still does not have it."""
        return self.sent_ms is None and self.attempts >= TRIES


class AlertLog:
    """The alerts of a database. Methods that wait for a commit raise StoreError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def note(self, key: str, title: str, text: str, page: str) -> None:
        """Note an alert, to be sent; one of this key that was noted before stays as it is."""
        row = {"key": key, "title": title, "text": text, "page": page, "time_ms": now_ms(), "due_ms": 0}
        self._channel.call(lambda connection: add(connection, alert, fit(alert, row | {"attempts": 0, "reached": ""})))

    def due(self) -> list[StoredAlert]:
        """Return the alerts to send now. No other process gets them for a minute."""

        def fact(connection: Connection) -> list[StoredAlert]:
            now = now_ms()
            waiting = alert.c.sent_ms.is_(None) & (alert.c.due_ms <= now) & (alert.c.attempts < TRIES)
            rows = connection.execute(select(alert).where(waiting).order_by(alert.c.time_ms).with_for_update()).all()
            lease = {"due_ms": now + RETRY_MS, "attempts": alert.c.attempts + 1}
            connection.execute(update(alert).where(alert.c.key.in_([row.key for row in rows])).values(lease))
            return [_alert(row) for row in rows]

        return list(self._channel.call(fact))

    def attempted(self, key: str, reached: tuple[int, ...], everybody: bool) -> None:
        """Store which receivers have an alert; `everybody`: every receiver has it."""
        outcome = {"reached": " ".join(map(str, reached)), "sent_ms": now_ms() if everybody else None}
        self._channel.call(
            lambda connection: connection.execute(update(alert).where(alert.c.key == key).values(outcome)).rowcount
        )

    def newest(self, limit: int = 5) -> list[StoredAlert]:
        """Return the newest alerts, the newest first."""
        with self._channel.read() as connection:
            return [
                _alert(row)
                for row in connection.execute(select(alert).order_by(alert.c.time_ms.desc(), alert.c.key).limit(limit))
            ]

    def reached(self, keys: Sequence[str]) -> list[StoredAlert]:
        """Return those of the alerts with these keys that a receiver has."""
        having = select(alert).where(alert.c.key.in_(keys), alert.c.reached != "")
        with self._channel.read() as connection:
            return [_alert(row) for row in connection.execute(having)]

    def noted(self, beginning: str, since_ms: int) -> list[StoredAlert]:
        """Return the alerts since then whose keys have this beginning."""
        query = select(alert).where(alert.c.key.startswith(beginning, autoescape=True), alert.c.time_ms >= since_ms)
        with self._channel.read() as connection:
            return [_alert(row) for row in connection.execute(query)]

    def lately(self, since_ms: int) -> tuple[int, int]:
        """Return the number of real answers that ended since then, and how many of them failed."""
        ended = _ended_since(since_ms) & (event.c.value != '"limited"')
        failed = func.sum(case((event.c.value.in_(FAILED), 1), else_=0))
        with self._channel.read() as connection:
            row = connection.execute(select(func.count(), func.coalesce(failed, 0)).where(ended)).one()
        return int(row[0]), int(row[1])

    def kinds(self, since_ms: int) -> list[str]:
        """Return the classes of the errors with which real answers failed since then, the most frequent first."""
        newest = select(event.c.metadata).where(_ended_since(since_ms), event.c.value.in_(FAILED))
        newest = newest.order_by(event.c.time_ms.desc()).limit(MOST)
        with self._channel.read() as connection:
            facts = [json.loads(row.metadata) for row in connection.execute(newest)]
        return [kind for kind, _ in Counter(str(one.get("error") or "no reason") for one in facts).most_common()]


def _ended_since(since_ms: int) -> ColumnElement[bool]:
    real = (event.c.time_ms >= since_ms) & event.c.simulated.is_(False)
    return real & (event.c.name == CHAT_COMPLETION)


def _alert(row: Row[Any]) -> StoredAlert:
    reached = tuple(int(place) for place in row.reached.split())
    return StoredAlert(row.key, row.title, row.text, row.page, row.time_ms, row.sent_ms, row.attempts, reached)
