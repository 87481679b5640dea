"""Fill a SQLite store with invented units, answers and ratings, as fast as the driver allows.

    python -m tests.bench.fill_store FILE --answers 1000000 --users 100000 [--votes 1000000] [--ledger]

The rows come from a fixed seed and bypass the store's writer: they are for timing reads, not for testing writes.
"""

import argparse
import itertools
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg

from lib.store.database import Database

EXPERIMENT = "statsig_openai_integration"
GROUPS = ("Control", "Test")
START_MS = 1_790_000_000_000
DAYS = 30
DAY_MS = 86_400_000
TIER = "production"
ANSWER = (
    "answer_id", "conversation_id", "session_id", "turn", "experiment", "grp", "user_id", "model", "simulated",
    "tier", "time_ms", "finish_reason", "response_time", "time_to_first_token", "completion_tokens", "cost_usd",
    "rating", "rated_ms", "reason",
)  # fmt: skip
EXPOSURE = ("event_id", "experiment", "simulated", "user_id", "time_ms", "grp", "forced", "tier")
EVENT = (
    "event_id", "name", "time_ms", "user_id", "answer_id", "simulated", "value", "metadata", "ids", "acknowledged_ms",
)  # fmt: skip


VOTE = (
    "experiment", "simulated", "comparison_id", "user_id", "time_ms", "event_id", "first_grp", "second_grp", "worth",
    "both_bad", "left_won", "tier",
)  # fmt: skip


def units(count: int, seed: int) -> Iterator[tuple[int, str, str, int]]:
    """Yield (number, user_id, group, time of the first exposure) of each unit. Ids are random, as in the cookie."""
    rng = random.Random(seed)
    for number in range(count):
        yield number, f"{rng.getrandbits(128):032x}", rng.choice(GROUPS), START_MS + rng.randrange(DAYS * DAY_MS // 2)


def exposures(count: int, seed: int) -> Iterator[tuple[object, ...]]:
    for number, user, group, time_ms in units(count, seed):
        yield f"x{number:031d}", EXPERIMENT, 0, user, time_ms, group, 0, TIER


def answers(total: int, users: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield answers with random ids. Answers per unit follow an exponential, so that some units ask a hundred times."""
    rng = random.Random(seed + 1)
    who = [(user, group, first, rng.expovariate(1.0)) for _, user, group, first in units(users, seed)]
    drawn = rng.choices(who, weights=[busy for *_, busy in who], k=total)
    for user, group, first, _ in drawn:
        time_ms = first + rng.randrange(DAYS * DAY_MS // 2)
        error = rng.random() < 0.02
        rated = not error and rng.random() < 0.3
        liked = rng.random() < 0.65
        seconds = round(rng.lognormvariate(1.0, 0.7), 6)
        answer_id = f"{rng.getrandbits(128):032x}"
        yield (
            answer_id, answer_id, "s", 1, EXPERIMENT, group, user, "large-model", 0, TIER, time_ms,
            "error" if error else "stop", None if error else seconds, None if error else round(seconds / 10, 6),
            None if error else int(seconds * 80), None if error else round(seconds * 0.0002, 9),
            ("satisfaction" if liked else "dissatisfaction") if rated else None,
            time_ms + 20_000 if rated else None, "wrong" if rated and not liked and rng.random() < 0.4 else None,
        )  # fmt: skip


def ledger(total: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield events as long as real ones, nine in ten of them acknowledged."""
    rng = random.Random(seed + 2)
    metadata = '{"experiment":"' + EXPERIMENT + '","padding":"' + "x" * 250 + '"}'
    for _ in range(total):
        time_ms = START_MS + rng.randrange(DAYS * DAY_MS)
        event_id = f"{rng.getrandbits(128):032x}"
        acknowledged = time_ms if rng.random() < 0.9 else None
        yield event_id, "chat_completion", time_ms, "u", event_id, 0, '"stop"', metadata, "{}", acknowledged


def votes(total: int, testers: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Yield votes on comparisons, a fifth of them ties, by testers who are in no A/B test."""
    rng = random.Random(seed + 3)
    users = [f"{rng.getrandbits(128):032x}" for _ in range(testers)]
    for number in range(total):
        worth = rng.choice((1, 1, 1, -1, 0))
        bad, left = int(worth == 0 and rng.random() < 0.3), int(worth != 0 and rng.random() < 0.5)
        ids = (f"{rng.getrandbits(128):032x}", rng.choice(users), START_MS + number, f"{rng.getrandbits(128):032x}")
        yield EXPERIMENT, 0, *ids, *GROUPS, worth, bad, left, TIER


def fill(path: Path, total: int, users: int, seed: int = 1, *, with_ledger: bool = False, voted: int = 0) -> None:
    """Write a store to `path`, which must not exist."""
    Database.open(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA cache_size=-500000")
    _insert(connection, "exposure", EXPOSURE, exposures(users, seed))
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type='index' AND tbl_name IN ('answer', 'vote') AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    _insert(connection, "answer", ANSWER, answers(total, users, seed))
    _insert(connection, "vote", VOTE, votes(voted, max(voted // 50, 1), seed))
    for _, statement in indexes:
        connection.execute(statement)
    if with_ledger:
        _insert(connection, "event", EVENT, ledger(total, seed))
    connection.commit()
    connection.close()


def fill_postgres(url: str, total: int, users: int, seed: int = 1) -> None:
    """Write the same rows, with the ledger and without votes, into an empty PostgreSQL. Indexes are made afterwards."""
    tables = {
        "exposure": ((*EXPOSURE,), exposures(users, seed)),
        "answer": (ANSWER, answers(total, users, seed)),
        "event": (EVENT, ledger(total, seed)),
    }
    Database.open(url).close()
    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname NOT LIKE '%%_pkey'",
            [list(tables)],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        for table, (columns, rows) in tables.items():
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        for _, statement in indexes:
            cursor.execute(statement.replace(" ON ONLY ", " ON "))
        connection.commit()
        connection.autocommit = True
        for table in tables:
            cursor.execute(f"VACUUM ANALYZE {table}")


def _insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> None:
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
    while batch := list(itertools.islice(rows, 50_000)):
        connection.executemany(statement, batch)
    connection.commit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--votes", type=int, default=0, help="votes on comparisons, fifty of each tester")
    parser.add_argument("--ledger", action="store_true", help="also one event for every answer")
    options = parser.parse_args()
    fill(
        options.file, options.answers, options.users, options.seed, with_ledger=options.ledger, voted=options.votes,
    )  # fmt: skip
