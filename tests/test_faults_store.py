"""The store fails under the real app: the chat goes on or says why not; answers and votes are written later."""

import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from lib.store import Store
from tests.conftest import StartApp
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.app_process import AppProcess
from tests.support.chat_page import Record
from tests.support.openai_server import DONE, Gate, finish, stream, usage
from tests.support.postgres_server import Postgres
from tests.support.raw_websocket import http
from tests.support.waiting import ENOUGH_S, slowness, until
from tests.support.websocket_tester import Tester

KEY = {"PARLEY_SIGNING_KEY": "k" * 32, "PARLEY_LOG": "json"}
UNUSABLE = "Parley cannot be used right now."


def ready(app: AppProcess) -> dict[str, Any]:
    """Return the body of /readyz, with its status."""
    try:
        with urllib.request.urlopen(app.url + "/readyz", timeout=ENOUGH_S) as answer:
            return {"http": answer.status, **json.loads(answer.read())}
    except urllib.error.HTTPError as error:
        with error:
            return {"http": error.code, **json.loads(error.read())}


class Talk:
    """Two testers, whose answers and votes the record must have in the end."""

    def __init__(self, app: AppProcess, model: openai.Server) -> None:
        self.app, self.model = app, model
        self.gate = Gate()
        self.anna, self.ben = Tester(app.url), Tester(app.url)
        self.anna.ask("Before")
        model.script(stream("Half of it", self.gate, " and the rest.", finish(), usage(9, 5), DONE))
        self.ben.send("Across")
        self.ben.until(lambda: "Half of it" in self.ben.answer)

    def go_on(self) -> None:
        """Vote, ask, let an answer end, and let a new visitor ask, while the store is unavailable."""
        self.anna.rate(True)
        self.anna.idle()
        assert "Not saved yet" in self.anna.lines
        self.anna.ask("Meanwhile")
        assert "Hello from the stand-in." in self.anna.answer
        assert "This answer is not saved yet" in self.anna.lines
        self.anna.rate(False)
        self.anna.idle()
        self.gate.open()
        self.ben.idle()
        assert "Half of it and the rest." in self.ben.answer
        with Tester(self.app.url) as newcomer:
            newcomer.ask("Anybody there?")
            assert "Hello from the stand-in." in newcomer.answer
        assert app_process.metrics(self.app.url)["parley_streams_active"] == 0

    def check(self, store: Store) -> None:
        """Check that the store has everything, once, after its recovery."""
        until(lambda: ready(self.app)["http"] == 200)
        until(lambda: len(completions(store)) == 4)
        self.anna.look_again()
        assert "Not saved yet" not in self.anna.lines and "Saved, thank you" in self.anna.lines
        answers = [event["metadata"]["answer_id"] for event in completions(store)]
        assert len(set(answers)) == 4
        votes = [event["name"] for event in store.events.export() if event["name"].endswith("satisfaction")]
        assert votes == ["satisfaction", "dissatisfaction"]
        with Tester(self.app.url, cookie=self.anna.cookie, conversation=self.anna.conversation_id) as back:
            assert "Meanwhile" in back.lines and back.thumbs == [1, 0]
        with Tester(self.app.url, cookie=self.ben.cookie, conversation=self.ben.conversation_id) as back:
            assert "Half of it and the rest." in back.answer
        self.anna.close()
        self.ben.close()
        assert "raceback" not in self.app.log()


def completions(store: Store) -> list[dict[str, Any]]:
    return [event for event in store.events.export() if event["name"] == "chat_completion"]


def test_a_locked_sqlite_file_loses_nothing(start_app: StartApp, model_server: openai.Server) -> None:
    app = start_app({"OPENAI_BASE_URL": model_server.base_url, "PARLEY_LOG": "json"})
    talk = Talk(app, model_server)
    with closing(sqlite3.connect(app.folder / "data/parley.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_unready(app, "locked")
        talk.go_on()
    with Record.of(app) as record:
        talk.check(record.store)


def wait_unready(app: AppProcess, because: str) -> None:
    """Wait until /readyz returns 503 with this among its reasons."""
    until(lambda: ready(app)["http"] == 503 and because in ready(app).get("because", ""))


def test_a_full_disk_loses_nothing(start_app: StartApp, model_server: openai.Server) -> None:
    app = start_app({"OPENAI_BASE_URL": model_server.base_url, "PARLEY_LOG": "json"})
    talk = Talk(app, model_server)
    process = psutil.Process(app.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, ((app.folder / "data/parley.db-wal").stat().st_size, psutil.RLIM_INFINITY))
    wait_unready(app, "cannot be written")
    talk.go_on()
    process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    with Record.of(app) as record:
        talk.check(record.store)


@pytest.fixture
def on_postgres(
    start_app: StartApp, model_server: openai.Server, postgres: Postgres
) -> Iterator[tuple[Talk, Store, Postgres]]:
    url = postgres.database()
    app = start_app({"OPENAI_BASE_URL": model_server.base_url, "DATABASE_URL": url, **KEY})
    with closing(Store.open(url)) as store:
        yield Talk(app, model_server), store, postgres


def test_a_postgresql_that_is_gone_loses_nothing(on_postgres: tuple[Talk, Store, Postgres]) -> None:
    talk, store, postgres = on_postgres
    postgres.stop()
    try:
        wait_unready(talk.app, "refused")
        talk.go_on()
        with Tester(talk.app.url, cookie=talk.anna.cookie, conversation=talk.anna.conversation_id) as reload:
            assert any("cannot be opened right now" in line for line in reload.lines)
    finally:
        postgres.start()
    talk.check(store)


def test_a_read_only_postgresql_loses_nothing(on_postgres: tuple[Talk, Store, Postgres]) -> None:
    talk, store, postgres = on_postgres
    name = store._channel.database.url.database
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley'")
    wait_unready(talk.app, "read-only")
    talk.go_on()
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    talk.check(store)


def test_a_postgresql_that_hangs_loses_nothing(on_postgres: tuple[Talk, Store, Postgres]) -> None:
    talk, store, postgres = on_postgres
    postgres.freeze()
    try:
        talk.anna.rate(True)
        wait_unready(talk.app, "has not answered")
        talk.go_on()
    finally:
        postgres.thaw()
    talk.check(store)


@pytest.mark.alone
def test_a_start_without_the_database_is_reported_and_continues_by_itself(
    start_app: StartApp, model_server: openai.Server, postgres: Postgres
) -> None:
    url = postgres.database()
    postgres.stop()
    try:
        app = start_app({"OPENAI_BASE_URL": model_server.base_url, "DATABASE_URL": url, **KEY}, ready=False)
        until(lambda: app_process.status(app.url + "/healthz") == 200)
        until(lambda: "refused" in ready(app).get("because", ""))
        stranger = http(app.url + "/readyz", X_Forwarded_For="192.0.2.1")
        assert (stranger.status, json.loads(stranger.body)) == (503, {"status": "not ready", "part": "database"})
        with Tester(app.url) as tester:
            assert any(UNUSABLE in line for line in tester.lines)
            assert tester.opened_s < 5 * slowness()
    finally:
        postgres.start()
    app.wait_ready()
    with Tester(app.url) as tester:
        tester.ask("And now?")
        assert "Hello from the stand-in." in tester.answer
    assert "raceback" not in app.log()
