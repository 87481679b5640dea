"""Statsig fails under the real app, at the start and later.

No page waits for Statsig, the operator reads which definitions decide meanwhile, and every event arrives after the
recovery. The experiments room has its own tests. This file tests that the page, /readyz, the log, `check`, /metrics and
the record agree.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.experiments.evaluator import compile_definitions
from tests.conftest import StartApp
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Record
from tests.support.operator_tool import run_tool
from tests.support.ports import free_port
from tests.support.statsig_server import Fault, Statsig, serve
from tests.support.waiting import ENOUGH_S, until
from tests.support.websocket_tester import Tester
from tests.test_faults_store import ready

SERVED = """
[statsig_openai_integration.groups]
Only = { weight = 1, parameters = { model = "model-of-statsig" } }
"""
START_S = 5.0
"""Seconds by which a Statsig that hangs may delay the first page."""


def specs() -> dict[str, Any]:
    """Return the stand-in's specs, whose model differs from that of the bundled definitions."""
    return compile_definitions(SERVED)[0] | {"time": 5}


def settings(model: openai.Server, address: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": model.base_url, "STATSIG_SECRET_KEY": "secret-hunter22", "STATSIG_API_URL": address,
        "PARLEY_LOG": "json",
    }  # fmt: skip


@contextmanager
def statsig_with(fault: Fault) -> Iterator[str]:
    """Yield the address of a Statsig that has this fault from the start; None stands for a closed port."""
    if fault is None:
        yield f"http://127.0.0.1:{free_port()}/v1"
        return
    with serve(specs()) as statsig:
        statsig.specs_fault = statsig.events_fault = fault
        yield statsig.url


def models_asked(model: openai.Server) -> set[str]:
    return {request.body["model"] for request in model.requests}


FAULTS: dict[str, Fault] = {
    "unreachable": None, "hanging": "hang", "401": 401, "500": 500, "garbage": "garbage", "reset": "reset",
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_start_without_statsig_serves_at_once_and_names_the_source_of_its_definitions(
    name: str, start_app: StartApp, model_server: openai.Server
) -> None:
    with statsig_with(FAULTS[name]) as address:
        app = start_app(settings(model_server, address))
        with Tester(app.url) as tester:
            tester.ask("Who decides?")
            assert "Hello from the stand-in." in tester.answer
        assert models_asked(model_server) <= {TEST_MODEL, CONTROL_MODEL}
        until(lambda: ready(app)["statsig"] != "ok")
        assert (ready(app)["definitions"], ready(app)["http"]) == ("bundled", 200)
        assert "until Statsig answers, bundled definitions decide" in app.log()
        until(lambda: app_process.metrics(app.url)["parley_outbox_pending"] == 2)
    assert "hunter22" not in app.log() and "raceback" not in app.log()


@pytest.mark.alone
def test_a_statsig_that_hangs_delays_the_first_page_by_less_than_five_seconds(
    start_app: StartApp, model_server: openai.Server
) -> None:
    took = []
    for fault in (None, "hang"):
        with serve(specs()) as statsig:
            statsig.specs_fault = statsig.lists_fault = fault
            began = time.monotonic()
            app = start_app(settings(model_server, statsig.url), plain=True)
            with Tester(app.url):
                took.append(time.monotonic() - began)
            app.stop()
    well, hanging = took
    assert hanging < well + START_S


def test_the_last_served_definitions_decide_while_statsig_is_away(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    statsig.specs = specs()
    app = start_app(settings(model_server, statsig.url))
    until(lambda: ready(app)["definitions"] == "network")
    app.stop()
    statsig.specs_fault = "hang"
    app = start_app(settings(model_server, statsig.url), folder=app.folder)
    with Tester(app.url) as tester:
        tester.ask("Who decides?")
    assert models_asked(model_server) == {"model-of-statsig"}
    assert ready(app)["definitions"] == "cached"
    assert "until Statsig answers, cached definitions decide" in app.log()


def test_it_goes_back_to_statsig_by_itself(start_app: StartApp, model_server: openai.Server) -> None:
    port = free_port()
    app = start_app(settings(model_server, f"http://127.0.0.1:{port}/v1"))
    until(lambda: ready(app)["statsig"] != "ok")
    with Tester(app.url) as before:
        before.ask("First")
        with serve(specs(), port) as statsig:
            until(lambda: ready(app)["definitions"] == "network")
            until(lambda: ready(app)["statsig"] == "ok")
            assert "Statsig's definitions decide" in app.log()
            with Tester(app.url) as after:
                after.ask("Second")
            before.ask("Third")
            asked = [request.body["model"] for request in model_server.requests]
            assert asked[1] == "model-of-statsig" and asked[2] == asked[0]  # a conversation keeps its assignment
            statsig.wait(lambda: len(statsig.named("chat_completion")) == 3)


def test_check_finds_a_statsig_that_hangs(tmp_path: Path, model_server: openai.Server) -> None:
    app_process.lay_out(tmp_path)
    with statsig_with("hang") as address:
        run = run_tool(tmp_path, "check", **settings(model_server, address))
    [line] = [line for line in run.stdout.splitlines() if line.startswith("NO ")]
    assert run.returncode == 1 and line.split()[1] == "statsig" and "STATSIG_API_URL" in line


EVENT_FAULTS: list[Fault] = [500, 429, 401, "reset", "lost", "empty", "garbage", "hang"]


def test_no_failure_of_statsig_loses_an_event_or_slows_the_chat(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    app = start_app(settings(model_server, statsig.url))
    until(lambda: ready(app)["definitions"] == "network")
    statsig.specs_fault = 401
    for fault in EVENT_FAULTS:
        statsig.events_fault = fault
        failed = len(statsig.requests)
        with Tester(app.url) as tester:
            tester.ask(f"While it fails with {fault}")
            assert "Hello from the stand-in." in tester.answer
            tester.rate(True)
            tester.wait_until_saved()

        def tried_again(since: int = failed) -> bool:
            return any(request.events for request in statsig.requests[since:])

        statsig.wait(tried_again)
    assert app_process.metrics(app.url)["parley_outbox_pending"] >= 3
    until(lambda: "401" in str(ready(app)["statsig"]))
    assert (ready(app)["definitions"], ready(app)["http"]) == ("network", 200)
    statsig.events_fault = statsig.specs_fault = None
    with Record.of(app) as record:
        times = {event["event_id"]: event["time"] for event in record.events()}
        assert Counter(event["name"] for event in record.events()) == {
            "exposure": 8, "chat_completion": 8, "satisfaction": 8,
        }  # fmt: skip
    statsig.wait(lambda: statsig.counts().keys() == times.keys(), 2 * ENOUGH_S)
    assert {event["metadata"]["event_id"]: event["time"] for event in statsig.events} == times
    unacknowledged = sum(len(request.events) for request in statsig.requests if request.fault == "lost")
    assert statsig.counts().total() - len(times) == unacknowledged
    until(lambda: app_process.metrics(app.url)["parley_outbox_pending"] == 0)
    until(lambda: ready(app)["statsig"] == "ok")
    lines = [json.loads(line) for line in app.log().splitlines() if line.startswith("{")]
    told_of = [line["message"] for line in lines if line["logger"] == "parley.delivery"]
    assert told_of[0].startswith("Statsig does not take events") and told_of[-1] == "Statsig takes events again"
    assert "hunter22" not in app.log() and "raceback" not in app.log()
