"""Votes on comparisons as calls: the event, its changes, its way to Statsig, and the text beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.domain.rating import Vote
from lib.experiments.evaluator import compile_definitions
from lib.statistics.sums import Scope
from lib.store.preferences import votes_by_pair
from tests.support import openai_server as openai
from tests.support import statsig_server
from tests.support.comparing_tester import COMPARING, Tester, by_model, events_of, says
from tests.support.open_app import Start, apps
from tests.support.waiting import ENOUGH_S

METADATA = {
    "event_id", "comparison_id", "experiment", "left", "right", "left_answer_id", "right_answer_id", "position",
    "conversation_id", "session_id", "turn", "left_response_time", "right_response_time", "left_time_to_first_token",
    "right_time_to_first_token", "left_completion_tokens", "right_completion_tokens", "left_model", "right_model",
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, model_server: openai.Server) -> Iterator[Start]:
    with apps(tmp_path, model_server, COMPARING) as begin:
        yield begin


@pytest.fixture
def tester(start: Start) -> Tester:
    return Tester(start())


def test_a_vote_is_recorded_as_the_contract_says(tester: Tester) -> None:
    tester.ask("Why?")
    tester.vote(tester.better("B"))
    [event] = events_of(tester.app, "preference")
    facts, last = event["metadata"], tester.last
    assert event["value"] == "B"
    assert event["user_id"] == tester.visitor.user_id
    assert set(facts) == METADATA
    assert (facts["left"], facts["right"]) == (last.left.group, last.right.group)
    assert (facts["left_answer_id"], facts["right_answer_id"]) == (last.left.answer_id, last.right.answer_id)
    assert facts["position"] == tester.better("B")
    assert (facts["left_model"], facts["right_model"]) == (last.left.model, last.right.model)


@pytest.mark.parametrize("vote", ["tie", "both_bad"])
def test_a_vote_for_neither_has_no_position(vote: Vote, tester: Tester) -> None:
    tester.ask("Why?")
    tester.vote(vote)
    [event] = events_of(tester.app, "preference")
    assert event["value"] == vote
    assert set(event["metadata"]) == METADATA - {"position"}


def test_a_changed_vote_replaces_the_earlier_one_until_the_next_question(tester: Tester) -> None:
    tester.ask("Why?")
    tester.vote(tester.better("A"))
    tester.vote(tester.better("B"))
    first = tester.here
    tester.ask("And then?")
    unchanged, receipt = tester.app.comparisons.vote(tester.here, tester.here.turns[0], "tie")
    assert receipt is None and unchanged is tester.here
    _, late = tester.app.comparisons.vote(first, first.turns[-1], "tie")  # from a tab without the next one
    assert late is not None and late.wait(ENOUGH_S)
    assert {event["value"] for event in events_of(tester.app, "preference")} == {"A", "B"}


def test_after_seeing_the_groups_no_vote_is_given_or_changed(tester: Tester) -> None:
    for before in (None, "left"):
        tester.ask("Why?")
        if before:
            tester.vote("left")
        comparisons, comparison = tester.app.comparisons, tester.last
        assert comparisons.open_to_vote(tester.here, comparison.id)
        comparisons.uncover(tester.here, comparison.id)
        assert not comparisons.open_to_vote(tester.here, comparison.id)
        assert comparisons.vote(tester.here, tester.here.turns[-1], "right") == (tester.here, None)
        assert tester.last.vote == before


def test_the_groups_of_an_earlier_comparison_change_nothing(tester: Tester) -> None:
    tester.ask("Why?")
    earlier = tester.last
    tester.ask("And then?")
    tester.app.comparisons.uncover(tester.here, earlier.id)
    tester.vote("right")
    assert tester.last.vote == "right"


def test_both_completions_and_the_vote_arrive_at_statsig_and_no_exposure(start: Start) -> None:
    specs = compile_definitions(COMPARING)[0] | {"time": 5}
    with statsig_server.serve(specs) as statsig:
        tester = Tester(start(STATSIG_SECRET_KEY="secret-hunter22", STATSIG_API_URL=statsig.url))
        tester.ask("Why?")
        tester.vote(tester.better("B"))
        wanted = events_of(tester.app, "chat_completion", "preference")
        assert sorted(event["name"] for event in wanted) == ["chat_completion", "chat_completion", "preference"]
        statsig.wait(lambda: len(statsig.named("chat_completion", "preference")) >= 3)
        [vote] = statsig.named("preference")
        assert (vote["value"], vote["metadata"]["comparison_id"]) == ("B", tester.last.id)
        assert set(vote["metadata"]) >= METADATA
        answers = statsig.named("chat_completion")
        assert {one["metadata"]["comparison_id"] for one in answers} == {tester.last.id}
        assert {one["metadata"]["group"] for one in answers} == {"A", "B"}
        assert {one["metadata"]["event_id"] for one in statsig.events} == {one["event_id"] for one in wanted}


def test_retention_takes_both_texts_and_leaves_the_vote(tester: Tester) -> None:
    tester.ask("Why?")
    tester.vote(tester.better("B"))
    before = events_of(tester.app)
    tester.app.store.purge(-1)
    assert tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id) is None
    assert events_of(tester.app) == before
    with tester.app.store.read() as connection:
        assert votes_by_pair(connection, Scope("statsig_openai_integration"))["A", "B"].sums.sy == 1


def test_an_export_has_the_text_of_both_answers_when_asked_for_it(start: Start, model_server: openai.Server) -> None:
    model_server.script(*[by_model(a=says("From A."), b=says("From B."))] * 2)
    tester = Tester(start())
    tester.ask("Why?")
    assert not any("text" in event for event in events_of(tester.app))
    texts = [event["text"] for event in tester.app.store.events.export(text=True)]
    assert {text["question"] for text in texts} == {"Why?"}
    assert {text["answer"] for text in texts} == {"From A.", "From B."}


def test_a_reason_is_of_the_worse_answer_and_goes_with_the_vote(tester: Tester) -> None:
    tester.ask("Why?")
    tester.vote(tester.better("A"))
    tester.conversation, _ = tester.app.comparisons.explain(tester.here, tester.here.turns[-1], "too_long", "Long!")
    [event] = events_of(tester.app, "feedback_reason")
    assert (event["value"], event["metadata"]["group"]) == ("too_long", "B")
    assert "Long!" in str(list(tester.app.store.events.export(text=True)))
    assert "Long!" not in str(events_of(tester.app))
    tester.vote("both_bad")
    assert [side.reason for side in tester.last.sides] == [None, None]
    tester.conversation, _ = tester.app.comparisons.explain(tester.here, tester.here.turns[-1], "wrong", None)
    wrong = [event for event in events_of(tester.app, "feedback_reason") if event["value"] == "wrong"]
    assert {event["metadata"]["group"] for event in wrong} == {"A", "B"}
    assert "Long!" not in str(list(tester.app.store.events.export(text=True)))
