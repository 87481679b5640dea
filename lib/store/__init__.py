"""The record: conversations, answers, ratings, and every event with its way to Statsig, on SQLite or PostgreSQL.

`Store` has a noun for each part: `conversations`, `events`, `outbox`, `guests`, `spending`, `alerts`. Writes are
handed to one thread and give a `Ticket`; reads are direct. The queries of a readout are functions of a connection, in
modules of their own. Knows nothing of Statsig, OpenAI or Streamlit.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.ids import new_id
from lib.domain.record import StoreError
from lib.statistics.sums import Today
from lib.store import erasure, facts, reads, turns
from lib.store.alerts import AlertLog
from lib.store.channel import Channel
from lib.store.comparisons import Participation
from lib.store.conversations import StoredConversations
from lib.store.database import Database
from lib.store.erasure import Erased
from lib.store.events import EventLedger
from lib.store.guests import GuestBook
from lib.store.outbox import EventOutbox
from lib.store.recording import Recording
from lib.store.spending import SpendingAccounts
from lib.store.today import today
from lib.store.writer import Fact, StoreMeter, Ticket, Unmetered

__all__ = ["Connection", "Erased", "Participation", "Store", "StoreError", "Ticket"]

PIECE = 1_000
"""Rows that retention deletes in one transaction, so that other writers do not wait long."""


class Store:
    """One process's access to the record.

    A method that writes returns a `Ticket` at once and never raises; while the database is away, the write is kept and
    repeated. A method that reads raises `StoreError` when the database cannot be read.
    """

    def __init__(self, database: Database, recording: Recording, meter: StoreMeter | None = None) -> None:
        self._channel = Channel(database, recording, meter or Unmetered())
        self.conversations = StoredConversations(self._channel)
        self.events = EventLedger(self._channel)
        self.outbox = EventOutbox(self._channel)
        self.guests = GuestBook(self._channel)
        self.spending = SpendingAccounts(self._channel)
        self.alerts = AlertLog(self._channel)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        keep_text: bool = True,
        deliver: bool = False,
        tier: str = "",
        owner: str | None = None,
        meter: StoreMeter | None = None,
    ) -> "Store":
        """Connect and bring the tables up to date. Raises StoreError with a sentence for the operator.

        The arguments are those of `Recording`; `meter` is given what the store does and how long it takes.
        """
        database = Database.open(url)
        return cls(database, Recording(keep_text, deliver, tier, owner or new_id()), meter)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is left, for at most `timeout` seconds; False when something had to be given up."""
        return self._channel.close(timeout)

    @property
    def owner(self) -> str:
        """The name of this process among those that share the database."""
        return self._channel.recording.owner

    @property
    def shared(self) -> bool:
        """True where processes on other machines may use the database as well."""
        return self._channel.database.shared

    @property
    def healthy(self) -> bool:
        """True where the last attempt to write succeeded and none hangs."""
        return self._channel.error is None

    @property
    def trouble(self) -> str | None:
        """The reason why nothing can be written now, as a sentence for the operator; None when something can."""
        return self._channel.trouble()

    @property
    def queued(self) -> int:
        """The number of facts that were handed over and are not committed yet."""
        return self._channel.queued

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for queries. Raises StoreError."""
        with self._channel.read() as connection:
            yield connection

    def write(self, fact: Fact) -> Ticket:
        """Hand over a fact: a function of a connection that is harmless when it runs twice."""
        return self._channel.write(fact)

    def written(self, fact: Fact, within_s: float) -> Any:
        """Hand over a fact, wait for its commit and return its result. Raises StoreError when it takes longer."""
        return self._channel.call(fact, within_s, keep=True)

    def attempt(self, fact: Fact, within_s: float = 5.0) -> Any:
        """Run a fact now or not at all, and return its result. Raises StoreError: then nothing has changed."""
        return self._channel.call(fact, within_s)

    def take_turn(self, task: str, every_ms: int, now_ms: int) -> bool:
        """Return True where this process does a task for all replicas now. The next turn comes after `every_ms`. Raises
        StoreError."""
        return bool(self.attempt(lambda connection: turns.take_turn(connection, task, self.owner, now_ms, every_ms)))

    def keep_definitions(self, source: str, specs: str) -> Ticket:
        """Keep what a source served last, for a start without it."""
        return self._channel.write(lambda connection: facts.keep_definitions(connection, source, specs))

    def definitions(self, source: str) -> str | None:
        """Return what this source served last."""
        with self.read() as connection:
            return reads.definitions(connection, source)

    def today(self, experiment: str, since_ms: int, run: int = 1) -> Today:
        """Return what real visitors did in a run of an experiment since then."""
        with self.read() as connection:
            return today(connection, experiment, since_ms, run)

    def erase(self, unit: str) -> Erased:
        """Delete everything of this unit: text, numbers, events, those that wait for Statsig too. Raises StoreError."""
        with self.read() as connection:
            keys = erasure.find(connection, unit)
        for step in erasure.steps(keys):
            self._channel.call(step, 60)
        self._channel.database.empty_log()
        return keys.erased

    def purge(self, days: float) -> int:
        """Delete the text of questions older than `days`, in pieces, and return the number of rows. Raises StoreError.

        A conversation is deleted when it was not used for as long; numbers and events stay.
        """
        before_ms = now_ms() - int(days * DAY_MS)
        self.spending.sweep()
        deleted = 0
        while piece := self.conversations.delete_old(before_ms, PIECE):
            deleted += piece
            time.sleep(0.01)  # lets other writers in
        return deleted

    def forget_deleted(self) -> None:
        """Remove deleted text from the database's log. Call it regularly: a busy log cannot be emptied at once."""
        if self.conversations.deleted and self.healthy:
            self.conversations.deleted = False
            if not self._channel.database.empty_log():
                self.conversations.deleted = True
