"""Fill a store, SQLite or PostgreSQL, with a long ledger. The database itself makes the rows, which is fastest.

    python -m tests.bench.fill_ledger URL --events 10000000

The events are of three months, in order of time, and as long as real ones. One in a hundred is a failed answer. The
first thousandth has a group that no longer exists, and the last twentieth waits for Statsig. The database must be
empty.
"""

import argparse
import time
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from lib.store import partitions
from lib.store.database import Database

START_MS = int(datetime(2026, 8, 1, tzinfo=UTC).timestamp() * 1_000)
DAYS_MS = 92 * 86_400_000
BATCH = 250_000
IDS = '{"userID": "' + "x" * 32 + '", "stableID": "' + "x" * 32 + '", "sessionID": "' + "x" * 32 + '"}'
ROWS = """
INSERT INTO event (event_id, name, time_ms, user_id, answer_id, grp, simulated, value, metadata, ids, acknowledged_ms)
WITH RECURSIVE n(i) AS (SELECT CAST(:first AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)
SELECT {id}, CASE WHEN i * 37 % 100 < 60 THEN 'chat_completion' WHEN i * 37 % 100 < 75 THEN 'satisfaction'
    WHEN i * 37 % 100 < 95 THEN 'exposure' WHEN i * 37 % 100 < 99 THEN 'copied' ELSE 'abandoned' END,
  :start + CAST(i * 1.0 * :span / :total AS BIGINT), 'user-' || (i * 7919 % (:total / 50 + 1)), 'answer-' || (i / 3),
  CASE WHEN i < :total / 1000 THEN 'Earlier' WHEN i * 31 % 7 < 4 THEN 'Control' ELSE 'Test' END, {no},
  CASE WHEN i * 37 % 100 >= 60 THEN '1' WHEN i * 53 % 59 = 0 THEN '"error"' ELSE '"stop"' END,
  '{{"experiment": "statsig_openai_integration", "padding": "' ||
    CASE WHEN i * 37 % 100 < 75 THEN :long WHEN i * 37 % 100 < 95 THEN :short ELSE :middle END || '"}}',
  :ids, CASE WHEN i < :total * 0.95 THEN :start + CAST(i * 1.0 * :span / :total AS BIGINT) + 900 END FROM n
"""
WAITING = """
INSERT INTO outbox (event_id, created_ms, due_ms, attempts)
SELECT event_id, time_ms, time_ms, 1 FROM event WHERE acknowledged_ms IS NULL
"""


def fill(database: Database, total: int) -> None:
    """Write the events, with every index but the primary key dropped until the end, which is quicker."""
    postgres = database.shared
    with database.begin() as connection:
        indexes = _take_indexes(connection, postgres)
        if postgres:
            _months(connection)
    rows = text(ROWS.format(
        id="md5(i::text)" if postgres else "lower(hex(randomblob(16)))", no="false" if postgres else "0"
    ))  # fmt: skip
    shape = {"long": "x" * 560, "middle": "x" * 280, "short": "x" * 160, "ids": IDS, "start": START_MS, "span": DAYS_MS}
    for first in range(0, total, BATCH):
        with database.begin() as connection:
            connection.execute(rows, shape | {"first": first, "last": min(first + BATCH, total), "total": total})
    with database.begin() as connection:
        for statement in indexes:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(WAITING)
    with database.begin() as connection:
        connection.exec_driver_sql("ANALYZE event")


def _take_indexes(connection: Connection, postgres: bool) -> list[str]:
    """Drop the ledger's indexes; return the statements that create them again."""
    found = connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'event' AND indexname <> 'event_pkey'" if postgres
        else "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'event' AND sql IS NOT NULL"
    ).all()  # fmt: skip
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [str(made).replace(" ON ONLY ", " ON ") for _, made in found]


def _months(connection: Connection) -> None:
    """Replace the partitions of future months with those of the months to fill."""
    for one in partitions.before(connection, 2**62):
        connection.exec_driver_sql(f"DROP TABLE {one.name}")
    partitions.prepare(connection, partitions.month(START_MS, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--events", type=int, default=10_000_000)
    options = parser.parse_args()
    began = time.monotonic()
    database = Database.open(options.url)
    fill(database, options.events)
    database.close()
    print(f"{options.events:,} events in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
