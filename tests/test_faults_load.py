"""Load: thirty thousand events at once, fifty sessions at once, one visitor who asks without pause."""

import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psutil
import pytest

from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.store import Store
from tests.conftest import StartApp
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Record
from tests.support.openai_server import DONE, Gate, Reply, finish, stream, usage
from tests.support.statsig_server import Statsig
from tests.support.waiting import ENOUGH_S, slowness, until
from tests.support.websocket_tester import Tester
from tests.test_faults_statsig import settings, specs
from tests.test_faults_store import ready

BURST = 30_000
BACKLOG_S = 120
"""Seconds within which a backlog reaches Statsig after its recovery."""
MORE_BYTES = 80_000_000
NOISE_S = 0.05
"""Seconds that a busy machine may add to a first token of 50 ms."""
SESSIONS = 50
AT_ONCE = 4
"""Answers of one visitor that may run at the same time."""


def event(number: int) -> Event:
    event_id = new_id()
    ids = {"userID": f"u{number % 500}", "stableID": f"u{number % 500}", "sessionID": f"s{number}"}
    return Event(event_id, "copied", now_ms(), ids["userID"], 1, {"event_id": event_id, "number": number}, ids)


def question_of(request: openai.Request) -> str:
    return str(request.body["messages"][-1]["content"])


def first_token_s(tester: Tester, times: int) -> list[float]:
    """Ask `times` questions; return for each the seconds until its first words were on the page."""
    seen = []
    for number in range(times):
        tester.ask(f"Question {number}")
        seen.append(tester.first_s)
    return seen


@pytest.mark.alone
def test_thirty_thousand_events_arrive_while_people_chat_as_fast_as_ever(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    statsig.specs, statsig.events_fault = specs(), 503
    app = start_app(settings(model_server, statsig.url), plain=True)
    until(lambda: ready(app)["definitions"] == "network")
    events = [event(number) for number in range(BURST)]
    with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db", deliver=True)) as beside:
        for start in range(0, BURST, 500):
            assert beside.events.record(events[start : start + 500]).wait(ENOUGH_S)
    ids, process = {each.event_id for each in events}, psutil.Process(app.process.pid)
    with Tester(app.url) as tester:
        usual, during = first_token_s(tester, 12)[2:], []
        memory = [process.memory_info().rss]
        began, statsig.events_fault = time.monotonic(), None
        while len(statsig.events) < BURST:
            assert time.monotonic() - began < BACKLOG_S * slowness(), len(statsig.events)
            during += first_token_s(tester, 1)
            memory.append(process.memory_info().rss)
        statsig.wait(lambda: ids <= statsig.counts().keys())
        until(lambda: app_process.metrics(app.url)["parley_outbox_pending"] == 0)
        usual += first_token_s(tester, 10)
    assert set(statsig.counts().values()) == {1}
    assert len(during) > 10
    slower = statistics.median(during) - statistics.median(usual)
    assert slower < max(0.5 * statistics.median(usual), NOISE_S), (statistics.median(during), statistics.median(usual))
    assert max(memory) - memory[0] < MORE_BYTES


def test_fifty_sessions_that_ask_at_once_are_all_answered(start_app: StartApp, model_server: openai.Server) -> None:
    app = start_app({"OPENAI_BASE_URL": model_server.base_url})
    model_server.script(otherwise=lambda request: openai.answer(f"You said {question_of(request)}.", pace=0.02))
    with ThreadPoolExecutor(SESSIONS) as pool, ExitStack() as tabs:
        testers = [tabs.enter_context(Tester(app.url)) for _ in range(SESSIONS)]
        list(pool.map(lambda number: testers[number].ask(f"question number {number}", 2 * ENOUGH_S), range(SESSIONS)))
        answers = [tester.answer for tester in testers]
        assert [one for n, one in enumerate(answers) if f"You said question number {n}.\n" not in one] == []
    assert Counter(map(question_of, model_server.requests)) == {f"question number {n}": 1 for n in range(SESSIONS)}
    with Record.of(app) as record:
        events = record.events()
        assert Counter((event["name"], event["value"]) for event in events) == {
            ("exposure", None): SESSIONS, ("chat_completion", "stop"): SESSIONS,
        }  # fmt: skip
        assert len({event["user_id"] for event in events}) == SESSIONS
        assert len({event["metadata"].get("answer_id") for event in events}) == SESSIONS + 1  # an exposure has none
    assert app_process.metrics(app.url)["parley_response_time_seconds_count"] == SESSIONS


@pytest.mark.alone
def test_a_visitor_who_asks_without_pause_is_slowed_alone(start_app: StartApp, model_server: openai.Server) -> None:
    app = start_app({"OPENAI_BASE_URL": model_server.base_url})
    gate = Gates()
    model_server.script(otherwise=lambda request: gate.reply() if question_of(request) == "More" else openai.HELLO)
    with ExitStack() as tabs:
        first = tabs.enter_context(Tester(app.url))
        greedy = [first, *(tabs.enter_context(Tester(app.url, cookie=first.cookie)) for _ in range(11))]
        other = tabs.enter_context(Tester(app.url))
        other.ask("Before")
        usual = statistics.median(first_token_s(other, 5))
        for tab in greedy:
            tab.send("More")
        until(lambda: len(gate.opened) == AT_ONCE)
        assert statistics.median(first_token_s(other, 5)) < max(1.5 * usual, usual + NOISE_S)
        assert len(gate.opened) == AT_ONCE
        gate.open()
        for tab in greedy:
            tab.idle()
            assert "There." in tab.answer
    assert len(gate.opened) == len(greedy)


class Gates:
    """Replies that wait until `open` releases them. `opened` holds the gate of each requested reply."""

    def __init__(self) -> None:
        self.opened: list[Gate] = []
        self._free = False

    def reply(self) -> Reply:
        gate = Gate()
        self.opened.append(gate)
        if self._free:
            gate.open()
        return stream(gate, "There.", finish(), usage(3, 1), DONE)

    def open(self) -> None:
        self._free = True
        for gate in list(self.opened):
            gate.open()
