"""Only old events are deleted, on PostgreSQL by whole months and otherwise in pieces; older databases migrate."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text, update

from lib import app
from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.domain.ledger import Search
from lib.experiments.definitions import read_definitions
from lib.readout.report import as_json
from lib.readout.verdicts import read
from lib.statistics.sums import Scope
from lib.store import Store, StoreError, partitions, purge
from lib.store.purge import Old, old
from lib.store.schema import event, outbox
from lib.store.tallies import tally
from tests.support import invented_traffic
from tests.support.page_runs import EXPERIMENTS, open_app
from tests.support.postgres_server import Postgres
from tests.support.waiting import ENOUGH_S, until

SOON = ENOUGH_S
DAY_MS = 86_400_000
SEPTEMBER, OCTOBER = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp() * 1_000) for month in (9, 10))
IDS = {"userID": "u"}


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url, deliver=True)) as opened:
        yield opened


def copied_at(time_ms: int, name: str = "copied", **metadata: object) -> Event:
    return Event(new_id(), name, time_ms, "u", 1, {"answer_id": "a", **metadata}, IDS)


def keep(store: Store, *events: Event, delivered: bool = True) -> None:
    assert store.events.record(events).wait(SOON)
    if delivered:
        assert store.outbox.acknowledge([one.event_id for one in events]).wait(SOON)


def event_times(store: Store) -> list[int]:
    """Return the times of all events."""
    return [line["time"] for line in store.events.export()]


def purge_count(store: Store, before_ms: int) -> int:
    return sum(purge.purge(store, before_ms))


def delivery(store: Store, simulated: bool = False) -> tuple[int | None, ...]:
    counted = tally(store.read, Scope("e", simulated=simulated)).delivery
    return counted.events, counted.acknowledged, counted.pending


def test_older_events_are_deleted_and_newer_ones_stay(store: Store) -> None:
    keep(store, *(copied_at(SEPTEMBER + day * DAY_MS) for day in range(-40, 40)))
    assert old(store, SEPTEMBER) == Old(40, 0, 0)
    assert purge_count(store, SEPTEMBER) == 40
    assert event_times(store) == [SEPTEMBER + day * DAY_MS for day in range(40)]
    assert purge_count(store, SEPTEMBER) == 0


def test_many_events_are_deleted_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "SIZES", (3, 3))
    times = [SEPTEMBER - number // 4 for number in range(50)]  # pieces end in the middle of a moment
    keep(store, *(copied_at(time_ms) for time_ms in times))
    steps = [step for step in purge.purge(store, SEPTEMBER + 1) if step]
    assert sum(steps) == 50 and max(steps) == 3
    assert event_times(store) == []


def test_a_piece_is_as_much_work_for_sqlite_however_many_are_old(tmp_path: Path) -> None:
    def work(many: int) -> int:
        """Return SQLite's work for the first piece, in tens of its instructions."""
        ticks: list[None] = []

        def first(connection: Connection) -> None:
            sqlite: Any = connection.connection.driver_connection
            sqlite.set_progress_handler(lambda: ticks.append(None), 10)
            assert purge._Piece((0, ""), SEPTEMBER, 20)(connection)[0] == 20
            sqlite.set_progress_handler(None, 0)

        with closing(Store.open(f"sqlite:///{tmp_path}/{many}.db")) as store:
            keep(store, *(copied_at(SEPTEMBER - 1 - number) for number in range(many)), delivered=False)
            assert store.write(first).wait(SOON)
        return len(ticks)

    assert work(3_000) < 1.5 * work(100)


def test_what_waits_for_statsig_stays_and_can_be_delivered(store: Store) -> None:
    waiting = [copied_at(SEPTEMBER - day * DAY_MS) for day in (1, 70)]
    keep(store, *(copied_at(SEPTEMBER - day * DAY_MS) for day in range(1, 80)))
    keep(store, *waiting, delivered=False)
    assert old(store, SEPTEMBER) == Old(79, 0, 2)
    assert purge_count(store, SEPTEMBER) == 79
    leased = store.outbox.lease(10, 60)
    assert {one.event_id for one in leased} == {one.event_id for one in waiting}
    assert store.outbox.acknowledge([one.event_id for one in leased]).wait(SOON)
    assert purge_count(store, SEPTEMBER) == 2
    assert delivery(store) == (81, 81, 0)


def test_where_nothing_is_delivered_nothing_waits(database_url: str) -> None:
    with closing(Store.open(database_url, deliver=False)) as store:
        keep(store, copied_at(SEPTEMBER - 1), copied_at(SEPTEMBER), delivered=False)
        assert old(store, SEPTEMBER) == Old(1, 1, 0)
        assert purge_count(store, SEPTEMBER) == 1
        assert delivery(store) == (2, 0, 0)


def test_purged_events_keep_their_counts(store: Store) -> None:
    keep(store, *(copied_at(SEPTEMBER - number) for number in range(1, 6)))
    keep(store, *(copied_at(SEPTEMBER - number, simulated=True) for number in range(1, 4)))
    keep(store, copied_at(SEPTEMBER), delivered=False)
    before = delivery(store), delivery(store, simulated=True)
    assert before == ((6, 5, 1), (3, 0, 0))
    assert purge_count(store, SEPTEMBER) == 8
    assert (delivery(store), delivery(store, simulated=True)) == before


def test_the_readout_is_the_same_after_a_purge(database_url: str) -> None:
    past = replace(invented_traffic.harmed(), until_ms=OCTOBER)
    invented_traffic.fill(database_url, past)
    definition = read_definitions(EXPERIMENTS)[past.experiment]

    def readout(store: Store) -> dict[str, Any]:  # to nine digits: PostgreSQL adds up in any order
        result = read(tally(store.read, Scope(past.experiment)), definition, OCTOBER)
        report = json.dumps(as_json(result))
        return dict(json.loads(report, parse_float=lambda digits: f"{float(digits):.9g}"))

    with closing(Store.open(database_url)) as store:
        before = readout(store)
        assert purge_count(store, OCTOBER - 2 * DAY_MS) > 500
        assert readout(store) == before
        assert purge_count(store, OCTOBER + DAY_MS) > 100
        assert readout(store) == before and event_times(store) == []
    assert before["delivery"]["events"] > 600


def test_another_store_writes_and_reads_during_a_purge(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "SIZES", (5, 20))
    keep(store, *(copied_at(SEPTEMBER - number * DAY_MS // 4) for number in range(1, 600)))
    ended = threading.Event()
    with closing(Store.open(database_url, deliver=True)) as other:

        def write() -> None:
            while not ended.is_set():
                keep(other, copied_at(now_ms()))
                written.append(len(other.events.page(Search()).lines) > 0)

        written: list[bool] = []
        writing = threading.Thread(target=write)
        writing.start()
        try:
            assert purge_count(store, SEPTEMBER) == 599
        finally:
            ended.set()
            writing.join(SOON)
    assert all(written) and len(event_times(store)) == len(written) > 0


# Months on PostgreSQL


@pytest.fixture
def months(postgres: Postgres) -> Iterator[Store]:
    with closing(Store.open(postgres.database(), deliver=True)) as opened:
        yield opened


def partition_sizes(store: Store) -> dict[str, int]:
    """Return the number of events in each partition."""
    with store.read() as connection:
        names = connection.scalars(text("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c"
                                        " ON c.oid = inhparent WHERE c.relname = 'event'")).all()  # fmt: skip
        return {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in sorted(names)}  # noqa: S608


def prepare(store: Store, at_ms: int) -> None:
    assert store.write(lambda connection: partitions.prepare(connection, at_ms)).wait(SOON)


def forget_months(store: Store) -> None:
    """Drop all months, as if the database had been created in another year."""

    def drop(connection: Connection) -> None:
        for one in partitions.before(connection, 2**62):
            connection.exec_driver_sql(f"DROP TABLE {one.name}")

    assert store.write(drop).wait(SOON)


def test_months_are_there_before_they_begin(months: Store) -> None:
    begun = [partitions.month(now_ms(), step) for step in range(-1, 4)]
    keep(months, *(copied_at(time_ms) for time_ms in begun))
    assert list(partition_sizes(months).values()) == [1, 1, 1, 1, 1, 0]
    prepare(months, partitions.month(now_ms(), 2))
    assert len(partition_sizes(months)) == 8


def test_a_running_app_makes_the_months_to_come(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HOUSEKEEPING_EVERY", 0.05)
    key = "a-signing-key-of-the-tests"
    with open_app(tmp_path, DATABASE_URL=postgres.database(), PARLEY_SIGNING_KEY=key) as parley:
        forget_months(parley.store)
        until(lambda: len(partition_sizes(parley.store)) == 6)


def test_an_event_of_any_time_finds_room_and_later_its_month(months: Store) -> None:
    forget_months(months)
    keep(months, copied_at(1), copied_at(SEPTEMBER), copied_at(OCTOBER), copied_at(4_000_000_000_000))
    assert partition_sizes(months) == {"event_default": 4}
    prepare(months, OCTOBER)
    assert {name: count for name, count in partition_sizes(months).items() if count} == {
        "event_2026_09": 1, "event_2026_10": 1, "event_default": 2,
    }  # fmt: skip
    assert purge_count(months, OCTOBER) == 2
    assert event_times(months) == [OCTOBER, 4_000_000_000_000]


def test_a_whole_month_is_dropped_unless_some_of_it_waits(months: Store) -> None:
    forget_months(months)
    prepare(months, OCTOBER)
    keep(
        months,
        *(copied_at(SEPTEMBER + number) for number in range(20)),
        *(copied_at(OCTOBER + number) for number in range(20)),
    )
    keep(months, copied_at(OCTOBER + 5), delivered=False)
    assert next(iter(purge.purge(months, OCTOBER))) == 20
    assert "event_2026_09" not in partition_sizes(months)
    assert purge_count(months, partitions.month(OCTOBER, 1)) == 20
    assert partition_sizes(months)["event_2026_10"] == 1
    assert delivery(months) == (41, 40, 1)


def test_a_month_in_use_is_dropped_when_its_readers_have_ended(months: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "TRIES", 2)
    monkeypatch.setattr(purge, "PAUSE_S", 0.01)
    forget_months(months)
    prepare(months, OCTOBER)
    keep(months, copied_at(SEPTEMBER), copied_at(OCTOBER))
    with months.read() as connection:
        assert connection.scalar(select(func.count()).select_from(event)) == 2
        with pytest.raises(StoreError, match="event_2026_09 is in use"):
            purge_count(months, OCTOBER)
        keep(months, copied_at(OCTOBER + 1))
    assert purge_count(months, OCTOBER) == 1
    assert event_times(months) == [OCTOBER, OCTOBER + 1]


# An older database


ONE_TABLE = (
    "DROP TABLE purged", "DROP TABLE event", "DELETE FROM migration WHERE name IN ('7 partitions', '8 evaluations')",
    "CREATE TABLE event (event_id VARCHAR(64) NOT NULL PRIMARY KEY, name VARCHAR(64) NOT NULL, time_ms BIGINT NOT NULL,"
    " user_id VARCHAR(128) NOT NULL, answer_id VARCHAR(64), grp VARCHAR(128), simulated BOOLEAN NOT NULL, value TEXT,"
    " metadata TEXT NOT NULL, ids TEXT NOT NULL, acknowledged_ms BIGINT)",
    "CREATE INDEX event_by_time ON event (time_ms, event_id)",
    "CREATE INDEX event_of_answer ON event (answer_id)",
    "CREATE INDEX event_of_user ON event (user_id, time_ms, event_id)",
    "CREATE INDEX event_by_name ON event (name, time_ms, event_id, grp)",
    "CREATE INDEX event_by_group ON event (grp, time_ms, event_id)",
    "CREATE INDEX event_acknowledged ON event (simulated, acknowledged_ms)",
    """CREATE INDEX event_failed ON event (time_ms, event_id) WHERE value IN ('"error"', '"interrupted"')""",
)  # fmt: skip


def grow_old(store: Store) -> None:
    """Give the ledger the tables that it had before partitions."""
    assert store.write(lambda connection: [connection.exec_driver_sql(one) for one in ONE_TABLE] and None).wait(SOON)


def test_a_ledger_of_one_table_is_migrated_whole(database_url: str) -> None:
    with closing(Store.open(database_url, deliver=True)) as store:
        grow_old(store)
        row = {"name": "copied", "user_id": "u", "simulated": False, "value": "1", "metadata": "{}", "ids": "{}"}
        rows = [row | {"event_id": f"{day:03}", "time_ms": SEPTEMBER + day * DAY_MS} for day in range(-60, 60)]
        waiting = {"event_id": "-01", "created_ms": SEPTEMBER - DAY_MS, "due_ms": 1, "attempts": 0}

        def fill_old_schema(connection: Connection) -> None:
            connection.execute(insert(event), rows)
            connection.execute(update(event).where(event.c.event_id != "-01").values(acknowledged_ms=7))
            connection.execute(insert(outbox), waiting)

        assert store.write(fill_old_schema).wait(SOON)
    with closing(Store.open(database_url, deliver=True)) as store:
        assert event_times(store) == [one["time_ms"] for one in rows]
        assert [one.event_id for one in store.outbox.lease(5, 60)] == ["-01"]
        assert delivery(store) == (120, 119, 1)
        again = replace(copied_at(now_ms()), event_id="new")
        keep(store, again, again)
        assert [line.event.event_id for line in store.events.page(Search(), size=1).lines] == ["new"]
        assert purge_count(store, SEPTEMBER) == 59
        assert store.outbox.acknowledge(["-01"]).wait(SOON)
        assert purge_count(store, SEPTEMBER) == 1
        assert event_times(store) == [SEPTEMBER + day * DAY_MS for day in range(60)] + [again.time_ms]
        assert delivery(store) == (121, 121, 0)
        assert store.erase("u").events == 61 and event_times(store) == []


def test_a_migrated_ledger_is_the_partition_of_the_past(months: Store) -> None:
    grow_old(months)
    column = "ALTER TABLE event ADD COLUMN sent TEXT"  # a later migration's, which today's writer needs
    assert months.write(lambda connection: connection.exec_driver_sql(column) and None).wait(SOON)
    keep(months, copied_at(SEPTEMBER), copied_at(now_ms()), delivered=False)
    assert months.write(partitions.convert).wait(SOON)
    prepare(months, now_ms())
    assert partition_sizes(months)["event_past"] == 2
    keep(months, copied_at(partitions.month(now_ms(), 1)))
    assert partition_sizes(months)["event_past"] == 2 and partition_sizes(months)["event_default"] == 0
