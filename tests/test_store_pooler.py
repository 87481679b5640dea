"""A pooler in front of PostgreSQL gives every transaction another session, and no fact is lost."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from lib.store import Store, StoreError, schema
from lib.store.database import IDLE_S, Database
from lib.store.failures import away
from tests.support import pgbouncer_server
from tests.support.postgres_server import Postgres

VOTES = 24
REPLICA = """
import logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
from concurrent.futures import ThreadPoolExecutor
from lib.store import Store, writer
from tests.support.stored_answers import ask_and_answer, conversation, reread, vote

writer.STALLED_S = 60.0  # on a busy machine a commit may take seconds, and is logged
store = Store.open(sys.argv[1], deliver=True)
print("open", flush=True)
sys.stdin.readline()

def tester(number):
    visitor = f"{sys.argv[2]}-{number}"
    about = conversation(visitor)
    asked = ask_and_answer(store, about)
    reread(store, about, visitor)
    store.outbox.lease(5, 0.0)
    vote(store, asked, "satisfaction")
    assert reread(store, about, visitor).turns[0].rating == "satisfaction"

with ThreadPoolExecutor(6) as crowd:
    list(crowd.map(tester, range(int(sys.argv[3]))))
print("closed", store.close(), flush=True)
"""


@pytest.fixture
def port(postgres: Postgres) -> Iterator[int]:
    if pgbouncer_server.binary() is None:
        pytest.skip("there is no PgBouncer (on Debian: apt-get install pgbouncer)")
    with pgbouncer_server.serve(postgres) as number:
        yield number


def behind(postgres: Postgres, port: int) -> str:
    """Return the URL of a new database behind the pooler."""
    return postgres.database().replace(f":{postgres.port}/", f":{port}/") + "?pgbouncer=true"


def test_two_replicas_behind_a_transaction_pooler_lose_no_vote(postgres: Postgres, port: int) -> None:
    url = behind(postgres, port)
    replicas = [
        subprocess.Popen(
            [sys.executable, "-c", REPLICA, url, str(number), str(VOTES)], text=True, cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]  # fmt: skip
    for replica in replicas:
        assert replica.stdout and replica.stdout.readline() == "open\n", replica.communicate()
    for output, log in [replica.communicate("go\n", timeout=120) for replica in replicas]:
        assert output == "closed True\n" and log == "", log
    with closing(Store.open(url)) as store, store.read() as connection:
        rated = select(func.count()).select_from(schema.answer).where(schema.answer.c.rating == "satisfaction")
        assert connection.scalar(rated) == 2 * VOTES
        query = select(func.count()).select_from(schema.event).where(schema.event.c.name == "satisfaction")
        assert connection.scalar(query) == 2 * VOTES


def test_no_session_is_left_with_a_setting_or_a_statement_of_ours(postgres: Postgres, port: int) -> None:
    with closing(Database.open(behind(postgres, port))) as database:
        for _ in range(10):
            with database.begin() as connection:
                assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == f"{IDLE_S}s"
            with database.read() as connection:
                assert connection.scalar(text("SHOW jit")) == "off"
        with psycopg.connect(f"postgresql://parley@127.0.0.1:{port}/{database.url.database}") as beside:
            beside.prepare_threshold = None
            for name, expected in (("idle_in_transaction_session_timeout", "0"), ("jit", "on")):
                shown = beside.execute(f"SHOW {name}").fetchone()
                assert shown == (expected,)
            statements = beside.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
            assert statements == (0,)


@pytest.mark.parametrize("sqlstate", ["26000", "42P05", "08P01", "08006", "57P01", "25P02"])
def test_a_connection_fault_is_never_taken_for_that_of_a_row(sqlstate: str) -> None:
    fault = psycopg.errors.lookup(sqlstate)("lost")
    assert away(DBAPIError.instance("SELECT 1", {}, fault, psycopg.Error))


def test_a_pooler_that_refuses_transactions_is_reported(postgres: Postgres) -> None:
    if pgbouncer_server.binary() is None:
        pytest.skip("there is no PgBouncer (on Debian: apt-get install pgbouncer)")
    with pgbouncer_server.serve(postgres, "statement") as port, pytest.raises(StoreError, match="statement pooling"):
        Store.open(behind(postgres, port))
