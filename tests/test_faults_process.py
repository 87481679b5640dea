"""The process ends, by SIGTERM or SIGKILL: whatever a page has confirmed is stored, and undelivered events are sent
later with their own ids and times."""

import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest

from tests.conftest import StartApp
from tests.support import openai_server as openai
from tests.support.app_process import AppProcess
from tests.support.chat_page import Record
from tests.support.openai_server import HANG, silence, stream
from tests.support.statsig_server import Statsig
from tests.support.waiting import ENOUGH_S, slowness, until
from tests.support.websocket_tester import Tester
from tests.test_faults_statsig import settings, specs
from tests.test_faults_store import ready

RECOVERED_S = ENOUGH_S
"""Seconds in which the app starts and a page ends an answer that has had no heartbeat for three seconds."""
END_S = 10.0


def again(app: AppProcess, tester: Tester) -> Tester:
    """Return the same browser on the same conversation, after a restart."""
    return Tester(app.url, cookie=tester.cookie, conversation=tester.conversation_id, within_s=RECOVERED_S)


def event_times(app: AppProcess) -> dict[str, int]:
    """Return the time of each event in the record, by its id."""
    with Record.of(app) as record:
        return {event["event_id"]: event["time"] for event in record.events()}


def answer_texts(app: AppProcess) -> list[str]:
    """Return the text of every answer in the record."""
    with closing(sqlite3.connect(app.folder / "data/parley.db")) as database:
        return [row[0] for row in database.execute("SELECT answer FROM message")]


def arrived_times(statsig: Statsig) -> dict[str, int]:
    return {event["metadata"]["event_id"]: event["time"] for event in statsig.events}


def test_kill_9_loses_nothing_that_a_page_has_confirmed(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    statsig.specs, statsig.events_fault = specs(), 503
    app = start_app(settings(model_server, statsig.url))
    rated, answered, half, asked = (Tester(app.url) for _ in range(4))
    rated.ask("Rated")
    rated.rate(True)
    rated.wait_until_saved()
    answered.ask("Answered")
    event_times(app)  # waits until the answer is written
    model_server.script(stream("Half of it", HANG), silence())
    half.send("Half")
    half.until(lambda: "Half of it" in half.answer)
    asked.send("Asked")
    until(lambda: "Half of it" in answer_texts(app))  # the app writes the text so far every second
    statsig.wait(lambda: any(request.events for request in statsig.requests))
    until(lambda: len(event_times(app)) == 7)  # four exposures, two answers, one vote
    app.kill()
    before = event_times(app)
    assert len(before) == 7
    assert not statsig.events

    statsig.events_fault = None
    app = start_app(settings(model_server, statsig.url), folder=app.folder)
    with again(app, rated) as page:
        assert "Hello from the stand-in." in page.answer and page.thumbs == [1]
    with again(app, answered) as page:
        assert "Hello from the stand-in." in page.answer and page.thumbs == [None]
    with again(app, half) as page:
        assert "Half of it" in page.answer and "Interrupted" in page.answer and page.thumbs == [None]
        page.click("Try again")
        page.idle()
        assert "Hello from the stand-in." in page.answer
    with again(app, asked) as page:
        assert "Asked" in page.lines and "That answer was interrupted." in page.answer and page.thumbs == []
    statsig.wait(lambda: event_times(app).keys() == statsig.counts().keys(), RECOVERED_S)
    assert before.items() <= arrived_times(statsig).items() == event_times(app).items()
    assert set(statsig.counts().values()) == {1}
    ends = Counter(event["value"] for event in statsig.named("chat_completion"))
    assert ends == {"stop": 3, "interrupted": 1, "error": 1}
    for tester in (rated, answered, half, asked):
        tester.close()


def end(app: AppProcess, signals: int) -> float:
    """Send SIGTERM `signals` times; return the seconds until the process has ended."""
    began = time.monotonic()
    for _ in range(signals):
        app.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)  # the second one arrives during the shutdown
    assert app.wait_exit(END_S) in (0, -signal.SIGTERM)
    return time.monotonic() - began


@pytest.mark.alone
def test_sigterm_while_statsig_hangs_keeps_the_partial_answer_and_is_quick(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    statsig.specs = specs()
    app = start_app(settings(model_server, statsig.url))
    until(lambda: ready(app)["definitions"] == "network")
    statsig.specs_fault = statsig.events_fault = "hang"
    with Tester(app.url) as tester:
        tester.ask("Whole")
        statsig.wait(lambda: any(request.events for request in statsig.requests))
        model_server.script(stream("Half of it", HANG))
        tester.send("Half")
        tester.until(lambda: "Half of it" in tester.answer)
        assert end(app, signals=1) < END_S
    assert model_server.requests[-1].gone.wait(ENOUGH_S)

    app = start_app(settings(model_server, statsig.url), folder=app.folder)
    with again(app, tester) as page:
        assert page.opened_s < 5 * slowness()
        assert "Half of it" in page.answer and "Interrupted" in page.answer
        model_server.script(stream("Half again", HANG))
        page.click("Try again")
        page.until(lambda: "Half again" in page.answer)
        assert end(app, signals=2) < END_S

    statsig.specs_fault = statsig.events_fault = None
    app = start_app(settings(model_server, statsig.url), folder=app.folder)
    with again(app, tester) as page:
        assert "Half again" in page.answer and "Interrupted" in page.answer
    statsig.wait(lambda: event_times(app).keys() == statsig.counts().keys(), RECOVERED_S)
    assert arrived_times(statsig) == event_times(app) and set(statsig.counts().values()) == {1}
    ends = [event["value"] for event in statsig.named("chat_completion")]
    assert sorted(ends) == ["interrupted", "interrupted", "stop"]
    assert "raceback" not in app.log()
