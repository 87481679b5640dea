"""Traffic through a Statsig that fails half of all calls in every way, with three `kill -9`: nothing is lost.

The traffic lasts 16 seconds, or SOAK_SECONDS. The figures are printed and written to `output/soak.txt`.
"""

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from tests.conftest import StartApp
from tests.support import openai_server as openai
from tests.support.app_process import AppProcess
from tests.support.chat_page import Record
from tests.support.chromium import OUTPUT
from tests.support.openai_server import RESET, stream
from tests.support.ports import free_port
from tests.support.statsig_server import Fault, Request, Statsig
from tests.support.waiting import ENOUGH_S, until
from tests.support.websocket_tester import Tester
from tests.test_faults_statsig import settings, specs

SECONDS = float(os.environ.get("SOAK_SECONDS", "16"))
VISITORS = 6
KILLS = 3
EVERY_WAY: list[Fault] = [
    400, 401, 403, 408, 429, 500, 502, 503, 504, "reset", "garbage", "empty", "lost", "hang",
]  # fmt: skip
RECOVERED_S = 2 * ENOUGH_S


class FaultSource:
    """A source of faults: every second call fails on average, and every fault is equally frequent."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._ways: list[Fault] = []
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()

    def __call__(self) -> Fault:
        with self._lock:
            fault = None if self._chance.random() < 0.5 else self._next()
            self.calls[str(fault)] += 1
            return fault

    def _next(self) -> Fault:
        if not self._ways:
            self._ways = self._chance.sample(EVERY_WAY, len(EVERY_WAY))
        return self._ways.pop()


class Visitor(threading.Thread):
    """A tester that asks, votes and returns after each end of the process.

    `answers` and `votes` are those that a page has confirmed.
    """

    def __init__(self, url: str, seed: int, over: threading.Event) -> None:
        super().__init__(name=f"visitor {seed}")
        self.answers: set[str] = set()
        self.votes: dict[str, str] = {}
        self.cut = 0
        self.fault: Exception | None = None
        self._url, self._over, self._chance = url, over, random.Random(seed)
        self._cookie = ""

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._visit()
            except (AssertionError, OSError, WebSocketException):  # the process or the page has ended
                self.cut += 1
                self._over.wait(0.2)
            except Exception as error:
                self.fault = error
                return

    def _visit(self) -> None:
        with Tester(self._url, cookie=self._cookie) as tester:
            self._cookie = tester.cookie
            for _ in range(self._chance.randrange(1, 6)):
                if self._over.is_set():
                    return
                tester.ask("How are you?")
                if "This answer is not saved yet" not in tester.lines:
                    self.answers.update(tester.answer_ids[-1:])
                if self._chance.random() < 0.6 and tester.thumbs[-1:] == [None]:
                    self._vote(tester)
                self._over.wait(self._chance.random() * 0.3)

    def _vote(self, tester: Tester) -> None:
        up = self._chance.random() < 0.7
        tester.rate(up)
        tester.idle()
        if "Saved, thank you" in tester.lines:
            self.votes[tester.answer_ids[-1]] = "satisfaction" if up else "dissatisfaction"


def answer_of(chance: random.Random) -> openai.Reply:
    """Return a whole answer in most cases, and sometimes a failure."""
    match chance.random():
        case luck if luck < 0.05:
            return openai.status(500)
        case luck if luck < 0.1:
            return stream("Half an ", "answer", RESET)
        case _:
            return openai.answer("I am fine, thank you. And you?", pace=0.01)


@pytest.mark.timeout(SECONDS + 5 * RECOVERED_S)
def test_half_of_all_calls_failing_and_three_kills_lose_nothing(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    faults, chance = FaultSource(7), random.Random(11)  # for the events; the definitions have their own
    model_server.script(otherwise=lambda request: answer_of(chance))
    statsig.specs = specs()
    statsig.events_fault, statsig.specs_fault, statsig.lists_fault = faults, FaultSource(8), FaultSource(9)
    port, over = free_port(), threading.Event()
    app = start_app(settings(model_server, statsig.url), port=port)
    visitors = [Visitor(app.url, seed, over) for seed in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    for kills in range(KILLS):
        spend_one_life(visitors, kills, over)
        app.kill()
        app = start_app(settings(model_server, statsig.url), folder=app.folder, port=port)
    spend_one_life(visitors, KILLS, over)
    over.set()
    for visitor in visitors:
        visitor.join(RECOVERED_S)
    assert not [visitor for visitor in visitors if visitor.is_alive()]
    assert [visitor.fault for visitor in visitors] == [None] * VISITORS

    ended = time.monotonic()
    until(lambda: count(app, "answer WHERE finish_reason IS NULL") == 0, RECOVERED_S)
    until(lambda: count(app, "outbox") == 0, RECOVERED_S)
    drained = time.monotonic() - ended
    with Record.of(app) as record:
        recorded = record.events()
    figures = Figures.of(recorded, statsig, faults, drained)
    report(figures)
    assert figures.lost == 0 and figures.invented == 0 and figures.changed == 0
    assert figures.duplicates == figures.unacknowledged + figures.killed
    check_confirmed(visitors, recorded)


def spend_one_life(visitors: list[Visitor], kills: int, over: threading.Event) -> None:
    """Let a process run for its share of the time, and until each visitor has more answers than there were kills."""
    over.wait(SECONDS / (KILLS + 1))
    until(lambda: all(len(visitor.answers) > kills for visitor in visitors), RECOVERED_S)


def check_confirmed(visitors: list[Visitor], recorded: list[dict[str, Any]]) -> None:
    """Check that confirmed answers and votes are in the record, each once, each vote as the last one given."""
    ends = Counter(event["metadata"]["answer_id"] for event in recorded if event["name"] == "chat_completion")
    assert set(ends.values()) == {1}
    rated = (event for event in recorded if event["name"].endswith("satisfaction"))
    votes = {event["metadata"]["answer_id"]: event["name"] for event in rated}
    for visitor in visitors:
        assert len(visitor.answers) > KILLS and visitor.answers <= ends.keys()
        assert visitor.votes.items() <= votes.items()


def count(app: AppProcess, rows: str) -> int:
    with closing(sqlite3.connect(app.folder / "data/parley.db", timeout=10)) as database:
        return int(database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608


@dataclass(frozen=True)
class Figures:
    """The figures of the soak.

    `changed` are events that arrived with another time than the record's. `duplicates` are arrivals of events that had
    arrived before: `unacknowledged` after an acknowledgement that was lost, `killed` after one that a process had not
    written before it was killed.
    """

    seconds: float
    kills: int
    events: int
    calls: int
    failed: int
    lost: int
    invented: int
    changed: int
    duplicates: int
    unacknowledged: int
    killed: int
    drained_s: float

    @classmethod
    def of(cls, recorded: list[dict[str, Any]], statsig: Statsig, faults: FaultSource, drained_s: float) -> "Figures":
        times = {event["event_id"]: event["time"] for event in recorded}
        arrived = {event["metadata"]["event_id"]: event["time"] for event in statsig.events}
        again = second_copies(statsig.requests)
        return cls(
            seconds=SECONDS, kills=KILLS, events=len(times), calls=faults.calls.total(),
            failed=faults.calls.total() - faults.calls["None"], lost=len(times.keys() - arrived.keys()),
            invented=len(arrived.keys() - times.keys()),
            changed=sum(times[name] != time_ms for name, time_ms in arrived.items() if name in times),
            duplicates=len(statsig.events) - len(arrived),
            unacknowledged=again["unacknowledged"], killed=again["killed"],
            drained_s=round(drained_s, 1),
        )  # fmt: skip


def second_copies(requests: list[Request]) -> Counter[str]:
    """Return the number of arrivals of events that had arrived before, by the reason: `unacknowledged`, `killed`, or
    `needless` where Statsig had acknowledged the event to the process that sends it again.
    """
    reasons: Counter[str] = Counter()
    earlier: dict[str, Request] = {}
    for request in requests:
        if request.fault not in (None, "lost"):
            continue
        for event in request.events:
            name = event["metadata"]["event_id"]
            if before := earlier.get(name):
                reasons[_reason(before, request)] += 1
            earlier[name] = request
    return reasons


def _reason(before: Request, after: Request) -> str:
    if before.fault == "lost":
        return "unacknowledged"
    return "needless" if process_of(before) == process_of(after) else "killed"


def process_of(request: Request) -> str:
    """Return the SDK's id of the process that sent a request."""
    return request.headers["STATSIG-SERVER-SESSION-ID"]


def report(figures: Figures) -> None:
    """Print the figures and write them to `soak.txt`."""
    lines = [f"{name}: {value}" for name, value in vars(figures).items()]
    print(*lines, sep="\n")
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "soak.txt").write_text("\n".join(lines) + "\n")
