"""Comparisons as calls: the units that compare, the two answers to one question, and the record."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from lib.app import App
from lib.domain.conversation import Turn
from lib.domain.ids import new_id
from lib.domain.rating import Vote
from lib.store.schema import spending
from tests.support import openai_server as openai
from tests.support.comparing_tester import COMPARING, Tester, by_model, events_of, says
from tests.support.open_app import Start, apps, visitor
from tests.support.openai_server import Gate, finish, status, stream
from tests.support.waiting import ENOUGH_S, until

THREE = COMPARING + 'C = { weight = 1, parameters = { model = "model-c" } }\n'
NOBODY = COMPARING.replace("compare = 100", "compare = 0")


@pytest.fixture
def start(tmp_path: Path, model_server: openai.Server) -> Iterator[Start]:
    with apps(tmp_path, model_server, COMPARING) as begin:
        yield begin


@pytest.fixture
def tester(start: Start) -> Tester:
    return Tester(start())


# Units that compare


def test_units_that_compare_are_asked_twice_and_exposed_never(tester: Tester, model_server: openai.Server) -> None:
    tester.ask("Why?")
    assert sorted(request.body["model"] for request in model_server.requests) == ["model-a", "model-b"]
    assert [event["name"] for event in events_of(tester.app)] == ["chat_completion"] * 2


def test_the_share_of_units_is_the_same_on_every_replica_and_independent_of_the_split(start: Start) -> None:
    half = COMPARING.replace("compare = 100", "compare = 50")
    one, other = start(half), start(half)
    compared, groups = Counter[bool](), Counter[str | None]()
    for number in range(400):
        who = visitor(f"unit-{number}")
        assignments = [app.comparisons.assign(who, set()) for app in (one, other)]
        assert all(assignments) and assignments[0] == assignments[1]
        compared[assignments[0].compare] += 1  # type: ignore[union-attr]
        groups[assignments[0].group] += 1  # type: ignore[union-attr]
    assert 150 < compared[True] < 250
    assert groups[None] == compared[True]
    assert min(groups["A"], groups["B"]) > 60  # the draw of comparing units has a salt of its own


def test_without_comparisons_nothing_is_looked_up(start: Start) -> None:
    assert start(NOBODY).comparisons.assign(visitor(), set()) is None


def test_an_exposed_unit_stays_in_the_test(start: Start) -> None:
    before = Tester(start(NOBODY))
    before.ask("Why?")
    assert events_of(before.app, "exposure")
    later = Tester(start(), replace(before.visitor, session_id=new_id()), invited=True)
    later.ask("And now?")
    assert not later.compares and later.here.assignment.group in ("A", "B")


def test_a_new_page_expects_the_units_that_will_compare(start: Start) -> None:
    app, guest = start(COMPARING.replace("compare = 100", "compare = 50")), visitor()
    for number in range(20):
        who = visitor(f"unit-{number}")
        assignment = app.comparisons.assign(who, set())
        assert assignment is not None and app.comparisons.expects(who) == assignment.compare
    assert app.comparisons.expects(guest, invited=True)
    assert not start(NOBODY).comparisons.expects(guest)


def test_a_unit_exposed_in_this_session_does_not_compare(start: Start) -> None:
    tester = Tester(start())
    tester.exposed.add(("statsig_openai_integration", tester.visitor.user_id, "A", False, 1))
    tester.ask("Why?")
    assert not tester.compares


def test_a_unit_that_compared_is_not_exposed_when_fewer_units_compare(start: Start) -> None:
    before = Tester(start())
    before.ask("Why?")
    assert before.compares and not events_of(before.app, "exposure")
    app = start(NOBODY)
    app.comparisons.look()
    later = Tester(app, replace(before.visitor, session_id=new_id()))
    later.ask("And now?")
    assert later.compares and not events_of(app, "exposure")


def test_guests_of_an_invitation_compare(start: Start) -> None:
    guest, other = Tester(app := start(NOBODY), invited=True), Tester(app)
    guest.ask("Why?")
    other.ask("Why?")
    assert (guest.compares, other.compares) == (True, False)


@pytest.mark.parametrize(
    "toml", [COMPARING.replace("compare", "allocation = 0\ncompare"), COMPARING.partition("B = ")[0]]
)
def test_no_comparison_begins_while_the_experiment_is_paused_or_has_one_group(start: Start, toml: str) -> None:
    tester = Tester(start(toml))
    tester.ask("Why?")
    assert not tester.compares


def test_a_paused_experiment_answers_with_its_default_and_exposes_no_unit(
    start: Start, model_server: openai.Server
) -> None:
    before = Tester(start())
    before.ask("Why?")
    app = start(COMPARING.replace("compare = 100", "allocation = 0"))
    later = Tester(app, before.visitor)
    later.conversation = app.conversations.get(before.here.id, before.visitor.visitor_id)
    later.ask("And now?")
    assert model_server.requests[-1].body["model"] == "rest"
    assert len(later.here.turns[-1].sides) == 1 and not events_of(app, "exposure")


def test_answers_appear_together_where_the_conversations_own_experiment_says_so(start: Start) -> None:
    other = COMPARING.replace("statsig_openai_integration", "other")
    app = start(COMPARING.replace("compare = 100", 'compare = 100\nreveal = "together"') + other)
    early = Tester(app)
    early.ask("Why?")
    app.acts.start("other", "ann@example.org")
    late = Tester(app)
    late.ask("Why?")
    assert (early.here.assignment.experiment, late.here.assignment.experiment) == (
        "statsig_openai_integration",
        "other",
    )
    assert (app.comparisons.together(early.here), app.comparisons.together(late.here)) == (True, False)


# Two answers


def test_control_meets_every_treatment_equally_often(start: Start) -> None:
    tester = Tester(start(THREE))
    pairs = []
    for _ in range(6):
        tester.ask("Why?")
        pairs.append(frozenset(str(side.group) for side in tester.last.sides))
    assert Counter(pairs) == {frozenset("AB"): 3, frozenset("AC"): 3}
    assert all(one != other for one, other in pairwise(pairs))


def test_left_and_right_are_drawn_for_each_question(tester: Tester) -> None:
    lefts, drawn = set(), set()
    for _ in range(20):  # equal draws have a chance of 1 in 500,000
        tester.ask("Why?")
        lefts.add(tester.last.left.group)
        drawn.add(tester.last.drawn)
    assert (lefts, drawn) == ({"A", "B"}, {"left", "right"})


def test_both_answers_run_at_once_and_stream_independently(start: Start, model_server: openai.Server) -> None:
    gates = {"a": Gate(), "b": Gate()}
    replies = {name: stream(f"from {name}", gate, finish(), openai.DONE) for name, gate in gates.items()}
    model_server.script(by_model(**replies), by_model(**replies))
    tester = Tester(start())
    tester.send("Why?")
    answers = [tester.app.conversations.answer(side) for side in tester.last.sides]
    following = tester.app.comparisons.follow([answer for answer in answers if answer])
    texts = ["", ""]

    def read() -> bool:
        for at, piece in enumerate(following.pieces(0.1)):
            texts[at] += piece or ""
        return all(texts)

    until(read)
    assert sorted(texts) == ["from a", "from b"]
    gates["b"].open()
    until(lambda: following.pieces(0.1).count(None) == 1)
    gates["a"].open()
    until(lambda: following.pieces(0.1) == [None, None])
    tester.settle()
    assert not tester.last.running


def test_each_answer_has_its_completion_with_group_model_and_comparison(tester: Tester) -> None:
    tester.ask("Why?")
    facts = {event["metadata"]["answer_id"]: event["metadata"] for event in events_of(tester.app, "chat_completion")}
    for side in tester.last.sides:
        one = facts[side.answer_id]
        assert (one["group"], one["model"]) == (side.group, side.model)
        assert (one["comparison_id"], one["turn"]) == (tester.last.id, 1)


def test_the_conversation_continues_from_the_preferred_answer_for_both(
    start: Start, model_server: openai.Server
) -> None:
    model_server.script(*[by_model(a=says("from a"), b=says("from b"))] * 2)
    tester = Tester(start())
    tester.ask("Why?")
    tester.vote(tester.better("B"))
    tester.ask("And then?")
    for request in model_server.requests[2:]:
        contents = [message["content"] for message in request.body["messages"] if message["role"] != "system"]
        assert contents == ["Why?", "from b", "And then?"]


@pytest.mark.parametrize("vote", ["tie", "both_bad", None])
def test_without_a_preferred_answer_chance_decides_and_is_recorded(
    vote: Vote | None, start: Start, model_server: openai.Server
) -> None:
    model_server.script(*[by_model(a=says("from a"), b=says("from b"))] * 2)
    tester = Tester(start())
    tester.ask("Why?")
    drawn = tester.last.left if tester.last.drawn == "left" else tester.last.right
    if vote:
        tester.vote(vote)
    events_of(tester.app)
    stored = tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id)
    assert stored is not None and stored.turns[0].answer == drawn.answer
    tester.ask("And then?")
    assert {request.body["messages"][-2]["content"] for request in model_server.requests[2:]} == {drawn.answer}


def test_a_failed_side_leaves_the_other_readable_and_asks_for_no_vote(
    start: Start, model_server: openai.Server
) -> None:
    model_server.script(*[by_model(a=status(401), b=says("from b"))] * 2)
    tester = Tester(start())
    tester.ask("Why?")
    assert not tester.last.votable
    assert tester.here.turns[-1].answer == "from b"
    tester.vote("left")
    assert tester.last.vote is None and not events_of(tester.app, "preference")


def test_stop_ends_both(start: Start, model_server: openai.Server) -> None:
    model_server.script(otherwise=stream("some", openai.HANG))
    tester = Tester(start())
    tester.send("Why?")
    until(lambda: all((one := tester.app.conversations.answer(side)) and one.text for side in tester.last.sides))
    tester.app.conversations.stop(tester.here)
    tester.settle()
    assert [side.finish_reason for side in tester.last.sides] == ["stopped", "stopped"]
    assert all(request.gone.wait(ENOUGH_S) for request in model_server.requests)


def test_asking_again_asks_both_again_and_records_that_both_were_replaced(tester: Tester) -> None:
    tester.ask("Why?")
    earlier = {side.answer_id for side in tester.last.sides}
    groups = {side.group for side in tester.last.sides}
    tester.again()
    assert {side.group for side in tester.last.sides} == groups
    assert {side.turn for side in tester.last.sides} == {1}
    replaced = events_of(tester.app, "regenerated")
    assert {event["metadata"]["answer_id"] for event in replaced} == earlier
    stored = tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id)
    assert stored is not None and [turn.answer_id for turn in stored.turns] == [tester.last.id]


# Limits


def test_budgets_count_both_answers_and_half_a_comparison_is_never_asked(
    start: Start, model_server: openai.Server
) -> None:
    tester = Tester(start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="5"))
    for _ in range(2):
        tester.ask("Why?")
    tester.ask("Once more?")
    assert len(model_server.requests) == 4
    assert [side.finish_reason for side in tester.last.sides] == ["limited", "limited"]
    limited = [event for event in events_of(tester.app, "chat_completion") if event["value"] == "limited"]
    assert {event["metadata"]["comparison_id"] for event in limited} == {tester.last.id}
    account_answers = _answers_counted(tester.app)
    assert account_answers == 4


def _answers_counted(app: App) -> int:
    with app.store.read() as connection:
        return sum(connection.scalars(select(spending.c.answers)))


def test_a_refused_comparison_releases_the_reservation_of_its_first_half(start: Start) -> None:
    tester = Tester(start(PARLEY_BUDGET_ANSWERS_PER_VISITOR="1"))
    for _ in range(3):  # the second and third refusal are not recorded
        tester.ask("Why?")
    until(lambda: tester.app.store.queued == 0)
    assert _answers_counted(tester.app) == 0


# Text


def test_without_stored_text_both_answers_live_while_their_conversation_is_open(start: Start) -> None:
    tester = Tester(start(PARLEY_KEEP_TEXT="false"))
    tester.ask("Why?")
    assert tester.app.store.write(lambda connection: None).wait(ENOUGH_S)  # earlier writes are done, too
    stored = tester.app.conversations.get(tester.here.id, tester.visitor.visitor_id)
    assert stored is not None
    (turn,) = stored.turns
    assert turn.question == "Why?" and turn.answer
    assert all(side.answer for side in turn.sides)
    assert isinstance(turn, Turn)


def test_the_first_words_of_one_answer_do_not_wait_for_the_pace_of_the_other(
    start: Start, model_server: openai.Server
) -> None:
    more, begin = Gate(), Gate()
    replies = by_model(a=stream("one", more, "more", openai.HANG), b=stream(begin, "two", openai.HANG))
    model_server.script(replies, replies)
    tester = Tester(start())
    tester.send("Why?")
    answers = [tester.app.conversations.answer(side) for side in tester.last.sides]
    following = tester.app.comparisons.follow([answer for answer in answers if answer])
    until(lambda: any(following.pieces(0.1)))
    more.open()
    until(lambda: any(following.pieces(0.1, 0.001)))
    begin.open()
    assert "two" in following.pieces(60.0, 3_600.0)  # the pace is an hour, yet the first words are there
    tester.app.conversations.stop(tester.here)
    tester.settle()
