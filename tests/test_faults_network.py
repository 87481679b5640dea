"""No network at all: `loopback_guard.py` counts and refuses every connection of the app, in its process."""

from tests.conftest import StartApp
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.statsig_server import Statsig
from tests.support.waiting import until
from tests.support.websocket_tester import Tester
from tests.test_faults_statsig import settings, specs
from tests.test_faults_store import ready


def test_the_demo_works_with_no_connection_to_the_outside(start_app: StartApp) -> None:
    app = start_app({"PARLEY_LOG_LEVEL": "debug"}, plain=True)
    with Tester(app.url) as tester:
        assert any("built-in demo model" in line for line in tester.lines)
        tester.ask("What is Parley?")
        assert len(tester.answer) > 200 and tester.thumbs == [None]
        tester.rate(True)
        tester.wait_until_saved()
    counted = app_process.metrics(app.url)
    assert sum(value for name, value in counted.items() if name.startswith("parley_ratings_total{")) == 1
    app.stop()
    assert app.outbound() == []
    assert "raceback" not in app.log()


def test_an_error_inside_the_statsig_sdk_is_not_reported_outside(
    start_app: StartApp, model_server: openai.Server, statsig: Statsig
) -> None:
    statsig.specs = specs()
    app = start_app(settings(model_server, statsig.url) | {"PARLEY_LOG_LEVEL": "debug"}, plain=True)
    until(lambda: ready(app)["definitions"] == "network")
    statsig.events_fault = "reset"
    with Tester(app.url) as tester:
        tester.ask("Does it report?")
    until(lambda: "statsig::log_event_failed" in app.log())  # the SDK's error report, which contains the key
    statsig.events_fault = None
    statsig.wait(lambda: statsig.named("chat_completion"))
    assert {request.path.partition("?")[0] for request in statsig.requests} == {
        "/v1/download_config_specs/secret-hunter22.json", "/v1/get_id_lists", "/v1/log_event",
    }  # fmt: skip
    app.stop()
    assert app.outbound() == []
    assert "hunter22" not in app.log()
