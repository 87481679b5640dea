"""One prompt to every group, with the parameters that its testers get; nothing is recorded."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from lib.app import App
from lib.chat.generation import Answer
from lib.domain.budget import EVERYBODY, Account
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.settings import load
from lib.store.schema import metadata
from tests.support import openai_server
from tests.support.openai_server import DONE, HANG, Server, finish, status, stream, usage
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
EXPERIMENTS = """
[statsig_openai_integration]
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 1, parameters = { model = "small-model", temperature = 0.2 } }
Test = { weight = 1, parameters = { model = "large-model", system_prompt = "Be brief." } }
Third = { weight = 1, parameters = { model = "large-model", temperature = "hot" } }
""".replace("small-model", CONTROL_MODEL).replace("large-model", TEST_MODEL)

GROUPS = ("Control", "Test", "Third")
LIMITED = {"PARLEY_BUDGET_USD_PER_DAY": "1", "PARLEY_BUDGET_ANSWERS_PER_VISITOR": "1"}


@pytest.fixture
def model_server() -> Iterator[Server]:
    with openai_server.serve() as server:
        yield server


@pytest.fixture
def app(tmp_path: Path, model_server: Server, request: pytest.FixtureRequest) -> Iterator[App]:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS, encoding="utf-8")
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/parley.db", "PARLEY_EXPERIMENTS_FILE": str(file)}
    own |= {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_SIGNING_KEY": "k" * 32}
    with closing(App.open(load(own | getattr(request, "param", {}), tmp_path / "none.toml"))) as opened:
        yield opened


def ask(app: App, prompt: str = "Why?") -> dict[str, Answer]:
    definition = app.experiments.definition("statsig_openai_integration")
    assert definition is not None
    answers = app.trials.ask("ann", prompt, definition)
    for answer in answers.values():
        news = answer.follow()
        while news(SOON, 0.0) is not None:
            pass
    return answers


def rows(app: App) -> dict[str, int]:
    assert app.store.write(lambda _: None).wait(SOON)
    with app.store.read() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in metadata.tables.items()
            if name not in ("migration", "definition", "weights")
        }


def test_each_group_is_asked_with_its_own_parameters(app: App, model_server: Server) -> None:
    model_server.script(otherwise=openai_server.answer("Because."))
    answers = ask(app)
    assert {name: answer.text for name, answer in answers.items()} == dict.fromkeys(
        ["Control", "Test", "Third"], "Because."
    )
    bodies = [request.body for request in model_server.requests]
    control = next(body for body in bodies if body["model"] == CONTROL_MODEL)
    assert control["temperature"] == 0.2 and control["messages"] == [{"role": "user", "content": "Why?"}]
    assert {"role": "system", "content": "Be brief."} in [message for body in bodies for message in body["messages"]]
    third = answers["Third"].completion
    assert third is not None and third.parameter_error == "temperature"


def test_nothing_of_a_trial_is_recorded_counted_or_reported(app: App, model_server: Server) -> None:
    model_server.script(openai_server.answer("Because."), status(401), stream("Half ", openai_server.RESET))
    before = rows(app)
    answers = ask(app)
    assert sorted(str(answer.completion and answer.completion.finish_reason) for answer in answers.values()) == [
        "error", "interrupted", "stop",
    ]  # fmt: skip
    assert rows(app) == before
    assert b"parley_answers_total{" not in app.metrics.text()
    assert list(app.store.events.export()) == []


def test_a_trial_can_be_stopped(app: App, model_server: Server) -> None:
    model_server.script(otherwise=stream("Half ", HANG))
    definition = app.experiments.definition("statsig_openai_integration")
    assert definition is not None
    answers = app.trials.ask("ann", "Why?", definition)
    for answer in answers.values():
        news = answer.follow()
        while not answer.text:
            news(SOON, 0.0)
        answer.stop()
        while news(SOON, 0.0) is not None:
            pass
        assert answer.completion is not None and answer.completion.finish_reason == "stopped"


@pytest.mark.parametrize("app", [LIMITED], indirect=True)
def test_a_trials_cost_counts_for_the_day_and_not_for_a_visitor(app: App, model_server: Server) -> None:
    model_server.script(
        otherwise=stream("So.", finish(), usage(200_000, 100_000), DONE)
    )  # 0.07, 1.40 and 1.40 US dollars
    first, again = ask(app), ask(app)
    assert {answer.completion and answer.completion.finish_reason for answer in first.values()} == {"stop"}
    assert {answer.completion and answer.completion.limit for answer in again.values()} == {"day"}
    day = Account("day", EVERYBODY, now_ms() // DAY_MS)
    assert rows(app)["spending"] == 1
    spent = app.store.spending.spent([day])[day]
    assert (spent.usd, spent.answers) == (pytest.approx(2.87), 3)


@pytest.mark.parametrize("app", [{"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}], indirect=True)
def test_a_server_that_is_not_there_is_reported_in_the_answers(app: App) -> None:
    assert all(answer.completion and answer.completion.message for answer in ask(app).values())
