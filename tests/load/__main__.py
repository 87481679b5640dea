"""The load test: `make load` plays testers and prints a table.

    python -m tests.load [--sessions 50] [--seconds 20] [--idle 200] [--pages 2000] [--only idle,pages,two]

It starts PostgreSQL, a stand-in model server, a stand-in Statsig and replicas of the real app, plays testers over
Streamlit's own websocket, and at the end ends its processes. Progress goes to standard error. Every tester asks, reads
to the end, rates, and asks again at once, so that as many answers stream as there are testers.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any

import psutil
import psycopg
from websockets.exceptions import WebSocketException

from lib.web.descriptors import raise_limit
from tests.load.crowd import Crowd
from tests.load.player import Asked
from tests.load.scene import DELAY_S, PER_S, TOKENS, Scene, Watch, can_limit, scene
from tests.support import app_process

LATE_S = 0.3
"""Seconds from the model's first words to the page's. A replica holds as many testers as have a p95 within this."""
SETTLE_S, STEP_S = 3.0, 8.0
"""Seconds before a step is measured, and of its measurement."""
FULL_MB = 500
"""The memory that a replica with many idle pages should not exceed."""
PAGES_STEP = 100
"""Pages that are opened between two readings of the replica's memory."""
SHARE = 0.5
"""Share of a core for each replica where two are compared with one: the players need the rest of two cores."""
EVENTS_PER_S = 1000
Row = tuple[str, str, str]


async def idle(scene: Scene, options: argparse.Namespace) -> list[Row]:
    """Measure idle pages, on each of which one answer was read and rated."""
    with scene.replicas(1) as [replica]:
        async with Crowd([replica.url]) as crowd:
            await crowd.open(1)
            await crowd.ask_once(1)
            first = replica.resident_mb
            await crowd.open(options.idle)
            await crowd.ask_once(options.sessions)
            watch = Watch([replica])
            await watch.during(options.seconds / 2)
    if crowd.errors:
        print(*crowd.errors[:5], sep="\n", file=sys.stderr)
    resident, each = watch.resident_mb[-1], 1000 * watch.cores / options.idle
    return [
        (f"{options.idle} idle sessions: resident memory", f"{resident:.0f} MB ({first:.0f} MB with one)", "260 MB"),
        ("… of each", f"{1000 * (resident - first) / options.idle:.0f} kB, {each:.2f} ‰ of a core", ""),
    ]


async def pages(scene: Scene, options: argparse.Namespace) -> list[Row]:
    """Measure how many untouched pages, up to `options.pages`, a replica holds within FULL_MB."""
    raise_limit()
    borne, why = 0, ""
    with scene.replicas(1) as [replica]:
        async with Crowd([replica.url]) as crowd:
            await crowd.open(1)
            first, descriptors = replica.resident_mb, replica.process.num_fds()
            while borne < options.pages and not why:
                try:
                    await crowd.open(min(borne + PAGES_STEP, options.pages))
                except (OSError, TimeoutError, WebSocketException) as error:
                    why = f"; then {type(error).__name__}"
                    break
                if replica.resident_mb > FULL_MB:
                    why = f"; more need {replica.resident_mb:.0f} MB"
                    break
                borne = len(crowd)
                print(f"{borne} pages: {replica.resident_mb:.0f} MB", file=sys.stderr)
            more = max(len(crowd) - 1, 1)
            each = (replica.process.num_fds() - descriptors) / more
            watch = Watch([replica])
            await watch.during(options.seconds / 2)
            resident = watch.resident_mb[-1]
    return [
        ("idle pages that a replica bears", f"{borne} in {resident:.0f} MB{why}", f"2,000 in {FULL_MB} MB"),
        ("… of each", f"{1000 * (resident - first) / more:.0f} kB, {each:.1f} descriptors, "
                      f"{1000 * watch.cores / more:.2f} ‰ of a core", ""),
    ]  # fmt: skip


async def streaming(scene: Scene, options: argparse.Namespace) -> list[Row]:
    """Measure one answer at once for each session; then add sessions until the first words come late."""
    rows = []
    with scene.replicas(1) as [replica]:
        async with Crowd([replica.url]) as crowd:
            await crowd.open(1)
            await crowd.ask_once(1)
            before = replica.resident_mb
            watch, seen = await _step(crowd, [replica], options.sessions, options.seconds)
            sessions, recorded = options.sessions, _recorded(scene, options.seconds)
            rows += _first_words(f"{sessions} streaming at once", seen, f"p95 {1000 * LATE_S:.0f} ms")
            rows += [
                ("… streaming, mean", f"{_mean(watch.streaming):.0f}; {len(seen) / options.seconds:.1f} answers/s, "
                                      f"{recorded:.0f} events/s", ""),
                ("… of each", f"{100 * watch.cores / sessions:.1f} % of a core, "
                              f"{1000 * (watch.resident_mb[-1] - before) / sessions:.0f} kB", ""),
            ]  # fmt: skip
            while _late(seen) <= LATE_S and sessions < 3 * options.sessions and not crowd.errors:
                sessions += options.sessions // 2
                more, seen = await _step(crowd, [replica], sessions, STEP_S)
                rows += _first_words(f"{sessions} streaming at once", seen, f"{more.cores:.2f} cores")
            await crowd.end()
        delivered_s = await _delivered(replica.metrics)
    rows += _record(scene, crowd)
    known = [seconds for seconds in watch.outbox_s if not math.isnan(seconds)]
    oldest = f"{max(known, default=math.nan):.1f} s; empty {delivered_s:.1f} s after the end"
    return [*rows, ("… oldest event in the outbox", oldest, "30 s")]


async def two(scene: Scene, options: argparse.Namespace) -> list[Row]:
    """Measure how many testers one replica and two hold, each replica with the same share of a core."""
    if not can_limit():
        return [("two replicas beside one", "needs root and cgroup v1, to give each its part of a core", "")]
    rows, held = [], []
    for count in (1, 2):
        scene.new_database()
        with scene.replicas(count, SHARE) as replicas:
            async with Crowd([each.url for each in replicas]) as crowd:
                best, most = 0, 0.0
                for step in range(1, 9):
                    sessions = step * count * options.sessions // 5
                    watch, seen = await _step(crowd, replicas, sessions, STEP_S)
                    name = f"{count} at {SHARE:g} core each, {sessions} testers"
                    rows += _first_words(name, seen, f"{len(seen) / STEP_S:.1f} answers/s, {watch.cores:.2f} cores")
                    most = max(most, len(seen) / STEP_S)
                    if _late(seen) > LATE_S or crowd.errors:
                        break
                    best = sessions
                held.append((best, most))
    (one, slow), (both, fast) = held
    told = f"{one} and {both} testers; at most {slow:.1f} and {fast:.1f} answers/s: {fast / max(slow, 0.1):.1f} times"
    return [*rows, ("one replica holds, two hold", told, "nearly 2 times")]


async def events(scene: Scene, options: argparse.Namespace) -> list[Row]:
    """Measure answers while the writer that they use also records a thousand events a second."""
    scene.new_database()
    environ = {name: value for name, value in scene.environ.items() if not name.startswith("STATSIG_")}
    command = [sys.executable, "-m", "tests.load.recorder", str(EVENTS_PER_S), str(options.seconds / 2)]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=app_process.ROOT, env=dict(os.environ) | environ, capture_output=True, text=True
    )
    if done.returncode:
        return [(f"{EVENTS_PER_S:,} events/s", f"failed: {done.stderr.strip().splitlines()[-1:]}", "")]
    told = json.loads(done.stdout.splitlines()[-1])
    rate = told["told"] / told["seconds"]
    rows = [("events recorded on PostgreSQL", f"{rate:,.0f}/s; at most {told['queued']} waited", f"{EVENTS_PER_S:,}/s")]
    for key, what in (("first_s", "first token"), ("committed_s", "the end of an answer is committed")):
        quiet, busy = ([1000 * value for value in told[when][key]] for when in ("without", "with"))
        shift = DELAY_S * 1000 if key == "first_s" else 0
        pairs = (f"{_quantile(quiet, p) - shift:.1f} → {_quantile(busy, p) - shift:.1f}" for p in (0.5, 0.95))
        rows.append((f"… {what}, without → with, p50, p95", f"{', '.join(pairs)} ms (n {len(quiet)}, {len(busy)})", ""))
    return rows


SCENES: dict[str, Callable[[Scene, argparse.Namespace], Coroutine[Any, Any, list[Row]]]] = {
    "idle": idle, "pages": pages, "streaming": streaming, "two": two, "events": events,
}  # fmt: skip


async def _step(crowd: Crowd, replicas: Sequence[Any], sessions: int, seconds: float) -> tuple[Watch, list[Asked]]:
    """Have `sessions` players play; return the replicas' resources, and the questions answered within `seconds`."""
    watch = Watch(replicas)
    await crowd.open(sessions)
    await crowd.begin(TOKENS / PER_S)
    await asyncio.sleep(SETTLE_S)
    began = time.monotonic()
    await watch.during(seconds)
    await asyncio.sleep(DELAY_S + LATE_S)
    return watch, [one for one in crowd.asked if began <= one.at + one.whole_s < began + seconds]


async def _delivered(metrics: Callable[[], dict[str, float]]) -> float:
    """Wait until Statsig has acknowledged everything, at most a minute; return the seconds that it took."""
    began = time.monotonic()
    while (await asyncio.to_thread(metrics))["parley_outbox_pending"] and time.monotonic() < began + 60:
        await asyncio.sleep(0.2)
    return time.monotonic() - began


def _record(scene: Scene, crowd: Crowd) -> list[Row]:
    """Return rows that set the players' counts beside those of the database."""
    with closing(psycopg.connect(scene.database.replace("+psycopg", ""))) as connection:
        counted: dict[str, int] = dict(connection.execute("SELECT name, count(*) FROM event GROUP BY name").fetchall())
    votes = counted.get("satisfaction", 0) + counted.get("dissatisfaction", 0)
    told = f"{len(crowd.asked)} of {crowd.left} answered whole, {crowd.votes} votes, {len(crowd.errors)} errors"
    kept = f"{counted.get('chat_completion', 0)} answers, {votes} votes"
    return [("… asked in all", told, "0 errors"), ("… in the record", kept, "the same")]


def _recorded(scene: Scene, seconds: float) -> float:
    """Return the events recorded per second over the last `seconds`."""
    since = "SELECT count(*) FROM event WHERE time_ms > %s"
    with closing(psycopg.connect(scene.database.replace("+psycopg", ""))) as connection:
        found = connection.execute(since, [int(1000 * (time.time() - seconds))]).fetchone()
    return float(found[0] if found else 0) / seconds


def _first_words(name: str, seen: Sequence[Asked], goal: str) -> list[Row]:
    late = [1000 * (one.first_s - DELAY_S) for one in seen]
    told = " / ".join(f"{_quantile(late, p):.0f}" for p in (0.5, 0.95, 0.99))
    return [(f"{name}: first words after the model's, p50 / p95 / p99", f"{told} ms (n {len(seen)})", goal)]


def _late(seen: Sequence[Asked]) -> float:
    return _quantile([one.first_s - DELAY_S for one in seen], 0.95)


def _quantile(values: Sequence[float], p: float) -> float:
    """Return the quantile `p` of the values; infinity where there are none."""
    return sorted(values)[int(p * (len(values) - 1) + 0.5)] if values else float("inf")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50, help="testers who stream at once")
    parser.add_argument("--seconds", type=float, default=20, help="how long they are measured")
    parser.add_argument("--idle", type=int, default=200, help="open pages that do nothing")
    parser.add_argument("--pages", type=int, default=2000, help="open pages that are tried at most")
    parser.add_argument("--only", default=",".join(SCENES), help=f"of {', '.join(SCENES)}")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the started processes are ended
    began, busy = time.monotonic(), os.getloadavg()[0]
    rows: list[Row] = []
    with scene() as around:
        for name in options.only.split(","):
            around.new_database()
            at = time.monotonic()
            rows += asyncio.run(SCENES[name](around, options))
            print(f"{name}: {time.monotonic() - at:.0f} s", file=sys.stderr)
    memory = psutil.virtual_memory().total / 1e9
    print(
        f"Measured on {time.strftime('%Y-%m-%d')} in {time.monotonic() - began:.0f} s: {os.cpu_count()} cores, "
        f"{memory:.0f} GB, load {busy:.1f} before the run; Python {platform.python_version()}; model server, Statsig, "
        "PostgreSQL and\nthe testers on the same machine. "
        f"The model: first token after {1000 * DELAY_S:.0f} ms, {TOKENS} tokens at {PER_S:.0f}/s.\n"
    )
    print("| what | measured | goal, or what it took |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
