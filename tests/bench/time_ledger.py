"""Time the queries of the Events page on a ledger of any length.

    python -m tests.bench.time_ledger URL --events 1000000 [--rounds 9]

If the database (SQLite or PostgreSQL) is empty, `fill_ledger` fills it first. Each query reads its first page, and a
page that begins in the middle of the ledger. The output has the median and the slowest round on the clock, and the
median processor time of this process (without the PostgreSQL server's), in milliseconds. The first round, which may
read from the disk, is included.
"""

import argparse
import statistics
import time

from sqlalchemy import func, select

from lib.domain.ledger import Key, Search
from lib.store import ledger
from lib.store.database import Database
from lib.store.schema import event
from tests.bench import fill_ledger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    database = Database.open(options.url)
    with database.read() as connection:
        empty = connection.scalar(select(event.c.event_id).limit(1)) is None
    if empty:
        fill_ledger.fill(database, options.events)
    with database.read() as connection:
        first, last = connection.execute(select(func.min(event.c.time_ms), func.max(event.c.time_ms))).one()
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
    print(
        f"{'':32} {'first page':>27}  {'page in the middle':>27}\n{'':32}"
        + f"{'median':>10}{'slowest':>9}{'cpu':>9} " * 2
    )
    for name, search in questions.items():
        cells = [_timed(database, search, before, options.rounds) for before in (None, ((first + last) // 2, ""))]
        print(f"{name:32}" + " ".join(cells), flush=True)
    with database.read() as connection:
        began = time.perf_counter()
        ledger.life(connection, "answer-9")
        print(f"{'one life':32}{1_000 * (time.perf_counter() - began):10.1f}")
    database.close()


def _timed(database: Database, search: Search, before: Key | None, rounds: int) -> str:
    took, worked = [], []
    for _ in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        with database.read() as connection:
            page = ledger.page(connection, search, before, 50)
        took.append(1_000 * (time.perf_counter() - began))
        worked.append(1_000 * (time.process_time() - busy))
    lines = f"{len(page.lines):3}" if len(page.lines) < 50 else "   "
    return f"{statistics.median(took):10.1f}{max(took):9.1f}{statistics.median(worked):9.1f}{lines}"


if __name__ == "__main__":
    main()
