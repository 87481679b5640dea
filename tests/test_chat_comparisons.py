"""Comparisons as calls: the units that compare, the two answers to one question, the vote, and the record."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from lib.app import App
from lib.chat.conversations import Exposed
from lib.domain.conversation import Comparison, Conversation, Turn
from lib.domain.ids import new_id
from lib.domain.rating import Vote
from lib.domain.visitor import Visitor
from lib.experiments.evaluator import compile_definitions
from lib.settings import load
from lib.statistics.sums import Scope
from lib.store.preferences import votes_by_pair
from lib.store.schema import spending
from tests.support import openai_server as openai
from tests.support import statsig_server
from tests.support.openai_server import Gate, Reply, finish, status, stream
from tests.support.waiting import ENOUGH_S, until

Start = Callable[..., App]
TOML = """
[statsig_openai_integration]
compare = 100
default = { model = "rest" }
[statsig_openai_integration.groups]
A = { weight = 1, parameters = { model = "model-a", system_prompt = "Be kind." } }
B = { weight = 1, parameters = { model = "model-b" } }
"""
THREE = TOML + 'C = { weight = 1, parameters = { model = "model-c" } }\n'
NOBODY = TOML.replace("compare = 100", "compare = 0")
METADATA = {
    "event_id", "comparison_id", "experiment", "left", "right", "left_answer_id", "right_answer_id", "position",
    "conversation_id", "session_id", "turn", "left_response_time", "right_response_time", "left_time_to_first_token",
    "right_time_to_first_token", "left_completion_tokens", "right_completion_tokens", "left_model", "right_model",
}  # fmt: skip


def visitor(visitor_id: str | None = None) -> Visitor:
    who = visitor_id or new_id()
    return Visitor(who, who, who, new_id())


@pytest.fixture
def start(tmp_path: Path, model_server: openai.Server) -> Iterator[Start]:
    """Open the app, any number of times, on one database."""
    opened: list[App] = []

    def begin(toml: str = TOML, **settings: str) -> App:
        (tmp_path / "experiments.toml").write_text(toml)
        environ = {
            "OPENAI_BASE_URL": model_server.base_url, "DATABASE_URL": f"sqlite:///{tmp_path}/parley.db",
            "PARLEY_EXPERIMENTS_FILE": f"{tmp_path}/experiments.toml", **settings,
        }  # fmt: skip
        opened.append(App.open(load(environ, tmp_path / "none.toml")))
        return opened[-1]

    yield begin
    for app in opened:
        app.close()


class Tester:
    """One session of one visitor, who takes part in the way that the app chooses and waits for every answer."""

    __test__ = False

    def __init__(self, app: App, who: Visitor | None = None, invited: bool = False) -> None:
        self.app, self.visitor, self.invited = app, who or visitor(), invited
        self.exposed: Exposed = set()
        self.conversation: Conversation | None = None

    @property
    def here(self) -> Conversation:
        assert self.conversation
        return self.conversation

    @property
    def last(self) -> Comparison:
        comparison = self.here.turns[-1].comparison
        assert comparison is not None
        return comparison

    @property
    def compares(self) -> bool:
        return self.here.assignment.compare

    def send(self, prompt: str) -> None:
        comparisons, assignment = self.app.comparisons, None
        if self.conversation is None:
            assignment = comparisons.assign(self.visitor, self.exposed, self.invited)
            if assignment and assignment.compare:
                self.conversation = comparisons.begin(self.visitor, assignment)
        if self.conversation and comparisons.asks(self.conversation):
            self.conversation = comparisons.ask(self.visitor, self.conversation, prompt)
        else:
            self.conversation, _ = self.app.conversations.ask(
                self.visitor, self.conversation, prompt, self.exposed, assignment=assignment
            )

    def ask(self, prompt: str) -> None:
        self.send(prompt)
        self.settle()

    def again(self) -> None:
        self.conversation = self.app.comparisons.ask_again(self.visitor, self.here)
        self.settle()

    def settle(self) -> None:
        for side in self.here.turns[-1].sides:
            answer = self.app.conversations.answer(side)
            assert answer is not None
            until(partial(getattr, answer, "completion"))
            answer.seen = True
            self.conversation = self.app.conversations.settle(self.here, answer)

    def vote(self, vote: Vote) -> None:
        self.conversation, _ = self.app.comparisons.vote(self.here, self.here.turns[-1], vote)

    def better(self, group: str) -> Vote:
        return "left" if self.last.left.group == group else "right"


@pytest.fixture
def tester(start: Start) -> Tester:
    return Tester(start())


def events_of(app: App, *names: str) -> list[dict[str, Any]]:
    """Every event of these names, once all that was handed over is written."""
    until(lambda: app.store.queued == 0)
    return [event for event in app.store.events.export() if not names or event["name"] in names]


def by_model(**replies: Reply) -> Callable[[openai.Request], Reply]:
    """The reply for each model, whichever is asked first."""
    return lambda request: replies[request.body["model"].removeprefix("model-")]


def says(text: str) -> Reply:
    return stream(text, finish(), openai.usage(3, 2), openai.DONE)


# Units that compare


def test_units_that_compare_are_asked_twice_and_exposed_never(tester: Tester, model_server: openai.Server) -> None:
    tester.ask("Why?")
    assert sorted(request.body["model"] for request in model_server.requests) == ["model-a", "model-b"]
    assert [event["name"] for event in events_of(tester.app)] == ["chat_completion"] * 2


def test_the_share_of_units_is_the_same_on_every_replica_and_independent_of_the_split(start: Start) -> None:
    half = TOML.replace("compare = 100", "compare = 50")
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
    assert min(groups["A"], groups["B"]) > 60  # another salt than that of groups


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
    app, guest = start(TOML.replace("compare = 100", "compare = 50")), visitor()
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


@pytest.mark.parametrize("toml", [TOML.replace("compare", "allocation = 0\ncompare"), TOML.partition("B = ")[0]])
def test_no_comparison_begins_while_the_experiment_is_paused_or_has_one_group(start: Start, toml: str) -> None:
    tester = Tester(start(toml))
    tester.ask("Why?")
    assert not tester.compares


def test_a_paused_experiment_answers_with_its_default_and_exposes_no_unit(
    start: Start, model_server: openai.Server
) -> None:
    before = Tester(start())
    before.ask("Why?")
    app = start(TOML.replace("compare = 100", "allocation = 0"))
    later = Tester(app, before.visitor)
    later.conversation = app.conversations.get(before.here.id, before.visitor.visitor_id)
    later.ask("And now?")
    assert model_server.requests[-1].body["model"] == "rest"
    assert len(later.here.turns[-1].sides) == 1 and not events_of(app, "exposure")


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


def test_both_answers_run_at_once_and_their_words_come_as_they_do(start: Start, model_server: openai.Server) -> None:
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


# Votes


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
    specs = compile_definitions(TOML)[0] | {"time": 5}
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
    assert tester.app.store.write(lambda connection: None).wait(ENOUGH_S)  # what was handed over before is written, too
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
    assert "two" in following.pieces(60.0, 3_600.0)  # an hour between two pieces, and the first words are there
    tester.app.conversations.stop(tester.here)
    tester.settle()
