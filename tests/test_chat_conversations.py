"""A tester's operations as calls: one question's path through a whole app, against a scripted model server."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.app import App
from lib.chat.conversations import Exposed
from lib.chat.generation import Answer
from lib.domain.assignment import Assignment
from lib.domain.conversation import Conversation, Turn
from lib.domain.ids import new_id
from lib.domain.visitor import Visitor
from tests.support import openai_server as openai
from tests.support.open_app import Start, apps, visitor
from tests.support.openai_server import Gate, finish, stream
from tests.support.waiting import ENOUGH_S, until

TOML = """
[statsig_openai_integration]
default = { model = "rest" }
[statsig_openai_integration.groups]
A = { weight = 1, parameters = { model = "model-a", system_prompt = "Be kind.", temperature = 0.5 } }
"""


@pytest.fixture
def start(tmp_path: Path, model_server: openai.Server) -> Iterator[Start]:
    with apps(tmp_path, model_server, TOML) as begin:
        yield begin


@pytest.fixture
def app(start: Start) -> App:
    return start()


class Tester:
    """One session of one visitor. It waits for the end of every answer."""

    __test__ = False

    def __init__(self, app: App, visitor: Visitor) -> None:
        self.app, self.visitor = app, visitor
        self.exposed: Exposed = set()
        self.conversation: Conversation | None = None

    @property
    def here(self) -> Conversation:
        assert self.conversation
        return self.conversation

    def ask(self, prompt: str) -> Answer:
        self.conversation, answer = self.app.conversations.ask(self.visitor, self.conversation, prompt, self.exposed)
        return self._settled(answer)

    def again(self, prompt: str | None = None) -> Answer:
        self.conversation, answer = self.app.conversations.ask_again(self.visitor, self.here, self.exposed, prompt)
        return self._settled(answer)

    def _settled(self, answer: Answer) -> Answer:
        until(lambda: answer.completion)
        answer.seen = True
        self.conversation = self.app.conversations.settle(self.here, answer)
        return answer


@pytest.fixture
def tester(app: App) -> Tester:
    return Tester(app, visitor())


def all_events(app: App) -> list[dict[str, Any]]:
    """Wait until the store has written everything, and return every event."""
    until(lambda: app.store.queued == 0)
    return list(app.store.events.export())


def messages_of(request: openai.Request) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.body["messages"]]


# A question's path


def test_a_question_goes_to_the_model_of_its_group(tester: Tester, model_server: openai.Server) -> None:
    answer = tester.ask("Why?")
    assert answer.text == "Hello from the stand-in."
    [request] = model_server.requests
    assert messages_of(request) == [("system", "Be kind."), ("user", "Why?")]
    assert (request.body["model"], request.body["temperature"]) == ("model-a", 0.5)
    [turn] = tester.here.turns
    assert (turn.question, turn.answer, turn.finish_reason) == ("Why?", "Hello from the stand-in.", "stop")
    assert not turn.running


def test_the_exposure_comes_first_and_once_a_session(tester: Tester) -> None:
    tester.ask("One")
    tester.ask("Two")
    tester.conversation = None
    tester.ask("Another conversation")
    assert [event["name"] for event in all_events(tester.app)] == ["exposure"] + ["chat_completion"] * 3
    again = Tester(tester.app, replace(tester.visitor, session_id=new_id()))
    again.ask("After a reload")
    exposures = [event for event in all_events(tester.app) if event["name"] == "exposure"]
    assert [event["metadata"]["session_id"] for event in exposures] == [
        tester.visitor.session_id, again.visitor.session_id,
    ]  # fmt: skip


def test_looking_at_the_page_exposes_no_unit(app: App) -> None:
    app.conversations.get(new_id(), visitor().visitor_id)
    assert all_events(app) == []


def test_a_conversation_keeps_the_assignment_that_it_began_with(start: Start, model_server: openai.Server) -> None:
    first = Tester(start(), visitor())
    first.ask("One")
    changed = start(TOML.replace("model-a", "model-b").replace("A = ", "B = "))
    later = Tester(changed, replace(first.visitor, session_id=new_id()))
    later.conversation = changed.conversations.get(first.here.id, first.visitor.visitor_id)
    later.ask("Two")
    later.conversation = None
    later.ask("A new one")
    assert [request.body["model"] for request in model_server.requests] == ["model-a", "model-a", "model-b"]
    exposed = [event["metadata"]["group"] for event in all_events(changed) if event["name"] == "exposure"]
    assert exposed == ["A", "A", "B"]


def test_an_answer_that_was_stopped_goes_along_and_one_that_failed_does_not(
    tester: Tester, model_server: openai.Server
) -> None:
    model_server.script(openai.status(400), stream("Half", openai.RESET), openai.answer("Whole."))
    for prompt in ("One", "Two", "Three"):
        tester.ask(prompt)
    assert messages_of(model_server.requests[-1])[1:] == [("user", "Two"), ("assistant", "Half"), ("user", "Three")]
    assert [turn.finish_reason for turn in tester.here.turns] == ["error", "interrupted", "stop"]
    assert tester.here.turns[0].message


def test_another_answer_takes_the_place_of_the_last(tester: Tester, model_server: openai.Server) -> None:
    tester.ask("One")
    first = tester.ask("Two").question
    second = tester.again().question
    third = tester.again("Two, better").question
    assert [question.turn for question in (first, second, third)] == [2, 2, 2]
    assert [turn.question for turn in tester.here.turns] == ["One", "Two, better"]
    assert [messages_of(request)[-1][1] for request in model_server.requests] == ["One", "Two", "Two", "Two, better"]
    assert all(len(messages_of(request)) == 4 for request in model_server.requests[1:])
    replaced = [event["metadata"]["answer_id"] for event in all_events(tester.app) if event["name"] == "regenerated"]
    assert replaced == [first.answer_id, second.answer_id]
    stored = tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id)
    assert stored
    assert [turn.question for turn in stored.turns] == ["One", "Two, better"]


def test_asking_again_ends_a_running_answer(tester: Tester, model_server: openai.Server) -> None:
    model_server.script(stream("Half", openai.HANG))
    tester.conversation, running = tester.app.conversations.ask(tester.visitor, None, "One", tester.exposed)
    until(lambda: running.text)
    tester.again("Two")
    until(lambda: running.completion)
    assert running.completion
    assert running.completion.finish_reason == "stopped"
    assert model_server.requests[0].gone.wait(ENOUGH_S)
    ends = [event["value"] for event in all_events(tester.app) if event["name"] == "chat_completion"]
    assert sorted(ends) == ["stop", "stopped"]


def test_a_forced_assignment_is_taken_and_marked(tester: Tester, model_server: openai.Server) -> None:
    forced = Assignment(
        "e", "B", "override", tester.visitor.user_id, tester.visitor.ids(), {"model": "forced"}, forced=True
    )
    tester.app.conversations.ask(tester.visitor, None, "One", tester.exposed, assignment=forced)
    until(lambda: model_server.requests)
    assert model_server.requests[0].body["model"] == "forced"
    [exposed] = [event["metadata"] for event in all_events(tester.app) if event["name"] == "exposure"]
    assert (exposed["group"], exposed["forced"]) == ("B", True)


# Rating


def rating_events(tester: Tester) -> list[tuple[str, object]]:
    names = ("satisfaction", "dissatisfaction", "rating_withdrawn", "feedback_reason")
    return [(event["name"], event["value"]) for event in all_events(tester.app) if event["name"] in names]


def facts_of_answer_and_vote(app: App) -> list[dict[str, Any]]:
    """Return the metadata of the only answer and of the vote on it. Both may have happened in the same millisecond."""
    facts = {event["name"]: event["metadata"] for event in all_events(app)}
    return [facts["chat_completion"], facts["satisfaction"]]


def stored_conversation(tester: Tester) -> Conversation:
    stored = tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id)
    assert stored
    return stored


def test_the_pages_vote_equals_the_stored_one(tester: Tester) -> None:
    """They are equal after every change. A changed vote keeps the reason and the comment of the earlier one."""
    rating = tester.app.conversations

    def last() -> Turn:
        return tester.here.turns[-1]

    tester.ask("One")
    steps: list[Callable[[], Any]] = [
        lambda: rating.rate(tester.here, last(), "dissatisfaction"),
        lambda: rating.explain(tester.here, last(), "too_long", None),
        lambda: rating.explain(tester.here, last(), "too_long", "Half of it"),
        lambda: rating.rate(tester.here, last(), "satisfaction"),
        lambda: rating.rate(tester.here, last(), None),
        lambda: rating.rate(tester.here, last(), "dissatisfaction"),
        lambda: rating.explain(tester.here, last(), "wrong", None),
        lambda: rating.explain(tester.here, last(), None, None),
    ]
    for step in steps:
        tester.conversation, receipt = step()
        assert receipt.wait(ENOUGH_S)
        here, stored = last(), stored_conversation(tester).turns[-1]
        assert (here.rating, here.reason, here.comment) == (stored.rating, stored.reason, stored.comment)
    assert rating_events(tester) == [
        ("dissatisfaction", 1), ("feedback_reason", "too_long"), ("satisfaction", 1),
        ("rating_withdrawn", "satisfaction"), ("dissatisfaction", 1), ("feedback_reason", "wrong"),
    ]  # fmt: skip


def test_a_rating_repeats_the_facts_of_its_answer(tester: Tester) -> None:
    tester.ask("One")
    tester.app.conversations.rate(tester.here, tester.here.turns[0], "satisfaction")
    answered, vote = facts_of_answer_and_vote(tester.app)
    assert answered.items() - {("event_id", answered["event_id"])} <= vote.items()
    assert vote["rating_delay"] >= 0


def test_a_vote_on_a_reopened_conversation_repeats_it_too(tester: Tester) -> None:
    tester.ask("One")
    all_events(tester.app)
    stored = stored_conversation(tester)
    tester.app.conversations.rate(stored, stored.turns[0], "satisfaction")
    answered, vote = facts_of_answer_and_vote(tester.app)
    assert answered.items() - {("event_id", answered["event_id"])} <= vote.items()


# Ownership


def test_no_other_visitor_gets_or_deletes_a_conversation(tester: Tester) -> None:
    tester.ask("Mine")
    all_events(tester.app)
    stranger = visitor()
    assert tester.app.conversations.get(tester.here.id, stranger.visitor_id) is None
    assert tester.app.conversations.deletions.delete(stranger.visitor_id, tester.here.id).wait(ENOUGH_S)
    assert tester.app.conversations.deletions.delete(stranger.visitor_id).wait(ENOUGH_S)
    assert stored_conversation(tester).turns[0].question == "Mine"
    assert tester.app.conversations.deletions.delete(tester.visitor.visitor_id, tester.here.id).wait(ENOUGH_S)
    assert tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id) is None
    assert [event["name"] for event in all_events(tester.app)] == ["exposure", "chat_completion"]


def test_a_question_of_another_tab_is_seen_before_the_next(tester: Tester, model_server: openai.Server) -> None:
    tester.ask("One")
    other = Tester(tester.app, replace(tester.visitor, session_id=new_id()))
    other.conversation = tester.conversation
    other.ask("Two, elsewhere")
    all_events(tester.app)
    assert len(tester.here.turns) == 1
    tester.conversation = tester.app.conversations.fresh(tester.here)
    tester.ask("Three")
    assert [turn.turn for turn in tester.here.turns] == [1, 2, 3]
    assert [text for role, text in messages_of(model_server.requests[-1]) if role == "user"] == [
        "One", "Two, elsewhere", "Three",
    ]  # fmt: skip


def test_a_long_conversation_comes_in_pieces(tester: Tester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.chat.conversations.TURNS_LOADED", 3)
    for number in range(7):
        tester.ask(f"Question {number}")
    all_events(tester.app)
    stored = stored_conversation(tester)
    assert [turn.turn for turn in stored.turns] == [5, 6, 7]
    assert stored.earlier
    stored = tester.app.conversations.earlier(stored)
    assert [turn.turn for turn in stored.turns] == [2, 3, 4, 5, 6, 7]
    stored = tester.app.conversations.earlier(stored)
    assert [turn.turn for turn in stored.turns] == [1, 2, 3, 4, 5, 6, 7]
    assert not stored.earlier


# Without stored text


def test_without_stored_text_the_process_still_has_the_conversation(start: Start, model_server: openai.Server) -> None:
    forgetful = Tester(start(PARLEY_KEEP_TEXT="false"), visitor())
    forgetful.ask("A secret?")
    all_events(forgetful.app)
    [turn] = stored_conversation(forgetful).turns
    assert (turn.question, turn.answer) == ("A secret?", "Hello from the stand-in.")
    forgetful.ask("And more?")
    assert ("user", "A secret?") in messages_of(model_server.requests[-1])
    assert "secret" not in str(list(forgetful.app.store.events.export(text=True)))
    reopened = start(PARLEY_KEEP_TEXT="false").conversations.get(forgetful.here.id, forgetful.visitor.visitor_id)
    assert reopened
    assert (reopened.title, reopened.turns[0].question, reopened.turns[0].answer) == (None, None, None)
    assert reopened.turns[0].finish_reason == "stop"


# A killed process


def test_an_answer_that_its_process_left_is_ended_by_another(
    start: Start, model_server: openai.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.chat.generation.PARTIAL_EVERY", 0.05)
    gate = Gate()
    model_server.script(stream("Half an answer", gate, finish()))
    killed = start()
    left = Tester(killed, visitor())
    left.conversation, answer = killed.conversations.ask(left.visitor, None, "One", left.exposed)
    all_events(killed)
    until(lambda: stored_conversation(left).turns[0].answer == "Half an answer")
    monkeypatch.setattr(
        killed.store.conversations, "partial", lambda *_: None
    )  # as if the process were killed: no more heartbeats
    monkeypatch.setattr("lib.chat.rescue.STALE_MS", 300)
    other = start()

    def swept() -> bool:
        other.rescue.sweep()
        return bool(all_events(other)[-1]["name"] == "chat_completion")

    until(swept)
    ended = all_events(other)[-1]
    assert (ended["value"], ended["metadata"]["error"]) == ("interrupted", "ProcessEnded")
    stored = other.conversations.get(left.here.id, left.visitor.visitor_id)
    assert stored
    assert (stored.turns[0].answer, stored.turns[0].finish_reason) == ("Half an answer", "interrupted")
    assert not [line for line in other.metrics.text().splitlines() if b"NaN" in line and b"seconds" in line]
    gate.open()
    until(lambda: answer.completion)
    assert [event["name"] for event in all_events(other)].count("chat_completion") == 1
