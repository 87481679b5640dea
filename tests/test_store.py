"""The store as a whole, on both databases: its start, its end, older databases, and an unavailable store."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, inspect, select, text

from lib.domain import events
from lib.domain.conversation import Conversation, Question
from lib.domain.ids import new_id
from lib.store import Store, StoreError, migrations, schema
from lib.store.database import Database
from tests.support.stored_answers import ASSIGNMENT, SOON, OpenStore, ask, ask_and_answer, conversation, reread
from tests.support.waiting import until


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_processes_may_start_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database_url = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgresql":
        database_url = request.getfixturevalue("postgres").bare_database()
    with ThreadPoolExecutor(8) as starting:
        stores = list(starting.map(lambda _: Store.open(database_url), range(8)))
    with stores[0].read() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.migration)) == len(migrations.MIGRATIONS)
    assert all(one.close() for one in stores)


def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    assert Store.open(f"sqlite:///{tmp_path}/data/inner/parley.db").close()
    assert (tmp_path / "data" / "inner" / "parley.db").exists()


def test_what_was_stored_is_there_after_a_restart(open_store: OpenStore) -> None:
    before = open_store()
    asked = ask_and_answer(before)
    assert before.close()
    assert reread(open_store(), asked).turns[0].answer == "The whole answer."


def test_a_later_migration_reaches_a_database_that_exists(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().close()
    later = ("2 later", ("CREATE TABLE later (id INTEGER)", "INSERT INTO later VALUES (7)"))
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, later))
    open_store().close()
    with open_store().read() as connection:
        assert connection.exec_driver_sql("SELECT id FROM later").scalars().all() == [7]


def shapes(url: str) -> dict[str, Any]:
    """Return the columns and indexes of the tables that an older database lacks or has otherwise, as sets."""
    with closing(Database.open(url)) as database:
        inspector = inspect(database.writer)
        return {
            name: [
                {(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)},
                {(index["name"], *index["column_names"]) for index in inspector.get_indexes(name)},
            ]
            for name in ("answer", "exposure", "held")
        }


def test_a_database_from_before_tiers_gets_tiers_and_the_invitations_of_its_guests(database_url: str) -> None:
    fresh = shapes(database_url)
    back = [
        "DROP INDEX answer_sums", "DROP INDEX answer_times", "DROP INDEX answer_disliked",
        "DROP INDEX answer_stopped", "DROP TABLE held", "DELETE FROM migration WHERE name = '11 readout'",
        "DROP INDEX exposure_of_unit", "DROP INDEX exposure_of_guest", "ALTER TABLE answer DROP COLUMN tier",
        "ALTER TABLE exposure DROP COLUMN tier",
        "ALTER TABLE exposure DROP COLUMN invitation", "DELETE FROM migration WHERE name = '6 origin'",
        "CREATE INDEX answer_sums ON answer (time_ms)", "CREATE INDEX answer_times ON answer (time_ms)",
        "CREATE INDEX answer_disliked ON answer (time_ms)", "CREATE INDEX exposure_of_unit ON exposure (user_id)",
        "INSERT INTO guest VALUES ('friends', 'ann', 1)",
        "INSERT INTO exposure VALUES ('x1', 'e', false, 'ann', 1, 'A', false)",
        "INSERT INTO exposure VALUES ('x2', 'e', false, 'bob', 1, 'A', false)",
    ]  # fmt: skip
    with closing(Database.open(database_url)) as database, database.begin() as connection:
        for statement in back:
            connection.execute(text(statement))
    assert shapes(database_url) == fresh
    with closing(Database.open(database_url)) as database, database.read() as connection:
        query = select(schema.exposure.c.user_id, schema.exposure.c.tier, schema.exposure.c.invitation)
        assert set(connection.execute(query)) == {("ann", "", "friends"), ("bob", "", None)}


def test_exposures_and_answers_have_their_tier_and_invitation(open_store: OpenStore) -> None:
    parley = open_store(tier="staging")
    invited = replace(ASSIGNMENT, invitation="friends")
    about = Conversation(new_id(), "visitor", invited)
    asked = Question(new_id(), about.id, "session", 1, "m", invited)
    assert parley.conversations.ask(about, asked, "Why?", events.exposure(invited, "session")).wait(SOON)
    with parley.read() as connection:
        assert connection.scalars(select(schema.answer.c.tier)).all() == ["staging"]
        query = select(schema.exposure.c.tier, schema.exposure.c.invitation)
        assert connection.execute(query).all() == [("staging", "friends")]


def test_a_store_in_use_is_healthy(parley: Store) -> None:
    ask(parley, conversation())
    assert parley.healthy and parley.trouble is None and parley.queued == 0


def test_trouble_shows_without_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.store.conversations.PROBE_S", 0.5)
    parley = Store.open(f"sqlite:///{tmp_path}/parley.db")
    (tmp_path / "parley.db").rename(tmp_path / "away.db")
    until(lambda: "is gone" in str(parley.trouble) and not parley.healthy)
    assert parley.outbox.lease(1, 1) == [] and parley.conversations.recover(0) == []
    (tmp_path / "away.db").rename(tmp_path / "parley.db")
    until(lambda: parley.trouble is None and parley.healthy)
    parley.close()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://user:hunter2@127.0.0.1/parley",
        "oracle9://user:hunter2@127.0.0.1/parley",
        "sqlite://",
        "sqlite:////proc/nowhere/parley.db",
        "postgresql+psycopg://user:hunter2@127.0.0.1:1/parley",
    ],
)
def test_a_database_that_cannot_be_used_is_reported_in_a_sentence_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as raised:
        Store.open(url)
    sentence = str(raised.value)
    assert sentence.endswith(".") and "\n" not in sentence and "hunter2" not in sentence


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "parley.db").write_text("Dear diary, " * 500)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{tmp_path}/parley.db")
