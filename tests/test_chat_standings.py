"""The operators' sentences about the models of the experiment."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lib.app import App
from lib.settings import load
from tests.support.openai_server import Server
from tests.support.waiting import until

EXPERIMENTS = """
[statsig_openai_integration]
default = { model = "base" }
[statsig_openai_integration.groups]
Control = { weight = 50, parameters = { model = "base" } }
Test = { weight = 50, parameters = { model = "other" } }
"""
Open = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path, model_server: Server) -> Iterator[Open]:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS, encoding="utf-8")
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/parley.db", "PARLEY_EXPERIMENTS_FILE": str(file)}
    own |= {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_SIGNING_KEY": "k" * 32}
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(App.open(load(own, tmp_path / "none.toml"))))


def sentences(app: App) -> list[str]:
    app.standings.refresh()
    assert until(lambda: all(one.standing.state != "unknown" for one in app.standings.groups()))
    return [one.sentence() for one in app.standings.worries()]


def test_available_models_are_not_reported(start: Open, model_server: Server) -> None:
    model_server.models = ["base", "other"]
    app = start()
    assert sentences(app) == []
    app.standings.refresh()
    assert len(model_server.listings) == 1


def test_a_missing_model_is_named_with_its_replacement(start: Open, model_server: Server) -> None:
    model_server.models = ["base", "other-2"]
    assert sentences(start()) == [
        "Test: other is not at openai. The default, base, answers instead. "
        "Change the group's model: openai has other-2, base"
    ]


def test_where_the_fallback_is_gone_too_every_group_is_named(start: Open, model_server: Server) -> None:
    model_server.models = ["another", "base"]
    model_server.shutdowns["base"] = "2026-10-23"
    control, test = sentences(start())
    assert control.startswith(
        "Control: base was shut down on 2026-10-23. It is also the fallback, so its questions fail"
    )
    assert test.startswith(
        "Test: other is not at openai. Its questions fail: the default, base at openai, was shut down"
    )
    assert "openai has another" in control and "openai has another" in test


def test_a_shutdown_is_reported_in_advance(start: Open, model_server: Server) -> None:
    model_server.models = ["base", "other"]
    day = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    model_server.shutdowns["other"] = day
    app = start()
    [sentence] = sentences(app)
    assert sentence.startswith(f"Test: openai shuts other down on {day}. Change the group's model")
    assert all(one.answers for one in app.standings.groups())


def test_no_model_is_suggested_that_is_about_to_be_shut_down(start: Open, model_server: Server) -> None:
    model_server.models = ["base", "other-1", "other-2", "other-3"]
    today = datetime.now(UTC).date()
    model_server.shutdowns |= {
        "other-1": (today + timedelta(days=30)).isoformat(), "other-2": (today - timedelta(days=3)).isoformat(),
        "other-3": (today + timedelta(days=200)).isoformat(),
    }  # fmt: skip
    [sentence] = sentences(start())
    assert sentence.endswith("Change the group's model: openai has other-3, base")


def test_a_provider_that_does_not_answer_is_reported(start: Open, model_server: Server) -> None:
    model_server.listing_status = 401
    app = start()
    assert not app.standings.looked
    app.standings.refresh()
    assert until(lambda: app.standings.looked)
    control, test = app.standings.worries()
    assert control.sentence().startswith("Control: openai does not list its models, so questions may fail.")
    assert "(HTTP 401)" in test.sentence() and test.answers


def test_a_server_without_a_list_of_models_is_not_reported(start: Open, model_server: Server) -> None:
    model_server.listing_status = 404
    app = start()
    app.standings.refresh()
    assert until(lambda: app.standings.looked)
    assert not app.standings.worries()


def test_a_missing_model_is_logged_once(start: Open, model_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    model_server.models = ["base"]
    written: list[str] = []

    def logged() -> list[str]:
        written.append(capsys.readouterr().err)
        return [line for line in "".join(written).splitlines() if "parley.models" in line]

    app = start()
    assert sentences(app)
    assert until(logged)
    app.standings.refresh()
    assert len(logged()) == 1 and "Test: other is not at openai" in logged()[0]
