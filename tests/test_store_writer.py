"""The one thread that writes: groups, receipts, bad facts, and a store that is unavailable for a while."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from lib.domain.record import StoreError
from lib.store.database import Database
from lib.store.schema import definition
from lib.store.writer import Ticket, Writer
from tests.support.postgres_server import Postgres, binaries, serve
from tests.support.waiting import ENOUGH_S, until

SOON = ENOUGH_S


def note(name: str) -> Callable[[Connection], Any]:
    """Return a fact that inserts one row of that name. A second insert of that name fails."""
    return lambda connection: connection.execute(insert(definition).values(source=name, specs="", time_ms=1))


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(definition.c.source).order_by(definition.c.source)))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """Yield a server for this file alone, whose tests stop and freeze it."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    with serve() as server:
        yield server


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    started = Writer(database.begin)
    yield started
    started.close(SOON)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "parley.db"


@pytest.fixture
def on_file(file: Path) -> Iterator[tuple[Database, Writer]]:
    database = Database.open(f"sqlite:///{file}")
    writer = Writer(database.begin)
    yield database, writer
    writer.close(SOON)
    database.close()


class Gate:
    """A fact that holds the writer until it is opened."""

    def __init__(self, writer: Writer) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()
        writer.submit(self._hold)
        assert self._reached.wait(SOON)

    def _hold(self, _: Connection) -> None:
        self._reached.set()
        self._opened.wait(SOON)

    def open(self) -> None:
        self._opened.set()


def test_a_receipt_is_confirmed_when_the_fact_can_be_read(database: Database, writer: Writer) -> None:
    receipt = writer.submit(note("a"))
    assert receipt.wait(SOON) and receipt.done
    assert notes(database) == ["a"]


def test_what_waits_is_committed_together(database: Database) -> None:
    transactions: list[int] = []

    def begin() -> Any:
        transactions.append(1)
        return database.begin()

    writer = Writer(begin)
    gate = Gate(writer)
    receipts = [writer.submit(note(f"{n:03}")) for n in range(100)]
    gate.open()
    assert all(receipt.wait(SOON) for receipt in receipts)
    writer.close(SOON)
    assert len(notes(database)) == 100 and len(transactions) == 2


@pytest.mark.parametrize(
    "poison",
    [
        note("known"),
        lambda connection: connection.execute(text("INSERT INTO definition (nonsense) VALUES (1)")),
        lambda connection: dict[str, int]()["missing"],
        lambda connection: connection.execute(insert(definition).values(source="x", specs=object(), time_ms=1)),
    ],
    ids=["a duplicate", "a wrong statement", "a mistake of ours", "a value without a column type"],
)
def test_a_fact_that_cannot_be_written_stops_no_other(
    database: Database, writer: Writer, poison: Callable[[Connection], Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert writer.submit(note("known")).wait(SOON)
    gate = Gate(writer)
    before, bad, after = writer.submit(note("before")), writer.submit(poison), writer.submit(note("later"))
    gate.open()
    assert before.wait(SOON) and after.wait(SOON)
    assert not bad.wait(SOON) and bad.done
    assert notes(database) == ["before", "known", "later"]
    assert "a fact cannot be written" in caplog.messages and writer.error is None


def test_a_bad_fact_leaves_no_row(database: Database, writer: Writer) -> None:
    def half(connection: Connection) -> None:
        note("half")(connection)
        raise ValueError("the other half")

    assert not writer.submit(half).wait(SOON)
    assert notes(database) == []


def test_a_fact_with_the_key_of_one_that_waits_takes_its_place(database: Database, writer: Writer) -> None:
    gate = Gate(writer)
    first, second = writer.submit(note("first"), key="k"), writer.submit(note("second"), key="k")
    gate.open()
    assert first.wait(SOON) and second.wait(SOON)
    assert writer.submit(note("third"), key="k").wait(SOON)
    assert notes(database) == ["second", "third"]


def test_a_full_queue_refuses_the_least_important_first(database: Database, writer: Writer) -> None:
    gate = Gate(writer)
    accepted = [writer.submit(note(f"{n}"), limit=5) for n in range(2)]
    refused = writer.submit(note("progress"), limit=2)
    vote = writer.submit(note("vote"), limit=5)
    assert refused.done and not refused.committed
    gate.open()
    assert all(receipt.wait(SOON) for receipt in [*accepted, vote])
    assert notes(database) == ["0", "1", "vote"]


def test_handing_over_never_waits_for_a_locked_store(on_file: tuple[Database, Writer], file: Path) -> None:
    database, writer = on_file
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        receipts = [writer.submit(note(f"{n:03}")) for n in range(300)]
        until(lambda: writer.error)
        assert "locked" in str(writer.error) and not receipts[0].done
        other.execute("COMMIT")
        assert all(receipt.wait(SOON) for receipt in receipts)
    assert len(notes(database)) == 300 and writer.error is None


def test_what_a_full_disk_refused_is_written_when_there_is_room(on_file: tuple[Database, Writer]) -> None:
    database, writer = on_file

    def room(pages: int) -> None:
        with closing(database.writer.raw_connection()) as connection:
            connection.cursor().execute(f"PRAGMA max_page_count={pages}")

    def large(connection: Connection) -> None:
        connection.execute(insert(definition).values(source="large", specs="x" * 500_000, time_ms=1))

    room(1)  # SQLite takes the present size for it
    receipt = writer.submit(large)
    until(lambda: writer.error)
    assert "full" in str(writer.error)
    room(1_000_000)
    assert receipt.wait(SOON)


def test_a_store_that_cannot_be_written_raises_for_callers_that_cannot_wait(
    on_file: tuple[Database, Writer], file: Path
) -> None:
    _, writer = on_file
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            writer.call(note("now or never"), timeout=SOON)
    assert writer.call(lambda connection: connection.scalar(select(definition.c.source))) is None


def test_a_caller_that_waits_for_a_result_gets_the_error(writer: Writer) -> None:
    writer.call(note("known"))
    with pytest.raises(StoreError, match="refused"):
        writer.call(note("known"))


def test_a_file_that_is_taken_away_and_brought_back_misses_nothing(
    on_file: tuple[Database, Writer], file: Path
) -> None:
    database, writer = on_file
    assert writer.submit(note("before")).wait(SOON)
    away = file.rename(file.with_name("away.db"))
    receipt = writer.submit(note("meanwhile"))
    until(lambda: writer.error)
    assert "is gone" in str(writer.error) and not file.exists()
    away.rename(file)
    assert receipt.wait(SOON)
    assert notes(database) == ["before", "meanwhile"]


def test_a_file_that_was_replaced_is_not_written_to(
    on_file: tuple[Database, Writer], file: Path, tmp_path: Path
) -> None:
    _, writer = on_file
    Database.open(f"sqlite:///{tmp_path}/other.db").close()
    moved = file.rename(file.with_name("kept.db"))
    (tmp_path / "other.db").rename(file)
    receipt = writer.submit(note("meanwhile"))
    until(lambda: writer.error)
    assert "was replaced" in str(writer.error)
    moved.replace(file)
    assert receipt.wait(SOON)


def test_postgresql_may_be_gone_for_a_while(postgres: Postgres) -> None:
    database = Database.open(postgres.database())
    writer = Writer(database.begin)
    try:
        assert writer.submit(note("before")).wait(SOON)
        postgres.stop()
        receipts = [writer.submit(note(f"meanwhile {n}")) for n in range(3)]
        until(lambda: writer.error)
        assert not receipts[0].done
        with pytest.raises(StoreError, match="cannot be read"):
            notes(database)
    finally:
        postgres.start()
    assert all(receipt.wait(SOON) for receipt in receipts)
    assert notes(database) == ["before", "meanwhile 0", "meanwhile 1", "meanwhile 2"]
    writer.close(SOON)
    database.close()


def test_a_read_only_postgresql_is_waited_for(postgres: Postgres) -> None:
    url = postgres.database()
    database = Database.open(url)
    writer = Writer(database.begin)
    name = url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley'")
    receipt = writer.submit(note("vote"))
    until(lambda: "read-only" in str(writer.error))
    assert not receipt.done
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert receipt.wait(SOON)
    writer.close(SOON)
    database.close()


def test_handing_over_never_waits_for_a_postgresql_that_hangs(postgres: Postgres) -> None:
    database = Database.open(postgres.database())
    writer = Writer(database.begin)
    assert writer.submit(note("before")).wait(SOON)
    postgres.freeze()
    try:
        receipt = writer.submit(note("meanwhile"))
        assert not receipt.wait(0.25)
        until(lambda: writer.error)
        assert "has not answered" in str(writer.error)
    finally:
        postgres.thaw()
    assert receipt.wait(SOON) and writer.error is None
    writer.close(SOON)
    database.close()


def test_closing_writes_the_rest_of_the_queue(database: Database) -> None:
    writer = Writer(database.begin)
    gate = Gate(writer)
    receipts = [writer.submit(note(f"{n}")) for n in range(5)]
    gate.open()
    assert writer.close(SOON)
    assert all(receipt.committed for receipt in receipts) and len(notes(database)) == 5


def test_closing_gives_up_in_time_and_says_so(
    on_file: tuple[Database, Writer], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = on_file
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        receipt = writer.submit(note("lost"))
        assert not writer.close(0.3)
    assert receipt.done and not receipt.committed
    assert "the store was away at the end: facts are lost" in caplog.messages


def test_after_the_end_a_fact_is_refused(database: Database) -> None:
    writer = Writer(database.begin)
    writer.close(SOON)
    receipt: Ticket = writer.submit(note("late"))
    assert receipt.done and not receipt.committed


KILLED = """
import sys
from lib.store.database import Database
from lib.store.writer import Writer
from tests.test_store_writer import note
writer = Writer(Database.open(sys.argv[1]).begin)
for n in range(1_000_000):
    receipts = [writer.submit(note(f"{n}-{m}")) for m in range(3)]
    for m, receipt in enumerate(receipts):
        if receipt.wait(60):
            print(f"{n}-{m}", flush=True)
"""


def test_what_was_confirmed_survives_kill_9(database_url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, database_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        confirmed = [process.stdout.readline().strip() for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        confirmed += [line.strip() for line in process.stdout if line.endswith("\n")]
    database = Database.open(database_url)
    there = set(notes(database))
    database.close()
    assert len(confirmed) >= 200 and not set(confirmed) - there
