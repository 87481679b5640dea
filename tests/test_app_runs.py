"""Runs in the open app: which answers count, groups that are switched off, guardrails that act, two replicas."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lib.app import App
from lib.chat.conversations import Exposed
from lib.domain.clock import now_ms
from lib.domain.conversation import Conversation
from lib.domain.ids import new_id
from lib.domain.visitor import Visitor
from lib.experiments.book import of_run, to_toml
from lib.experiments.definitions import Definition
from lib.readout.results import current, guard
from lib.settings import load
from lib.store import audit
from tests.support import invented_traffic
from tests.support import openai_server as openai
from tests.support.invented_traffic import Group, Traffic
from tests.support.waiting import ENOUGH_S, until

NAME = invented_traffic.EXPERIMENT
FILE = """
[statsig_openai_integration]
default = { model = "small-model" }
stop_on = ["error_rate"]
[statsig_openai_integration.groups]
Control = { weight = 50, parameters = { model = "small-model" } }
Test = { weight = 50, parameters = { model = "large-model" } }
"""
ANN = "ann@example.org"
Start = Callable[[], App]


@pytest.fixture
def start(tmp_path: Path, database_url: str, model_server: openai.Server) -> Iterator[Start]:
    """Yield a function that opens a replica on the test's database; close all replicas at the end."""
    opened: list[App] = []
    (tmp_path / "experiments.toml").write_text(FILE)
    model_server.script(otherwise=openai.answer("Because."))

    def begin() -> App:
        environ = {
            "OPENAI_BASE_URL": model_server.base_url, "DATABASE_URL": database_url, "PARLEY_SIGNING_KEY": "k" * 40,
            "PARLEY_EXPERIMENTS_FILE": f"{tmp_path}/experiments.toml",
        }  # fmt: skip
        opened.append(App.open(load(environ, tmp_path / "none.toml")))
        return opened[-1]

    yield begin
    for app in opened:
        app.close()


class Session:
    """One session of one visitor. It waits for the end of every answer."""

    def __init__(self, app: App) -> None:
        who = new_id()
        self.app, self.visitor = app, Visitor(who, who, who, new_id())
        self.exposed: Exposed = set()
        self.conversation: Conversation | None = None

    def ask(self, prompt: str) -> Conversation:
        talk = self.app.conversations
        self.conversation, answer = talk.ask(self.visitor, self.conversation, prompt, self.exposed)
        until(lambda: answer.receipt is not None and answer.receipt.committed)
        self.conversation = talk.settle(self.conversation, answer)
        return self.conversation


def save(app: App, **changes: object) -> None:
    known = app.acts.book[NAME]
    assert known.written is not None
    app.acts.save(NAME, to_toml(replace(known.written, **changes)), known.state.version, ANN, "")  # type: ignore[arg-type]


def raise_weight(app: App) -> None:
    written = app.acts.book[NAME].written
    assert written is not None
    save(app, groups=(written.groups[0], replace(written.groups[1], weight=60)))


def users(app: App, run: int) -> int:
    """Return the number of users in the readout of a run."""
    with app.store.read() as connection:
        definition = of_run(connection, NAME, run)
    assert definition is not None
    return sum(current(app.store, definition, False, now_ms()).counts.values())


def definition(app: App) -> Definition:
    served = app.experiments.definition(NAME)
    assert served is not None
    return served


def test_each_run_counts_its_own_users_and_a_conversation_stays_in_the_run_that_it_began_in(start: Start) -> None:
    app = start()
    early = Session(app)
    early.ask("Why?")
    raise_weight(app)
    early.ask("And then?")
    assert (users(app, 1), users(app, 2)) == (1, 0)
    late = Session(app)
    late.ask("Why?")
    assert (users(app, 1), users(app, 2)) == (1, 1)
    early.conversation = None
    early.ask("Something new")  # the same session meets the new run
    assert (users(app, 1), users(app, 2)) == (1, 2)
    with app.store.read() as connection:
        ended = of_run(connection, NAME, 1)
    assert ended is not None
    answers = current(app.store, ended, False, now_ms()).metrics["answers_per_user"].sums
    assert sum(sums.sx for sums in answers.values()) == 1  # the answer after the end counts in no run


def test_another_replica_decides_by_a_new_version_within_seconds(start: Start) -> None:
    here, there = start(), start()
    raise_weight(here)
    until(lambda: there.experiments.run(NAME) == 2, ENOUGH_S)
    assert there.experiments.definition(NAME) == here.experiments.definition(NAME)
    here.acts.pause(NAME, ANN)
    until(lambda: definition(there).allocation == 0, ENOUGH_S)
    assert Session(there).ask("Why?").assignment.group is None


def test_units_of_a_group_that_is_switched_off_get_the_default_from_their_next_question_on(
    start: Start, model_server: openai.Server
) -> None:
    app = start()
    session = Session(app)
    while session.ask("Why?").assignment.group != "Test":
        session = Session(app)
    app.acts.disable(NAME, "Test", ANN, "too slow")
    session.ask("And then?")
    assert [sent.body["model"] for sent in model_server.requests][-2:] == ["large-model", "small-model"]
    assert session.conversation is not None and session.conversation.assignment.group == "Test"
    before = users(app, 1)
    fresh = [Session(app).ask("Why?").assignment for _ in range(8)]
    assert "Test" in {one.group for one in fresh}
    assert users(app, 1) - before == sum(one.group == "Control" for one in fresh)  # its results stay as they were


HARM = Traffic({"Control": Group(300, failed=0.01), "Test": Group(300, failed=0.4)})
NO_HARM = Traffic({"Control": Group(300, failed=0.05), "Test": Group(300, failed=0.05)}, seed=3)


def test_a_guardrail_that_is_harmed_switches_the_group_off_once(start: Start, database_url: str) -> None:
    here, there = start(), start()
    invented_traffic.fill(database_url, HARM)
    later = now_ms() + 120_000  # when a guard is due again: each replica has looked once at its start
    guard(here.store, here.acts, definition(here), later)
    guard(there.store, there.acts, definition(there), later)
    with here.store.read() as connection:
        (line,) = audit.entries(connection, act="guardrail")
    assert (line.operator, line.details["group"], line.details["metric"]) == ("Parley", "Test", "error_rate")
    assert "is more often in error" in line.details["reason"] and line.details["low"] > 0
    off = definition(here).group("Test")
    assert off is not None and off.ended_ms is not None


def test_a_guardrail_that_is_not_harmed_switches_nothing_off(start: Start, database_url: str) -> None:
    app = start()
    invented_traffic.fill(database_url, NO_HARM)
    guard(app.store, app.acts, definition(app), now_ms() + 120_000)
    assert all(group.ended_ms is None for group in definition(app).groups)


def test_a_task_of_all_replicas_is_done_by_one_of_them_in_its_time(start: Start) -> None:
    here, there, moment = start(), start(), now_ms()

    def takes(app: App, at_ms: int, task: str = "a task") -> object:
        return app.store.take_turn(task, 60_000, at_ms)

    turns = [takes(app, moment + ms) for app, ms in ((here, 0), (there, 1), (here, 59_999), (there, 60_000))]
    assert turns == [True, False, False, True]
    assert takes(here, moment, "another task")
