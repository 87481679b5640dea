"""The benchmark of the store: recording, and the readout, at 10 k, 100 k and 1 M answers, on SQLite and PostgreSQL.

    python -m tests.bench.store [--answers 10000,100000,1000000] [--questions 1000] [--write]

`make bench-store` runs it. Everything goes through the app's own parts (`App.open`, `Conversations`); only the model is
a stand-in that answers at once, so that nothing but Parley is timed. The databases are in a temporary folder, and
PostgreSQL runs with fsync on. The output is a table in Markdown, which `--write` puts into docs/understand/store.md.
"""

import argparse
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.app import App
from lib.chat.conversations import Conversations
from lib.commands.definitions import find_definition
from lib.domain.clock import now_ms
from lib.domain.completion import Completion, Usage
from lib.domain.ids import new_id
from lib.domain.visitor import Visitor
from lib.models.prices import Prices
from lib.readout.verdicts import read, scope_of
from lib.settings import load
from lib.store.tallies import tally
from tests.bench import fill_store, table
from tests.support import app_process, postgres_server

DOCUMENT = app_process.ROOT / "docs" / "understand" / "store.md"
SETTINGS = {
    "PARLEY_SIGNING_KEY": "of-the-benchmark-alone", "PARLEY_LOG_LEVEL": "error",
    "PARLEY_EXPERIMENTS_FILE": str(app_process.ROOT / ".streamlit" / "experiments.toml"),
}  # fmt: skip
ANSWERS_PER_USER = 10
LOOKS = 2_000_000
"""Answers that the readouts of one database read in all; it has between 10 and 100 readouts."""
PATH = "to the first token: assignment, exposure, question handed over"
ASSIGNED, HANDED, COMMITTED, ENDED = (
    "of it the assignment", "a rating is handed over", "a rating is committed", "an answer is committed after its end",
)  # fmt: skip
READOUT = "readout"


class Answered:
    """A model's answer that is complete at once."""

    cause = None
    completion = Completion(
        "Because.", "stop", 1.5, 0.25, Usage(30, 50, 80, source="server"), "large-model", cost_usd=0.001
    )

    async def __aiter__(self) -> AsyncIterator[str]:
        yield self.completion.text

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""


class Model:
    """A stand-in for `completion.Models`."""

    prices = Prices.load()

    def stream(self, *_: object) -> Answered:
        return Answered()

    def most_usd(self, *_: object) -> float:
        return 0.001


@dataclass
class Taken:
    """Seconds on the clock by measure, and the mean processor seconds of a question and of a readout."""

    clock: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.clock.setdefault(name, []).append(time.perf_counter() - began)


Busy = Callable[[], float]
"""Seconds of processor time so far, of this process and of PostgreSQL."""


def measured(url: str, questions: int, answers: int, busy: Busy) -> Taken:
    """Measure the app on a filled database: first its readouts, then questions and ratings."""
    taken = Taken()
    app = App.open(load({**SETTINGS, "DATABASE_URL": url}, Path("none.toml")), demo_url="http://127.0.0.1:9/v1")
    try:
        _read(app, min(max(LOOKS // answers, 10), 100), taken, busy)
        _record(app, questions, taken, busy)
    finally:
        app.close()
    return taken


def _read(app: App, times: int, taken: Taken, busy: Busy) -> None:
    definition = find_definition(app.settings, app.settings.experiment)
    scope, before = scope_of(definition), busy()
    for _ in range(times):
        with taken.timed(READOUT):
            read(tally(app.store.read, scope), definition, now_ms())
    taken.processor[READOUT] = (busy() - before) / times


def _record(app: App, questions: int, taken: Taken, busy: Busy) -> None:
    """Have one tester after the other ask, wait for the answer and rate it. The first 50 only warm up."""
    about: Any = Model()
    ask = Conversations(
        experiment=app.settings.experiment, store=app.store, experiments=app.experiments,
        models=about, generations=app.generations, metrics=app.metrics, budgets=app.budgets,
    )  # fmt: skip
    for number in range(questions + 50):
        if number == 50:  # warmed up: discard the times so far
            taken.clock = {name: taken.clock[name] for name in [READOUT]}
            before = busy()
        visitor = Visitor(new_id(), new_id(), new_id(), new_id())
        with taken.timed(ASSIGNED):
            app.experiments.assign(visitor, app.settings.experiment)
        with taken.timed(PATH):
            conversation, answer = ask.ask(visitor, None, "Why is the sky blue?", set())
        news = answer.follow()
        while news(10, 0.0) is not None:
            pass
        answer.seen = True
        assert answer.receipt is not None
        with taken.timed(ENDED):
            assert answer.receipt.wait(10)
        conversation = ask.settle(conversation, answer)
        with taken.timed(HANDED):
            conversation, receipt = ask.rate(conversation, conversation.turns[-1], "satisfaction")
        with taken.timed(COMMITTED):
            assert receipt.wait(10)
    taken.processor[PATH] = (busy() - before) / questions


def markdown(found: Mapping[str, Mapping[int, Taken]]) -> str:
    """Return the table: p50 / p99 in milliseconds, by kind of database and number of answers."""
    sizes = list(next(iter(found.values())))
    lines = ["| ms, p50 / p99 (processor) | " + " | ".join(f"{size:,} answers" for size in sizes) + " | n |"]
    lines.append("|---" * (len(sizes) + 2) + "|")
    for kind, of in found.items():
        for name in (PATH, ASSIGNED, HANDED, COMMITTED, ENDED, READOUT):
            cells = [_cell(of[size], name) for size in sizes]
            n = " / ".join(dict.fromkeys(f"{len(of[size].clock[name]):,}" for size in sizes))
            lines.append(f"| {kind}: {name} | " + " | ".join(cells) + f" | {n} |")
    return "\n".join(lines)


def _cell(taken: Taken, name: str) -> str:
    spent = f" ({_ms(taken.processor[name])})" if name in taken.processor else ""
    return f"{_ms(statistics.median(taken.clock[name]))} / {_ms(percentile(taken.clock[name], 0.99))}{spent}"


def percentile(values: Sequence[float], p: float) -> float:
    """Return the smallest value that is at least as large as a share `p` of the values.

    >>> percentile([3, 1, 2], 0.5), percentile(range(1, 201), 0.99)
    (2, 198)
    """
    ordered = sorted(values)
    return ordered[max(0, -int(-p * len(ordered) // 1) - 1)]


def _ms(seconds: float) -> str:
    """Return milliseconds with as many digits as a reader needs.

    >>> _ms(0.0000314), _ms(0.00123), _ms(0.0456), _ms(1.2345)
    ('0.031', '1.2', '46', '1,234')
    """
    ms = 1_000 * seconds
    return f"{ms:.3f}" if ms < 0.1 else f"{ms:.2f}" if ms < 1 else f"{ms:.1f}" if ms < 10 else f"{ms:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", default="10000,100000,1000000", help="how many, comma-separated")
    parser.add_argument("--questions", type=int, default=1_000, help="questions that are asked and rated")
    parser.add_argument("--write", action="store_true", help="put the table into docs/understand/store.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that PostgreSQL is ended
    sizes, load_before, began = [int(one) for one in options.answers.split(",")], os.getloadavg()[0], time.monotonic()
    found: dict[str, dict[int, Taken]] = {"SQLite": {}, "PostgreSQL": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")))
        server = stack.enter_context(postgres_server.serve(durable=True))
        for size in sizes:
            file = folder / f"{size}.db"
            fill_store.fill(file, size, size // ANSWERS_PER_USER, with_ledger=True)
            _print_progress(f"SQLite, {size:,} answers: filled", began)
            found["SQLite"][size] = measured(f"sqlite:///{file}", options.questions, size, time.process_time)
            url = server.database()
            fill_store.fill_postgres(url, size, size // ANSWERS_PER_USER)
            _print_progress(f"PostgreSQL, {size:,} answers: filled", began)
            found["PostgreSQL"][size] = measured(
                url, options.questions, size, lambda: time.process_time() + server.processor_s()
            )
            _print_progress(
                f"{size:,} answers: done\n{markdown({kind: {size: of[size]} for kind, of in found.items()})}", began
            )
    head = f"Measured on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, load {load_before:.1f} before the run; "
    head += f"Python {platform.python_version()}, in all {time.monotonic() - began:.0f} s."
    print(head, markdown(found), sep="\n\n")
    if options.write:
        DOCUMENT.write_text(
            table.renewed(DOCUMENT.read_text(encoding="utf-8"), head, markdown(found)), encoding="utf-8"
        )


def _print_progress(line: str, began: float) -> None:
    print(f"{time.monotonic() - began:4.0f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
