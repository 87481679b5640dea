"""One process's access to its database: reads are direct, writes go through the writer's thread.

Owns the time that a hanging store is waited for, and the recording options of this process. Knows no table.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from lib.domain.record import StoreError
from lib.store.database import Database, probe
from lib.store.recording import Recording
from lib.store.writer import VITAL_LIMIT, Fact, StoreMeter, Ticket, Writer

PROBE_S = 1.0
"""Seconds for which a successful write proves that the store works, and the timeout of a new probe."""
WRITE_S = 5.0
"""Seconds that a write is waited for."""


class Channel:
    """Reads and writes of one process. Writes return at once and never raise; reads raise `StoreError`."""

    def __init__(self, database: Database, recording: Recording, meter: StoreMeter) -> None:
        self.database, self.recording = database, recording
        self._meter, self._writer = meter, Writer(database.begin, meter)

    def close(self, timeout: float) -> bool:
        """Write what is left, for at most `timeout` seconds; False when something had to be given up."""
        written = self._writer.close(timeout)
        self.database.close()
        return written

    @property
    def error(self) -> str | None:
        """The reason why nothing can be written, as a sentence for the operator; None after a successful attempt."""
        return self._writer.error

    @property
    def queued(self) -> int:
        """The number of facts that were handed over and are not committed yet."""
        return len(self._writer)

    def trouble(self) -> str | None:
        """Return why nothing can be written now; None when something can.

        A write is tried, for at most a second, where none succeeded within the last second.
        """
        if self.queued == 0 and time.monotonic() - self._writer.committed_at > PROBE_S:
            try:
                self._writer.call(probe, PROBE_S)
            except StoreError as error:
                return str(error)
        return self.error

    def was_away(self, seconds: float) -> bool:
        """Return True where the store is away, or has been back for less than `seconds`.

        Call it inside a fact: a fact that had to wait may be written by the very commit that finds the store again.
        """
        return self.error is not None or time.monotonic() - self._writer.returned_at < seconds

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for queries. Raises StoreError, at once where a write hangs: a read would hang, too."""
        began = time.monotonic()
        try:
            if hangs := self._writer.hangs:
                raise StoreError(hangs)
            with self.database.read() as connection:
                yield connection
        except StoreError:
            self._meter.store_failed("read")
            raise
        self._meter.read(time.monotonic() - began)

    def write(self, fact: Fact, limit: int = VITAL_LIMIT, key: str | None = None) -> Ticket:
        """Hand over a function of a connection that is harmless when it runs twice.

        It is refused where more than `limit` facts wait. A fact with the `key` of a waiting one takes its place.
        """
        return self._writer.submit(fact, limit=limit, key=key)

    def call(self, fact: Fact, within_s: float = WRITE_S, keep: bool = False) -> Any:
        """Hand over a fact, wait for its commit and return its result.

        Raises StoreError when that fails or takes longer. `keep`: a store that is away is waited for as long, too.
        """
        return self._writer.call(fact, within_s, keep=keep)
