"""Time the queries of the readout and of the Results page on a store that `fill_store` wrote.

    python -m tests.bench.time_readout FILE [--rounds 3]

Print the best round of each: seconds on the clock, and processor seconds of all threads together.
"""

import argparse
import time
from collections.abc import Callable

from lib.statistics.sums import Scope
from lib.store import tallies, trends, units
from lib.store.database import Database
from lib.store.preferences import votes_by_pair
from lib.store.snapshots import snapshots
from tests.bench.fill_store import DAY_MS, DAYS, EXPERIMENT, START_MS, TIER

EDGES = [0.1 * 1.3**step for step in range(32)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    database = Database.open(f"sqlite:///{options.file}")
    scope = Scope(EXPERIMENT)
    since = Scope(EXPERIMENT, since_ms=START_MS + DAYS * DAY_MS // 4)
    tier = Scope(EXPERIMENT, tier=TIER)
    with database.read() as connection:
        questions: dict[str, Callable[[], object]] = {
            "readout": lambda: tallies.tally(database.read, scope),
            "readout since a date": lambda: tallies.tally(database.read, since),
            "readout of a tier": lambda: tallies.tally(database.read, tier),
            "of it: who is left out": lambda: units.excluded(connection, scope),
            "of it: delivery": lambda: tallies.delivery(connection, scope),
            "of it: votes on comparisons": lambda: votes_by_pair(connection, scope),
            "snapshots of satisfaction": lambda: snapshots(connection, scope, "satisfaction"),
            "snapshots of response time": lambda: snapshots(connection, scope, "response_time"),
            "exposures per day": lambda: trends.exposed_per_day(connection, scope),
            "response times in bins": lambda: trends.response_times(connection, scope, EDGES),
            "reasons": lambda: trends.reasons(connection, scope),
            "remarks": lambda: trends.remarks(connection, scope),
        }
        for name, question in questions.items():
            clock, cores = zip(*(_measure(question) for _ in range(options.rounds)), strict=True)
            print(f"{name:28} {min(clock):8.3f} s {min(cores):8.3f} s of all cores", flush=True)
    database.close()


def _measure(question: Callable[[], object]) -> tuple[float, float]:
    begin, busy = time.perf_counter(), time.process_time()
    question()
    return time.perf_counter() - begin, time.process_time() - busy


if __name__ == "__main__":
    main()
