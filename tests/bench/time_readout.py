"""Times the readout's questions on a store that `fill_store` wrote.

    python -m tests.bench.time_readout FILE [--rounds 3]
"""

import argparse
import time
from collections.abc import Callable

from lib import analysis
from lib.store import sums, units
from lib.store.database import Database
from lib.tally import Scope, UnitSums
from tests.bench.fill_store import EXPERIMENT


def span(p: float, below: UnitSums) -> tuple[float, float] | None:
    return analysis.quantile_span(p, analysis.Sums(*below))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    database = Database.open(f"sqlite:///{options.file}")
    scope = Scope(EXPERIMENT)
    with database.read() as connection:
        questions: dict[str, Callable[[], object]] = {
            "excluded": lambda: units.excluded(connection, scope),
            "delivery": lambda: sums.delivery(connection, scope),
            "tally": lambda: sums.tally(database.read, scope, analysis.rank, span),
        }
        for name, question in questions.items():
            took = []
            for _ in range(options.rounds):
                begin = time.perf_counter()
                question()
                took.append(time.perf_counter() - begin)
            print(f"{name:28} {min(took):8.3f} s  (of {', '.join(f'{one:.3f}' for one in took)})")
    database.close()


if __name__ == "__main__":
    main()
