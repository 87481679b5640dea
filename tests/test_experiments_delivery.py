"""From the outbox to Statsig, through every failure: real store, real SDK, real HTTP."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.events import Event, exposure
from lib.domain.ids import new_id
from lib.experiments import delivery
from lib.experiments.delivery import Dispatcher
from lib.experiments.evaluator import Experiments
from lib.experiments.statsig_events import statsig_event
from lib.metrics.counters import Metrics
from lib.store import Store
from tests.support.ports import free_port
from tests.support.statsig_server import Fault, Statsig, serve
from tests.support.waiting import ENOUGH_S, until, within

IDS = {"userID": "u1", "stableID": "s1", "sessionID": "x1"}
ROOT = Path(__file__).parent.parent
TOML = "[e.groups]\nA = { weight = 1 }\n"


class Parley:
    """The store, the experiments and the dispatcher, wired as in the app."""

    def __init__(self, url: str, address: str, folder: Path) -> None:
        file = folder / "experiments.toml"
        file.write_text(TOML)
        self.store = Store.open(url, deliver=True)
        self.experiments = Experiments.open(file, key="secret-abc", api_url=address)
        self.metrics = Metrics()
        self.delivery = Dispatcher(self.store.outbox, self.experiments, self.metrics)

    def close(self) -> None:
        self.delivery.close()
        self.experiments.close()
        self.store.close()


Start = Callable[[str], Parley]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    opened: list[Parley] = []

    def begin(address: str) -> Parley:
        opened.append(Parley(f"sqlite:///{tmp_path}/parley.db", address, tmp_path))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def event(name: str = "copied", value: Any = 1, time_ms: int | None = None, **metadata: Any) -> Event:
    event_id = new_id()
    return Event(event_id, name, time_ms or now_ms(), "u1", value, {"event_id": event_id} | metadata, IDS)


def arrive(statsig: Statsig, events: list[Event], within_s: float = ENOUGH_S) -> None:
    """Wait until every event has arrived at least once. Each may arrive again where an acknowledgement was lost."""
    ids = {each.event_id for each in events}
    statsig.wait(lambda: ids <= statsig.counts().keys(), within_s)


# The wire


def wire(sent: Event) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(json.dumps(statsig_event(sent).to_dict(), allow_nan=False))
    return line


def test_an_event_travels_with_its_own_id_and_time() -> None:
    one = event("chat_completion", "stop", time_ms=1_700_000_000_123, turn=2, response_time=0.25)
    assert wire(one) == {
        "eventName": "chat_completion",
        "value": "stop",
        "time": 1_700_000_000_123,
        "metadata": {"event_id": one.event_id, "turn": 2, "response_time": 0.25},
        "user": {"userID": "u1", "customIDs": {"stableID": "s1", "sessionID": "x1"}},
        "secondaryExposures": [],
    }


def test_values_that_json_cannot_represent_are_not_sent() -> None:
    events = wire(event(value=float("inf"), a=float("nan"), b="x\ud800\x00y" + "z" * 99, c={1}, d=None, e=b"f", g=True))
    assert "value" not in events
    assert events["metadata"].keys() == {"event_id", "b", "c", "e", "g"}
    assert events["metadata"]["b"] == "x\ufffdy" + "z" * 61


def test_an_event_without_ids_travels_under_its_unit() -> None:
    assert wire(Event("e1", "copied", 1, "u7", 1, {}))["user"] == {"userID": "u7"}


def assignment(**more: Any) -> Assignment:
    return Assignment("models", "Test", "rule-9", "u1", IDS, {}, **more)


def test_an_exposure_of_an_earlier_version_is_sent_as_far_as_it_is_known() -> None:
    events = wire(exposure(assignment(), "x1", time_ms=1_700_000_000_123))
    assert (events["eventName"], events["time"], "value" in events) == (
        "statsig::config_exposure",
        1_700_000_000_123,
        False,
    )
    assert events["metadata"].pop("event_id")
    assert events["metadata"] == {
        "config": "models",
        "ruleID": "rule-9",
        "rulePassed": "true",
    }
    outside = Assignment("models", None, "default", "u1", IDS, {})
    assert wire(exposure(outside, "x1"))["metadata"]["rulePassed"] == "false"


def test_an_earlier_exposure_of_a_layer_counts_for_its_experiment() -> None:
    events = wire(exposure(assignment(layer=True, allocated="inner", parameter="model"), "x1"))
    assert events["eventName"] == "statsig::layer_exposure"
    assert events["metadata"].pop("event_id")
    assert events["metadata"] == {
        "config": "models", "ruleID": "rule-9", "allocatedExperiment": "inner", "parameterName": "model",
        "isExplicitParameter": "true",
    }  # fmt: skip
    nobody = wire(exposure(assignment(layer=True), "x1"))["metadata"]
    assert (nobody["allocatedExperiment"], nobody["isExplicitParameter"]) == ("", "false")


# Without failures


def test_an_event_is_there_within_seconds_and_acknowledged(start: Start) -> None:
    with serve() as statsig:
        parley = start(statsig.url)
        events = [event(), exposure(assignment(), "x1")]
        parley.store.events.record(events)
        arrive(statsig, events)
        until(lambda: parley.store.outbox.pending() == (0, 0.0))
        assert set(statsig.counts().values()) == {1}
        assert {each["user"]["statsigEnvironment"]["tier"] for each in statsig.events} == {"development"}


def test_a_burst_arrives_whole_and_once(start: Start) -> None:
    with serve() as statsig:
        parley = start(statsig.url)
        events = [event(number=number) for number in range(5 * delivery.BATCH)]
        parley.store.events.record(events)
        arrive(statsig, events)
        assert set(statsig.counts().values()) == {1}
        assert max(len(request.events) for request in statsig.requests) <= delivery.BATCH
        until(lambda: parley.store.outbox.pending() == (0, 0.0))


def test_nothing_but_our_events_is_sent(start: Start) -> None:
    with serve() as statsig:
        parley = start(statsig.url)
        events = [event() for _ in range(3)]
        parley.store.events.record(events)
        arrive(statsig, events)
        parley.close()
        parley.close()
        assert statsig.counts() == {each.event_id: 1 for each in events}
        assert [request.path for request in statsig.requests].count("/v1/log_event") == 1


# With failures


@pytest.mark.parametrize("fault", [400, 401, 404, 429, 500, 503, "reset", "garbage", "empty"])
def test_no_failure_loses_an_event_or_sends_it_twice(start: Start, fault: Fault) -> None:
    with serve() as statsig:
        statsig.events_fault = fault
        parley = start(statsig.url)
        events = [event(number=number) for number in range(20)]
        parley.store.events.record(events)
        statsig.wait(lambda: len([request for request in statsig.requests if request.events]) >= 2)
        assert parley.store.outbox.pending()[0] == 20
        statsig.events_fault = None
        later = event("later")
        parley.store.events.record([later])
        arrive(statsig, [*events, later])
        until(lambda: parley.store.outbox.pending() == (0, 0.0))
        assert set(statsig.counts().values()) == {1}
        assert {each["time"] for each in statsig.events} == {each.time_ms for each in [*events, later]}


def test_refused_and_accepted_events_are_counted(start: Start) -> None:
    def counted(parley: Parley) -> dict[str, float]:
        lines = (line.rpartition(" ") for line in parley.metrics.text().decode().splitlines() if line[0] != "#")
        return {name: float(number) for name, _, number in lines}

    with serve() as statsig:
        statsig.events_fault = 503
        parley = start(statsig.url)
        events = [event(number=number) for number in range(20)]
        parley.store.events.record(events)
        until(lambda: counted(parley)['parley_delivery_refusals_total{why="http_5xx"}'] > 0)
        assert counted(parley)["parley_delivery_events_total"] == 0
        statsig.events_fault = None
        arrive(statsig, events)
        until(lambda: counted(parley)["parley_delivery_events_total"] == 20)
        until(lambda: counted(parley)["parley_delivery_batch_seconds_count"] > 0)


def test_trouble_is_reported_once_and_its_end_too(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "parley")
    with serve() as statsig:
        statsig.events_fault = 503
        parley = start(statsig.url)
        parley.store.events.record([event()])
        until(lambda: parley.delivery.error == "HTTP 503")
        statsig.wait(lambda: len([request for request in statsig.requests if request.events]) >= 3)
        statsig.events_fault = None
        until(lambda: parley.delivery.error is None)
        events = [record.message for record in caplog.records if record.name == "parley.delivery"]
        assert events == ["Statsig does not take events; they wait in the outbox", "Statsig takes events again"]


def test_a_lost_acknowledgement_is_the_only_reason_for_a_second_copy(start: Start) -> None:
    with serve() as statsig:
        answers: list[Fault] = ["lost", None]
        statsig.events_fault = lambda: answers.pop(0) if answers else None
        parley = start(statsig.url)
        one = event()
        parley.store.events.record([one])
        statsig.wait(lambda: statsig.counts()[one.event_id] == 2)
        until(lambda: parley.store.outbox.pending() == (0, 0.0))
        assert statsig.counts() == {one.event_id: 2}


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_hang_delays_no_caller_for_long(start: Start, fault: Fault) -> None:
    with serve() as statsig:
        answers: list[Fault] = [fault]
        statsig.events_fault = lambda: answers.pop() if answers else None
        parley = start(statsig.url)
        first = event()
        parley.store.events.record([first])
        statsig.wait(lambda: not answers)
        second = event()
        parley.store.events.record([second])
        arrive(statsig, [first, second])


def test_the_end_sends_the_remaining_events(start: Start) -> None:
    with serve() as statsig:
        parley = start(statsig.url)
        until(lambda: parley.experiments.server)
        events = [event(number=number) for number in range(1200)]
        assert parley.store.events.record(events).wait(ENOUGH_S)
        parley.delivery.close(ENOUGH_S)
        assert statsig.counts() == {each.event_id: 1 for each in events}


@pytest.mark.alone
def test_the_end_does_not_wait_for_a_server_that_hangs(start: Start) -> None:
    with serve() as statsig:
        statsig.events_fault = statsig.specs_fault = "hang"
        parley = start(statsig.url)
        parley.store.events.record([event()])
        with within(5):
            parley.delivery.close()
            parley.experiments.close()


@pytest.mark.parametrize("fault", [400, 413, 500, "reset", "empty"])
def test_one_bad_event_holds_up_no_other(start: Start, fault: Fault) -> None:
    with serve() as statsig:
        statsig.refuses = lambda arrived: fault if arrived["eventName"] == "bad" else None
        parley = start(statsig.url)
        events = [event("bad" if number in (7, 300) else "good", number=number) for number in range(400)]
        parley.store.events.record(events)
        arrive(statsig, [each for each in events if each.name == "good"])
        newer = event("newer")
        parley.store.events.record([newer])
        arrive(statsig, [newer])
        assert set(statsig.counts().values()) == {1}
        until(lambda: parley.store.outbox.pending()[0] == 2)
        statsig.refuses = lambda arrived: None
        arrive(statsig, events, within_s=ENOUGH_S + delivery.REFUSED_S[1])


def test_an_event_that_cannot_be_sent_stays_and_the_others_go(start: Start) -> None:
    with serve() as statsig:
        parley = start(statsig.url)
        events = [event(number=number) for number in range(9)]
        nobody = Event(new_id(), "copied", now_ms(), "", 1, {}, {})
        parley.store.events.record([*events[:4], nobody, *events[4:]])
        arrive(statsig, events)
        until(lambda: parley.store.outbox.pending()[0] == 1)


def test_nothing_is_handed_over_before_statsig_answered(start: Start) -> None:
    port = free_port()
    parley = start(f"http://127.0.0.1:{port}/v1")
    one = event()
    parley.store.events.record([one]).wait(ENOUGH_S)
    until(lambda: parley.delivery.error)
    assert parley.store.outbox.pending()[0] == 1
    with serve(port=port) as statsig:
        arrive(statsig, [one])


# Several processes, and their ends

WRITER = """
import sys
from pathlib import Path
from tests.test_experiments_delivery import Parley, event
url, address, folder, count = sys.argv[1:]
parley = Parley(url, address, Path(folder))
for number in range(int(count)):
    told = event(number=number)
    if parley.store.events.record([told]).wait(60):
        print(told.event_id, told.time_ms, flush=True)
if int(count) == 0:
    sys.stdin.read()
parley.close()
"""


def process(url: str, address: str, folder: Path, count: int) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, address, str(folder), str(count)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_events_of_a_killed_process_are_sent_after_the_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    with serve() as statsig:
        statsig.events_fault = 503
        with process(url, statsig.url, tmp_path, 100_000) as writer:
            assert writer.stdout is not None
            written = dict(writer.stdout.readline().split() for _ in range(300))
            statsig.wait(lambda: len([request for request in statsig.requests if request.events]) >= 2)
            writer.send_signal(signal.SIGKILL)
            written |= dict(line.split() for line in writer.stdout if line.endswith("\n"))
        statsig.events_fault = None
        with process(url, statsig.url, tmp_path, 0) as reader:
            statsig.wait(lambda: written.keys() <= statsig.counts().keys())
            reader.communicate()
        assert set(statsig.counts().values()) == {1}
        times = {each["metadata"]["event_id"]: str(each["time"]) for each in statsig.events}
        assert written.items() <= times.items()


def test_two_replicas_share_one_outbox(database_url: str, tmp_path: Path) -> None:
    with serve() as statsig:
        statsig.events_fault = 503
        replicas = [Parley(database_url, statsig.url, tmp_path) for _ in range(2)]
        events = [event(number=number) for number in range(2000)]
        replicas[0].store.events.record(events)
        statsig.wait(lambda: len([request for request in statsig.requests if request.events]) >= 4)
        statsig.events_fault = None
        arrive(statsig, events)
        until(lambda: replicas[0].store.outbox.pending() == (0, 0.0))
        for each in replicas:
            each.close()
        assert set(statsig.counts().values()) == {1}


EVERY_WAY: list[Fault] = [400, 401, 403, 408, 429, 500, 502, 503, 504, "reset", "garbage", "empty", "lost"]


def test_half_of_all_requests_failing_in_every_way_loses_nothing(start: Start) -> None:
    chance = random.Random(7)
    with serve() as statsig:
        statsig.events_fault = lambda: chance.choice(EVERY_WAY) if chance.random() < 0.5 else None
        parley = start(statsig.url)
        events: list[Event] = []
        until_s = time.monotonic() + 6
        while time.monotonic() < until_s:
            news = [event(number=len(events) + number) for number in range(chance.randrange(1, 12))]
            parley.store.events.record(news).wait(ENOUGH_S)
            events += news
            time.sleep(0.02)
        arrive(statsig, events)
        until(lambda: parley.store.outbox.pending() == (0, 0.0))
        copies = statsig.counts()
        unacknowledged = sum(len(request.events) for request in statsig.requests if request.fault == "lost")
        assert copies.keys() == {each.event_id for each in events}
        assert sum(copies.values()) - len(events) == unacknowledged  # no other copy was sent
