"""Pages over an experiment that Statsig decided, paused or never started, with the real SDK over HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.domain.visitor import Visitor
from lib.store.splits import weights_over_time
from tests.support import openai_server as openai
from tests.support.page_runs import open_app, page_text, run_page
from tests.support.statsig_server import Statsig
from tests.support.statsig_specs import NAME, NAMED
from tests.support.waiting import ENOUGH_S, until

Open = Callable[..., App]


@pytest.fixture
def begin(tmp_path: Path, model_server: openai.Server, statsig: Statsig) -> Iterator[Open]:
    """Open the app in front of both stand-ins, without a local experiment; wait until Statsig's definitions decide."""
    with ExitStack() as stack:

        def start(shape: str, file: str = "", **settings: str) -> App:
            statsig.specs = NAMED[shape]()
            named = {"STATSIG_SECRET_KEY": "secret-key", "STATSIG_API_URL": statsig.url} | settings
            app = stack.enter_context(open_app(tmp_path, file, OPENAI_BASE_URL=model_server.base_url, **named))
            app.experiments.assign(Visitor("v", "v", "v", "v"), NAME)
            assert app.experiments.source.name == "network"
            return app

        yield start


def exposures(app: App) -> list[dict[str, Any]]:
    assert app.store.write(lambda _: None).wait(ENOUGH_S)
    return [event["metadata"] for event in app.store.events.export() if event["name"] == "exposure"]


def ask() -> AppTest:
    return run_page(operator=False).chat_input[0].set_value("Hello?").run()


def rules(statsig: Statsig) -> list[str]:
    """Return the rule of each exposure that Statsig has."""
    return [event["metadata"]["ruleID"] for event in statsig.named("statsig::config_exposure")]


def serve(app: App, statsig: Statsig, shape: str) -> None:
    """Have Statsig serve another spec, and wait until this process has it."""
    statsig.specs = NAMED[shape]()
    state = {"shipped": "decided", "running": "running"}.get(shape, shape)
    statsig.wait(lambda: app.experiments.status(NAME).state == state)


def test_a_unit_that_parley_does_not_send_exposes_no_user_and_the_page_says_so(
    begin: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    app = begin("company_unit")
    page = ask()
    assert not page.exception and exposures(app) == []
    experiment = page_text(run_page("experiment"))
    assert "is by companyID, an id that Parley does not send" in experiment
    assert capfd.readouterr().err.count("by an id that Parley does not send") == 1  # in the log, once


def test_a_guardrail_that_cannot_act_says_so_and_the_page_names_the_place_in_the_console(begin: Open) -> None:
    begin("running", f'[{NAME}]\nstop_on = ["error_rate"]\n[{NAME}.groups]\nControl = {{ weight = 1 }}\n')
    page = page_text(run_page("experiment"))
    assert "error_rate would switch a harmed group off, but Statsig's definitions count" in page
    assert f"in the console, open Experiments and choose {NAME}" in page
    assert "New experiment" not in page and "Start it" not in page


def test_an_experiment_that_has_not_started_is_reported_as_such(begin: Open) -> None:
    app = begin("not_started")
    ask()
    assert {met["group"] for met in exposures(app)} == {None}
    assert "has not started at Statsig" in page_text(run_page("experiment"))


def test_after_a_decision_the_groups_stay_and_new_visitors_are_not_units(begin: Open, statsig: Statsig) -> None:
    app = begin("running")
    ask()
    (before,) = exposures(app)
    assert before["group"] in ("Control", "Test")
    serve(app, statsig, "shipped")
    page = ask()
    assert not page.exception
    assert [met["group"] for met in exposures(app)] == [before["group"], None]
    experiment = page_text(run_page("experiment"))
    assert "A decision was made at Statsig: everybody gets Test." in experiment
    assert "the results stay as they were then" in experiment and "Control" in experiment
    statsig.wait(lambda: rules(statsig)[-1:] == ["launchedGroup"])


def test_definitions_of_the_first_seconds_are_no_change_of_weights(begin: Open) -> None:
    app = begin("running")
    until(lambda: shares(app)[-1:] == [{"Control": 0.5, "Test": 0.5}], show=lambda: shares(app))
    assert len(shares(app)) == 1


def shares(app: App) -> list[dict[str, float]]:
    """Return the recorded shares of the groups, oldest first."""
    with app.store.read() as connection:
        return [dict(weights.shares) for weights in weights_over_time(connection, NAME)]
