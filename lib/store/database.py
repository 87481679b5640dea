"""One database, SQLite or PostgreSQL: opening it, migrating it, reading and writing it.

Owns engines, pragmas and the settings of transactions. Knows only the table of migrations.
"""

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.pool import QueuePool

from lib.domain.clock import now_ms
from lib.domain.database_url import DatabaseUrl, parse_database_url
from lib.domain.record import StoreError
from lib.store import migrations, partitions, schema
from lib.store.failures import away, explain

BUSY_MS = 1_000
"""Milliseconds that SQLite waits for another process before it reports a lock; the writer then retries."""
CONNECT_S = 5
"""Seconds that PostgreSQL may take to accept a connection."""
READERS = 20
"""Connections that may read at the same time."""
IDLE_S = 10
"""Seconds that PostgreSQL waits for the next statement of a writing transaction."""
LOCK = 7_265_792_001
"""The advisory lock under which replicas apply migrations one after the other."""

# A pooler gives every transaction another session, so no setting may outlive a transaction. PostgreSQL
# would compile a query of the ledger for each of its partitions: 0.2 s for a page that is read in 1 ms.
READ = text("SELECT set_config('jit', 'off', true)")
# Replicas wait for each other's locks: a replica that froze or lost its network in a transaction must not block the
# others. A confirmed write must have reached the disk, whatever the server's default is.
WRITE = text(
    "SELECT set_config('jit', 'off', true), set_config('idle_in_transaction_session_timeout', :idle, true),"
    " set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, true)"
).bindparams(idle=f"{IDLE_S}s")


class Database:
    """Two engines on one database: one connection that writes, several that read."""

    def __init__(self, address: DatabaseUrl) -> None:
        self.url, self.name, self._path = _sqlalchemy_url(address), str(address), address.file
        self._file: tuple[int, int] | None = None
        self.writer, self.reader = self._postgres() if self._path is None else self._sqlite(self._path)

    @classmethod
    def open(cls, url: str) -> "Database":
        """Connect and bring the tables up to date. Raises StoreError."""
        try:
            database = cls(parse_database_url(url))
        except ValueError as error:
            raise StoreError(f"The address of the database is not understood: it must be {error}.") from None
        try:
            if database._path is not None:
                _make_private(database._path)
            _retry_while_locked(lambda: migrate(database.writer))
        except (OSError, DBAPIError) as error:
            database.close()
            raise StoreError(f"The database {database.name} cannot be used: {explain(error)}.") from error
        except StoreError:
            database.close()
            raise
        database._file = database._identity()
        return database

    @property
    def shared(self) -> bool:
        """True where several machines can use it: a server, not a file."""
        return self._path is None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading, in one transaction. Raises StoreError when the store cannot be read."""
        try:
            with self.reader.connect() as connection:
                yield connection
        except (DBAPIError, TimeoutError) as error:
            raise StoreError(f"The database {self.name} cannot be read: {explain(error)}.") from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that holds the right to write; commits at the end of its block."""
        self._check_file()
        try:
            with self.writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            if away(error):  # the same address may lead to another server by now, or to a changed one
                self.writer.dispose()
            raise

    def empty_log(self) -> bool:
        """Move SQLite's write-ahead log into the file and truncate it; True when nothing was left.

        Otherwise deleted text would stay in the log until the last process closes the file.
        """
        if self._path is None:
            return True
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_MS / 1_000)) as connection:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def close(self) -> None:
        """Close all connections."""
        self.writer.dispose()
        self.reader.dispose()

    def _check_file(self) -> None:
        """Raise where the SQLite file was moved or deleted: SQLite would keep writing to a file that nothing can
        read."""
        if self._file is not None and self._identity() != self._file:
            raise StoreError(f"the file {self._path} is gone or was replaced while Parley runs")

    def _identity(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _sqlite(self, path: Path) -> tuple[Engine, Engine]:
        arguments: Any = {"timeout": BUSY_MS / 1_000, "check_same_thread": False}
        url = self.url.set(database=str(path))
        existing = f"file:{quote(str(path))}?mode=rw"  # otherwise a reader would create a missing file
        writer = _engine(url, 1, connect_args=arguments)
        reader = _engine(url, READERS, creator=lambda: sqlite3.connect(existing, uri=True, **arguments))
        event.listen(writer, "connect", _sqlite_writer)
        event.listen(reader, "connect", _sqlite_reader)
        # Python's driver begins a transaction late and without the lock, so a transaction that reads before it
        # writes would fail.
        event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return writer, reader

    def _postgres(self) -> tuple[Engine, Engine]:
        ours: dict[str, Any] = {
            "connect_timeout": CONNECT_S,
            "application_name": "parley",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        }
        # A prepared statement belongs to a session; behind a pooler the next transaction may have another session.
        arguments = {k: v for k, v in ours.items() if k not in self.url.query} | {"prepare_threshold": None}
        writer = _engine(self.url, 1, connect_args=arguments)
        # The several statements of one read see one state, as on SQLite.
        reader = _engine(
            self.url, READERS, connect_args=arguments, pool_pre_ping=True, isolation_level="REPEATABLE READ"
        )
        event.listen(writer, "begin", lambda connection: connection.execute(WRITE))
        event.listen(reader, "begin", lambda connection: connection.execute(READ))
        return writer, reader


def migrate(engine: Engine) -> None:
    """Apply every missing migration; safe when several processes start at once."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        fresh = not inspect(connection).has_table(schema.migration.name)
        if fresh:
            schema.metadata.create_all(connection)
            partitions.default(connection)
        applied = set(connection.scalars(select(schema.migration.c.name)))
        if unknown := sorted(applied - {name for name, _ in migrations.MIGRATIONS}):
            raise StoreError(
                f"The database was changed by a newer Parley ({', '.join(unknown)}). Start that version, or restore "
                "the backup from before the update"
            )
        for name, steps in migrations.MIGRATIONS:
            if name in applied:
                continue
            for step in () if fresh else steps:
                connection.exec_driver_sql(step) if isinstance(step, str) else step(connection)
            connection.execute(insert(schema.migration).values(name=name, applied_ms=now_ms()))
        partitions.prepare(connection, now_ms())


def probe(connection: Connection) -> None:
    """Write without changing anything: a read-only, locked or full store refuses it."""
    first = migrations.MIGRATIONS[0][0]
    column = schema.migration.c
    connection.execute(update(schema.migration).where(column.name == first).values(applied_ms=column.applied_ms))


def _sqlalchemy_url(address: DatabaseUrl) -> URL:
    query: dict[str, Any] = {}
    for name, value in address.parameters:
        query.setdefault(name, []).append(value)
    return URL.create(
        address.driver,
        address.user or None,
        address.password,
        address.host or None,
        address.port,
        address.name or None,
        {name: values[0] if len(values) == 1 else values for name, values in query.items()},
    )


def _make_private(file: Path) -> None:
    """Create the file, and its folder if missing, for this user alone. SQLite's other files inherit its mode.

    An existing file is not opened: closing it would drop the locks of this process's other connections.
    """
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for path in (file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))):
        with contextlib.suppress(OSError):  # missing, or another user's file that this user may write
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(0o600)


def _engine(url: URL, size: int, **options: Any) -> Engine:
    return create_engine(
        url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=10, hide_parameters=True, **options
    )


def _retry_while_locked(attempt: Callable[[], None], seconds: float = 10.0) -> None:
    """Retry for a while: switching a new SQLite file to WAL ignores the busy timeout, so processes that start at once
    collide."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            if code not in (5, 6) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _sqlite_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")  # SQLite may have been built without this default


def _sqlite_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")
    connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows the letters of ASCII only


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value
