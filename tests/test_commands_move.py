"""The whole record moves from SQLite to PostgreSQL and back, also when the first try was interrupted."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from lib.store import Store, StoreError, schema
from lib.store.database import Database
from lib.store.transfer import copy
from tests.support.invented_events import preferred
from tests.support.operator_tool import run_tool
from tests.support.postgres_server import Postgres
from tests.support.stored_answers import ask_and_answer, conversation, vote
from tests.support.waiting import ENOUGH_S
from tests.test_commands import folder as folder
from tests.test_store_preferences import event

KEY = "k" * 32
TESTERS = 25


def fill(url: str) -> list[str]:
    """Fill a database with conversations, votes and events; return its export."""
    with closing(Store.open(url, deliver=True)) as store:
        for number in range(TESTERS):
            asked = ask_and_answer(store, conversation(f"visitor-{number}"), prompt=f"Grüße {number} 👋")
            if number % 3:
                vote(store, asked, "satisfaction")
            store.events.record([event(preferred(f"e{number}", f"c{number}", f"visitor-{number}"))])
        store.outbox.lease(3, 60.0)
        assert store.keep_definitions("statsig", "{}").wait(ENOUGH_S)
        return export_lines(store)


def export_lines(store: Store) -> list[str]:
    return sorted(json.dumps(line, sort_keys=True) for line in store.events.export(text=True))


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table but `migration`, whose times differ."""
    with closing(Database.open(url)) as database, database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in schema.metadata.sorted_tables
            if table is not schema.migration
        }


def test_the_record_moves_to_postgresql_and_back(folder: Path, postgres: Postgres) -> None:
    first, middle, last = f"sqlite:///{folder}/data/a.db", postgres.database(), f"sqlite:///{folder}/data/b.db"
    before = fill(first)
    there = run_tool(folder, "move", "--to", middle, DATABASE_URL=first)
    assert there.returncode == 0, there.stderr
    for table in ("answer        ", "vote          "):
        assert f"ok  {table} {TESTERS} of {TESTERS} rows" in there.lines
    back = run_tool(folder, "move", "--to", last, DATABASE_URL=middle, PARLEY_SIGNING_KEY=KEY)
    assert back.returncode == 0, back.stderr
    assert rows(first) == rows(middle) == rows(last)
    with closing(Store.open(last)) as store:
        assert export_lines(store) == before


def test_an_interrupted_copy_is_resumed(folder: Path, postgres: Postgres) -> None:
    first, second = f"sqlite:///{folder}/data/a.db", postgres.database()
    fill(first)
    with closing(Database.open(first)) as source, closing(Database.open(second)) as target:
        next(copy(source, target))
        with source.read() as reading, target.begin() as writing:
            some = reading.execute(select(schema.event).limit(7)).mappings().all()
            writing.execute(insert(schema.event), [dict(row) for row in some])
    for _ in range(2):
        assert run_tool(folder, "move", "--to", second, DATABASE_URL=first).returncode == 0
    assert rows(first) == rows(second)


def test_a_target_that_has_more_is_reported(folder: Path, postgres: Postgres) -> None:
    first, second = f"sqlite:///{folder}/data/a.db", postgres.database()
    fill(first)
    fill(second)
    run = run_tool(folder, "move", "--to", second, DATABASE_URL=first)
    assert run.returncode == 1
    assert f"NO  answer         {2 * TESTERS} of {TESTERS} rows" in run.lines
    assert "The databases differ" in run.stderr


@pytest.mark.parametrize(
    ("to", "problem"),
    [("postgres://u:hunter@22@h/d", "write @ as %40"), ("mysql://u:hunter22@h/d", "--to: must be sqlite:///PATH"),
     ("sqlite:///data/parley.db", "same database"), ("sqlite:///data/other.db", "no record yet")],
)  # fmt: skip
def test_an_impossible_move_is_refused_without_a_trace(folder: Path, to: str, problem: str) -> None:
    run = run_tool(folder, "move", "--to", to)
    assert run.returncode == 2 and problem in run.stderr and "hunter" not in run.stderr
    assert not (folder / "data").exists()


def test_an_older_version_refuses_a_database_of_a_newer_one(database_url: str) -> None:
    with closing(Database.open(database_url)) as database, database.begin() as connection:
        connection.execute(insert(schema.migration).values(name="99 of tomorrow", applied_ms=1))
    with pytest.raises(StoreError, match=r"newer Parley \(99 of tomorrow\). Start that version"):
        Store.open(database_url)
