"""Times the pages of the Events page on a ledger of any length.

    python -m tests.bench.time_ledger URL --events 1000000

Fills the database of this URL (SQLite or PostgreSQL) where it is empty: events of two groups, one in a hundred an
answer that failed, the first thousandth of a group that is gone, the last twentieth still on its way to Statsig. Of
each question, over nine pages: the first, the middle and the slowest, in milliseconds.
"""

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, insert, select

from lib.ledger import Search
from lib.store import ledger
from lib.store.database import Database
from lib.store.schema import event, outbox

START_MS, DAYS_MS = 1_790_000_000_000, 30 * 86_400_000
NAMES = ("chat_completion",) * 60 + ("satisfaction",) * 15 + ("exposure",) * 20 + ("copied",) * 4 + ("abandoned",)
BATCH = 20_000
METADATA = '{"experiment": "statsig_openai_integration", "padding": "' + "x" * 250 + '"}'


def events(total: int, seed: int) -> Iterator[dict[str, Any]]:
    """In the order of time, as they come."""
    rng = random.Random(seed)
    for number in range(total):
        name = rng.choice(NAMES)
        value = '"error"' if rng.random() < 0.017 else '"stop"'
        acknowledged = number < total * 0.95
        time_ms = START_MS + DAYS_MS * number // total
        yield {
            "event_id": f"{rng.getrandbits(128):032x}", "name": name, "time_ms": time_ms,
            "user_id": f"user-{rng.randrange(max(1, total // 50))}", "answer_id": f"answer-{number // 3}",
            "grp": "Earlier" if number < total / 1000 else rng.choice(("Control", "Test")), "simulated": False,
            "value": value if name == "chat_completion" else "1", "metadata": METADATA, "ids": "{}",
            "acknowledged_ms": time_ms + 900 if acknowledged else None,
        }  # fmt: skip


def fill(database: Database, total: int, seed: int = 1) -> None:
    """Past the store's writer, in batches."""
    batch: list[dict[str, Any]] = []
    for one in events(total, seed):
        batch.append(one)
        if len(batch) == BATCH:
            _write(database, batch)
            batch = []
    if batch:
        _write(database, batch)
    with database.begin() as connection:
        connection.exec_driver_sql("ANALYZE") if database.url.get_backend_name() == "postgresql" else None


def _write(database: Database, batch: list[dict[str, Any]]) -> None:
    waiting = [
        {"event_id": one["event_id"], "created_ms": one["time_ms"], "due_ms": one["time_ms"], "attempts": 1}
        for one in batch
        if one["acknowledged_ms"] is None
    ]
    with database.begin() as connection:
        connection.execute(insert(event), batch)
        if waiting:
            connection.execute(insert(outbox), waiting)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    database = Database.open(options.url)
    with database.read() as connection:
        found = connection.scalar(select(func.count()).select_from(event)) or 0
    if not found:
        fill(database, options.events)
    questions = {
        "everything": Search(),
        "one name": Search(name="chat_completion"),
        "a rare name": Search(name="abandoned"),
        "a group": Search(group="Test"),
        "a group that is gone": Search(group="Earlier"),
        "a name of a group": Search(name="abandoned", group="Test"),
        "a name of a group that is gone": Search(name="abandoned", group="Earlier"),
        "failed": Search(failed=True),
        "failed, of a group": Search(failed=True, group="Test"),
        "a unit": Search(user_id="user-3"),
        "an answer": Search(answer_id="answer-7"),
        "waiting": Search(delivery="waiting"),
        "waiting, of a name": Search(delivery="waiting", name="abandoned"),
        "acknowledged": Search(delivery="acknowledged"),
        "kept here alone: none": Search(delivery="kept"),
        "simulated: none": Search(simulated=True),
    }
    print(f"{'':32} {'first':>8} {'middle':>8} {'slowest':>8}  lines of the first page; milliseconds")
    for name, search in questions.items():
        took, before, first = [], None, 0
        for number in range(9):
            began = time.perf_counter()
            with database.read() as connection:
                page = ledger.page(connection, search, before, 50)
            took.append(1_000 * (time.perf_counter() - began))
            first, before = (len(page.lines) if number == 0 else first), page.older
            if before is None:
                break
        print(f"{name:32} {took[0]:8.1f} {statistics.median(took):8.1f} {max(took):8.1f}  {first}")
    with database.read() as connection:
        began = time.perf_counter()
        ledger.life(connection, "answer-9")
        print(f"{'one life':32} {1_000 * (time.perf_counter() - began):8.1f}")
    database.close()


if __name__ == "__main__":
    main()
