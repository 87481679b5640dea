"""Time a purge of a long ledger, and the commits of another process that writes meanwhile.

    python -m tests.bench.time_purge URL --before 2026-09-01 [--seconds 120] [--quiet 10]

The database is one that `fill_ledger` wrote. The other process records up to 50 events a second, one after the other,
and waits for each commit. It begins `--quiet` seconds before the purge and ends with it.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.store import Store, purge

PAUSE_S = 0.02


def write(url: str, begun: Any, ended: Any, waits: Any) -> None:
    """Record events until `ended` is set; put the seconds of each commit, before and during the purge, into `waits`."""
    before: list[float] = []
    during: list[float] = []
    with closing(Store.open(url)) as store:
        while not ended.is_set():
            taken = during if begun.is_set() else before
            at = time.perf_counter()
            store.events.record([Event(new_id(), "copied", now_ms(), "u", 1, {"answer_id": new_id()}, {})]).wait()
            taken.append(time.perf_counter() - at)
            time.sleep(PAUSE_S)
    waits.put((before, during))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--before", required=True, help="a date")
    parser.add_argument("--quiet", type=float, default=10, help="seconds of the other process alone, before the purge")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    options = parser.parse_args()
    before_ms = int(datetime.fromisoformat(options.before).replace(tzinfo=UTC).timestamp() * 1_000)
    spawn = multiprocessing.get_context("spawn")
    begun, ended, waits = spawn.Event(), spawn.Event(), spawn.Queue()
    other = spawn.Process(target=write, args=(options.url, begun, ended, waits))
    other.start()
    time.sleep(options.quiet)
    begun.set()
    with closing(Store.open(options.url)) as store:
        holds = _watch(store)
        at, busy, gone = time.perf_counter(), time.process_time(), 0
        found = purge.old(store, before_ms)
        print(f"found {found} in {time.perf_counter() - at:.1f} s", flush=True)
        at = time.perf_counter()
        for step in purge.purge(store, before_ms):
            gone += step
            if time.perf_counter() - at > options.seconds:
                break
        took, busy = time.perf_counter() - at, time.process_time() - busy
    ended.set()
    before, during = waits.get()
    other.join()
    print(f"{gone:,} events gone in {took:.1f} s ({busy:.1f} s of the processor), load {os.getloadavg()[0]:.1f}")
    print(f"{len(holds):,} steps: {_spread(holds)}")
    print(f"a commit before it: {_spread(before)}\na commit during it: {_spread(during)}")


def _watch(store: Store) -> list[float]:
    """Wrap the store's writes; return the list to which each adds the seconds for which it held the writer."""
    holds: list[float] = []
    written = store.written

    def watched(fact: Any, within_s: float) -> Any:
        began = time.monotonic()
        result = written(fact, within_s)
        holds.append(fact.took if isinstance(fact, purge._Piece) else time.monotonic() - began)
        return result

    setattr(store, "written", watched)  # noqa: B010
    return holds


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = [1_000 * one for one in sorted(seconds)]
    p50, p99 = (ordered[min(int(len(ordered) * p), len(ordered) - 1)] for p in (0.5, 0.99))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, longest {ordered[-1]:.1f} ms (n {len(ordered):,})"


if __name__ == "__main__":
    main()
