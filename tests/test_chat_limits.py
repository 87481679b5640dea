"""Limits in a conversation: refused questions, the reserved and the final cost of an answer, guests, one network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.access import budgets, crowd
from lib.app import App
from lib.chat.generation import Answer
from lib.domain.budget import Spent
from lib.domain.clock import now_ms
from lib.domain.conversation import Conversation
from lib.domain.invitations import Terms, new_invitation
from lib.domain.models import TEST_MODEL
from lib.domain.visitor import Visitor
from lib.settings import load
from tests.support import app_process, openai_server
from tests.support.chat_page import Record
from tests.support.openai_server import DONE, Gate, Server, finish, status, stream, usage
from tests.support.raw_websocket import RawWebsocket
from tests.support.spent_budgets import SOON, about, spent
from tests.support.spent_budgets import no_midnight as no_midnight
from tests.support.spent_budgets import patient as patient

DOLLAR_ANSWER = stream("All of it.", finish(), usage(200_000, 85_000), DONE)
"""An answer for 1.25 US dollars: the model below costs 2 and 10 US dollars for a million tokens."""
EXPERIMENTS = """
[statsig_openai_integration]
[statsig_openai_integration.groups]
Control = { weight = 1, parameters = { model = "PRICED", max_tokens = 100 } }
Test = { weight = 1, parameters = { model = "PRICED", temperature = 1 } }
""".replace("PRICED", TEST_MODEL)

Open = Callable[..., Any]


@pytest.fixture
def model_server() -> Iterator[Server]:
    with openai_server.serve() as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, database_url: str, model_server: Server) -> Iterator[Open]:
    """Yield a function that opens a whole app with the given settings; close every app at the end."""
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS, encoding="utf-8")
    with ExitStack() as stack:

        def begin(**environ: str) -> App:
            own = {"DATABASE_URL": database_url, "PARLEY_EXPERIMENTS_FILE": str(file), "PARLEY_SIGNING_KEY": "k" * 32}
            own |= {"OPENAI_BASE_URL": model_server.base_url}
            return stack.enter_context(closing(App.open(load(own | environ, tmp_path / "none.toml"))))

        yield begin


class Person:
    """One visitor with one conversation."""

    def __init__(self, app: App, name: str = "ann", **custom: str) -> None:
        self.app, self.visitor = app, Visitor(name, name, name, f"s-{name}", custom)
        self.conversation: Conversation | None = None
        self.exposed: set[Any] = set()

    def ask(self) -> str:
        """Ask a question, wait until its answer has ended, and return the finish reason."""
        self.conversation, answer = self.app.conversations.ask(self.visitor, self.conversation, "Why?", self.exposed)
        return self.ended(answer)

    def again(self) -> str:
        assert self.conversation
        self.conversation, answer = self.app.conversations.ask_again(self.visitor, self.conversation, self.exposed)
        return self.ended(answer)

    def ended(self, answer: Answer) -> str:
        news = answer.follow()
        while news(SOON, 0.0) is not None:
            pass
        assert self.conversation and answer.completion and answer.receipt and answer.receipt.wait(SOON)
        self.conversation = self.app.conversations.settle(self.conversation, answer)
        return answer.completion.finish_reason


def names_and_values(app: App) -> list[tuple[str, Any]]:
    return [(event["name"], event["value"]) for event in app.store.events.export()]


def test_a_question_over_a_limit_reaches_no_model_and_is_reported_after_its_exposure(
    start: Open, model_server: Server
) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1")
    ann = Person(app)
    assert [ann.ask(), ann.ask()] == ["stop", "limited"]
    assert len(model_server.requests) == 1
    assert names_and_values(app) == [("exposure", None), ("chat_completion", "stop"), ("chat_completion", "limited")]
    metadata = list(app.store.events.export())[-1]["metadata"]
    assert metadata["limit"] == "visitor" and metadata["turn"] == 2
    assert not {"response_time", "cost_usd", "error", "prompt_tokens"} & metadata.keys()


def test_no_group_loses_a_unit_to_a_limit(start: Open) -> None:
    """A visitor whose first question is refused is exposed all the same, in either group."""
    app = start(PARLEY_BUDGET_USD_PER_DAY="0.000001")
    late = [Person(app, f"late-{number}") for number in range(12)]
    assert {person.ask() for person in late} == {"limited"}
    exposed = [event for event in app.store.events.export() if event["name"] == "exposure"]
    assert {event["metadata"]["group"] for event in exposed} == {"Control", "Test"}
    assert {event["user_id"] for event in exposed} >= {f"late-{number}" for number in range(12)}


def test_the_days_spend_is_the_final_cost_of_its_answers(start: Open, model_server: Server) -> None:
    app = start(PARLEY_BUDGET_USD_PER_DAY="2")
    model_server.script(otherwise=DOLLAR_ANSWER)
    assert [Person(app, name).ask() for name in ("ann", "bob", "eve")] == ["stop", "stop", "limited"]
    assert spent(app.store) == Spent(about(2.5), 2)


def test_a_second_replica_knows_the_spending_of_the_first(start: Open, model_server: Server) -> None:
    one, two = start(PARLEY_BUDGET_USD_PER_DAY="1"), start(PARLEY_BUDGET_USD_PER_DAY="1")
    model_server.script(otherwise=DOLLAR_ANSWER)
    assert [Person(one).ask(), Person(two, "bob").ask()] == ["stop", "limited"]


def test_the_highest_cost_of_a_running_answer_is_reserved(start: Open, model_server: Server) -> None:
    app, gate = start(PARLEY_BUDGET_USD_PER_DAY="5"), Gate()
    model_server.script(stream("Half ", gate, "done.", finish(), usage(1, 1), DONE))
    ann = Person(app)
    ann.conversation, answer = app.conversations.ask(ann.visitor, None, "Why?", ann.exposed)
    assert spent(app.store).usd >= 0.001  # the price of 100 tokens (Control) or 25,000 (Test)
    gate.open()
    assert ann.ended(answer) == "stop"
    assert spent(app.store).usd == pytest.approx(0.000012)


def test_a_failed_answer_does_not_count(start: Open, model_server: Server) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1")
    model_server.script(status(401))
    ann = Person(app)
    assert [ann.ask(), ann.ask(), ann.ask()] == ["error", "stop", "limited"]


def test_at_the_limit_the_answer_that_was_to_be_replaced_stays(start: Open) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1")
    ann = Person(app)
    ann.ask()
    assert ann.again() == "limited"
    assert ann.conversation is not None
    stored = app.conversations.get(ann.conversation.id, "ann")
    assert [(turn.turn, turn.finish_reason) for turn in stored.turns] == [(1, "stop"), (2, "limited")]
    assert "regenerated" not in dict(names_and_values(app))


def test_a_guest_meets_the_limit_of_the_invitation(start: Open, model_server: Server) -> None:
    app = start()
    invited = new_invitation("Ann's team", Terms(usd=1), now_ms())
    assert app.store.guests.invite(invited)
    model_server.script(otherwise=DOLLAR_ANSWER)
    guests = [Person(app, name, invitation=invited.id) for name in ("ann", "bob")]
    assert [guest.ask() for guest in guests] == ["stop", "limited"]
    assert Person(app, "eve").ask() == "stop"
    turn = guests[1].conversation.turns[-1]  # type: ignore[union-attr]
    assert turn.message == budgets.LIMIT_WORDS["invitation"] and turn.facts["limit"] == "invitation"


def test_a_model_without_a_price_is_reported_at_the_start(start: Open, capsys: pytest.CaptureFixture[str]) -> None:
    start(PARLEY_BUDGET_USD_PER_DAY="5", PARLEY_MODEL="my-own-model")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "has no price" in line]
    assert len(warnings) == 1 and "my-own-model" in warnings[0]


def test_simulated_visitors_spend_nothing(start: Open) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1", PARLEY_BUDGET_USD_PER_DAY="1")
    ann = Person(app)
    for _ in range(3):
        ann.conversation, answer = app.conversations.ask(ann.visitor, ann.conversation, "Why?", set(), simulated=True)
        assert ann.ended(answer) == "stop"
    assert spent(app.store, "visitor:ann") == Spent()


def test_a_burst_starts_nothing_that_would_not_fit(start: Open, model_server: Server, tmp_path: Path) -> None:
    """Without a cap in the parameters the budget imposes one. The reservations of running answers count as spent."""
    file, gate = tmp_path / "uncapped.toml", Gate()
    file.write_text(EXPERIMENTS.replace(", max_tokens = 100", ""))
    app = start(PARLEY_BUDGET_USD_PER_DAY="1", PARLEY_EXPERIMENTS_FILE=str(file))
    model_server.script(otherwise=stream("Long.", gate, finish(), usage(10, 25_000), DONE))
    answers = []
    for person in [Person(app, f"v{number}") for number in range(30)]:
        person.conversation, answer = app.conversations.ask(person.visitor, None, "Why?", person.exposed)
        answers.append((person, answer))
    gate.open()
    ended = [person.ended(answer) for person, answer in answers]
    assert 0 < len(ended) - ended.count("limited") < 10
    assert spent(app.store).usd <= 1
    assert {request.body["max_completion_tokens"] for request in model_server.requests} == {25_000}


def test_without_a_limit_in_dollars_no_cap_is_imposed(start: Open, model_server: Server) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="5")
    assert Person(app).ask() == "stop"
    assert "max_completion_tokens" not in model_server.requests[-1].body


def test_a_refused_question_is_not_stored_and_a_repeated_refusal_writes_nothing(start: Open) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1")
    ann = Person(app)
    assert ann.ask() == "stop"
    ann.conversation, answer = app.conversations.ask(ann.visitor, ann.conversation, "My secret?", ann.exposed)
    assert ann.ended(answer) == "limited" and ann.conversation is not None
    assert ann.conversation.turns[-1].question == "My secret?", "the page still has it"
    written = names_and_values(app)
    for _ in range(3):
        assert ann.ask() == "limited" and ann.again() == "limited"
    other = Person(app)
    assert other.ask() == "limited"
    assert names_and_values(app) == written
    assert "secret" not in str(list(app.store.events.export(text=True)))
    stored = app.conversations.get(ann.conversation.id, "ann")
    assert [turn.finish_reason for turn in stored.turns] == ["stop", "limited"] and stored.turns[-1].question is None


def test_browsers_without_a_cookie_share_the_answers_of_one_visitor(start: Open) -> None:
    app = start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="2")
    people = [Person(app, f"session {number}") for number in range(6)]
    for person in people:
        person.visitor = replace(person.visitor, known=False)
    assert [person.ask() for person in people] == ["stop", "stop", *["limited"] * 4]
    assert Person(app, "with a cookie").ask() == "stop"


def test_one_network_meets_its_limits_and_its_neighbours_do_not(start: Open, model_server: Server) -> None:
    app, gate = start(), Gate()
    model_server.script(otherwise=stream("Slow ", gate, "answer.", finish(), DONE))
    people = [Person(app, f"v{number}") for number in range(crowd.AT_ONCE + 1)]
    answers = []
    for person in people:
        person.visitor = replace(person.visitor, place="203.0.113.7")
        person.conversation, answer = app.conversations.ask(person.visitor, None, "Why?", person.exposed)
        answers.append((person, answer))
    near = Person(app, "near")
    near.conversation, nearby = app.conversations.ask(near.visitor, None, "Why?", near.exposed)
    gate.open()
    assert [person.ended(answer) for person, answer in answers] == ["stop"] * crowd.AT_ONCE + ["limited"]
    assert near.ended(nearby) == "stop"
    refused = people[-1].conversation.turns[-1]  # type: ignore[union-attr]
    assert refused.facts["limit"] == "busy" and refused.message == budgets.LIMIT_WORDS["busy"]
    assert "203.0.113.7" not in str(list(app.store.events.export(text=True)))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"PARLEY_ABANDONED": "stop"}, "stopped"), ({"PARLEY_BUDGET_USD_PER_DAY": "5"}, "stopped"),
        ({}, "stop"), ({"PARLEY_BUDGET_USD_PER_DAY": "5", "PARLEY_ABANDONED": "finish"}, "stop"),
    ],
)  # fmt: skip
def test_an_answer_without_a_page_is_stopped_where_the_settings_say_so(
    start: Open, model_server: Server, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], reason: str
) -> None:
    monkeypatch.setattr("lib.app.ABANDONED_S", 0.2)
    whole, endless = openai_server.answer("word " * 60, pace=0.05), stream("word ", openai_server.HANG)
    model_server.script(otherwise=whole if reason == "stop" else endless)
    app = start(**settings)
    _, answer = app.conversations.ask(Visitor("ann", "ann", "ann", "s"), None, "Why?", set())
    assert answer._over.wait(SOON) and answer.completion is not None
    assert answer.completion.finish_reason == reason


def test_connections_without_a_cookie_get_the_answers_of_one_visitor_from_the_running_app(tmp_path: Path) -> None:
    app = app_process.start(tmp_path / "app", {"PARLEY_BUDGET_ANSWERS_PER_VISITOR": "2"})
    try:
        for _ in range(8):
            with RawWebsocket(app.url) as wire:
                wire.run().ask("What is Parley?")
        with Record.of(app) as record:
            ends = [event["value"] for event in record.events(None, "chat_completion")]
        assert ends == ["stop", "stop", "limited"], "and repeated refusals are written nowhere"
    finally:
        app.stop()
