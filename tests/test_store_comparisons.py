"""Comparisons in the record: two answers to one question, the vote on them, and the way in which a unit takes part."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import inspect, select, text

from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Comparison, Conversation, Turn
from lib.domain.ids import new_id
from lib.domain.rating import Vote
from lib.store import Store, schema
from lib.store.database import Database, migrate
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
UNIT = Assignment("e", None, "compare", "unit", {"userID": "unit"}, {}, compare=True)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url, deliver=True)) as opened:
        yield opened


def conversation() -> Conversation:
    return Conversation(new_id(), "visitor", UNIT)


def comparison(turn: int = 1, left: str = "A", right: str = "B") -> Comparison:
    ours = new_id()
    one, two = (
        Turn(new_id(), turn, "session", f"model-{group}", now_ms(), "Why?", group=group, comparison_id=ours)
        for group in (left, right)
    )
    return Comparison(ours, one, two, drawn="right")


def finish_sides(store: Store, about: Conversation, compared: Comparison, *texts: str) -> None:
    for side, words in zip(compared.sides, texts, strict=True):
        question, completion = about.question(side), Completion(words, "stop", 1.5, 0.5)
        assert store.conversations.finish(question, completion, events.chat_completion(question, completion)).wait(SOON)


def vote(store: Store, about: Conversation, compared: Comparison, preferred: Vote) -> None:
    left, right = (about.question(side) for side in compared.sides)
    assert store.conversations.vote(compared.id, preferred, events.preference(left, right, preferred, ({}, {}))).wait(
        SOON
    )


def event_values(store: Store, *names: str) -> list[object]:
    return [event["value"] for event in store.events.export() if event["name"] in names]


def test_two_answers_are_one_turn_in_their_order(store: Store) -> None:
    about, compared = conversation(), comparison()
    store.conversations.compare(about, compared, "Why?")
    finish_sides(store, about, compared, "Left.", "Right.")
    stored = store.conversations.get(about.id, "visitor")
    assert stored is not None and stored.assignment.compare
    (turn,) = stored.turns
    assert [(side.group, side.answer, side.model) for side in turn.sides] == [
        ("A", "Left.", "model-A"), ("B", "Right.", "model-B"),
    ]  # fmt: skip
    assert (turn.answer_id, turn.question, turn.answer, turn.running) == (compared.id, "Why?", "Right.", False)


def test_the_events_of_both_answers_name_their_comparison(store: Store) -> None:
    about, compared = conversation(), comparison()
    store.conversations.compare(about, compared, "Why?")
    finish_sides(store, about, compared, "Left.", "Right.")
    about_them = [event["metadata"] for event in store.events.export()]
    assert {one["comparison_id"] for one in about_them} == {compared.id}
    assert [one["group"] for one in about_them] == ["A", "B"]


def test_a_changed_vote_is_reported_again_and_a_repeated_one_is_not(store: Store) -> None:
    about, compared = conversation(), comparison()
    store.conversations.compare(about, compared, "Why?")
    for preferred in ("left", "left", "tie", "both_bad"):
        vote(store, about, compared, preferred)
    assert event_values(store, "preference") == ["A", "tie", "both_bad"]
    stored = store.conversations.get(about.id, "visitor")
    assert stored is not None and stored.turns[0].comparison is not None
    assert stored.turns[0].comparison.vote == "both_bad"


def test_a_vote_stays_as_it_was_once_the_next_question_is_asked(store: Store) -> None:
    about, first = conversation(), comparison()
    store.conversations.compare(about, first, "Why?")
    vote(store, about, first, "left")
    store.conversations.compare(about, comparison(turn=2), "And now?")
    vote(store, about, first, "right")
    assert event_values(store, "preference") == ["A"]


def test_a_comparison_that_was_asked_again_shows_the_new_answers_only(store: Store) -> None:
    about, first, second = conversation(), comparison(), comparison()
    store.conversations.compare(about, first, "Why?")
    assert store.conversations.compare(about, second, "Why?", replaces=[side.answer_id for side in first.sides]).wait(
        SOON
    )
    stored = store.conversations.get(about.id, "visitor")
    assert stored is not None
    assert [turn.answer_id for turn in stored.turns] == [second.id]


def test_a_long_conversation_is_read_in_whole_comparisons(store: Store) -> None:
    about = conversation()
    for turn in range(1, 5):
        store.conversations.compare(about, comparison(turn), "Why?")
    assert store.events.record([]).wait(SOON)
    newest = store.conversations.get(about.id, "visitor", newest=3)
    assert newest is not None and newest.earlier
    assert [(turn.turn, len(turn.sides)) for turn in newest.turns] == [(2, 2), (3, 2), (4, 2)]
    older = store.conversations.get(about.id, "visitor", newest=3, before_turn=2)
    assert older is not None and not older.earlier
    assert [turn.turn for turn in older.turns] == [1]


def test_a_unit_takes_part_in_the_way_that_it_met_first(store: Store) -> None:
    assert store.conversations.participation("e", "unit") is None
    assert not store.conversations.compares("e")
    assert store.conversations.compare(conversation(), comparison(), "Why?").wait(SOON)
    assert (
        store.conversations.participation("e", "unit"),
        store.conversations.compares("e"),
        store.conversations.participation("other", "unit"),
    ) == ("compared", True, None)
    exposed = replace(UNIT, group="A", user_id="other", compare=False)
    assert store.events.record([events.exposure(exposed, "session")]).wait(SOON)
    assert store.conversations.participation("e", "other") == "exposed"


def test_a_forced_group_does_not_count_as_taking_part(store: Store) -> None:
    outside = replace(UNIT, compare=False)
    forced = replace(outside, group="A", forced=True)
    assert store.events.record([events.exposure(one, "session") for one in (forced, outside)]).wait(SOON)
    assert store.conversations.participation("e", "unit") is None


def test_an_answer_that_was_cut_off_keeps_its_group_and_comparison(store: Store, database_url: str) -> None:
    about, compared = conversation(), comparison()
    assert store.conversations.compare(about, compared, "Why?").wait(SOON)
    with closing(Store.open(database_url)) as other:
        with other.read() as connection:
            beats = dict(connection.execute(select(schema.answer.c.answer_id, schema.answer.c.beat_ms)).all())
        taken = [other.conversations.take_over(side.answer_id, beats[side.answer_id]) for side in compared.sides]
    questions = [one[0] for one in taken if one]
    assert [(one.assignment.group, one.comparison_id) for one in questions] == [("A", compared.id), ("B", compared.id)]


def test_erasure_leaves_nothing_of_a_comparison(store: Store) -> None:
    about, compared = conversation(), comparison()
    store.conversations.compare(about, compared, "Why?")
    finish_sides(store, about, compared, "Left.", "Right.")
    vote(store, about, compared, "left")
    store.erase("unit")
    with store.read() as connection:
        for table in (schema.comparison, schema.answer, schema.message, schema.event, schema.outbox):
            assert connection.execute(select(table)).all() == []


def test_the_life_of_an_answer_has_the_vote_on_it(store: Store) -> None:
    about, compared = conversation(), comparison()
    store.conversations.compare(about, compared, "Why?")
    finish_sides(store, about, compared, "Left.", "Right.")
    vote(store, about, compared, "left")
    for side in compared.sides:
        life = store.events.life(side.answer_id)
        assert life is not None
        assert [line.event.name for line in life.lines] == ["chat_completion", "preference"]


def test_an_older_database_gets_the_same_tables(database_url: str) -> None:
    tables = ("answer", "comparison", "invitation")
    back = (
        "DROP TABLE comparison", "ALTER TABLE answer DROP COLUMN comparison_id",
        "ALTER TABLE invitation DROP COLUMN compare",
        "DELETE FROM migration WHERE name IN ('12 comparisons', '13 comparing guests')",
    )  # fmt: skip

    def shapes() -> list[set[tuple[str, str, bool]]]:
        inspector = inspect(database.writer)
        columns = [inspector.get_columns(name) for name in tables]
        return [{(one["name"], str(one["type"]), one["nullable"]) for one in each} for each in columns] + [
            {(str(index["name"]), str(index["column_names"]), True) for index in inspector.get_indexes("comparison")}
        ]

    with closing(Database.open(database_url)) as database:
        fresh = shapes()
        with database.writer.begin() as connection:
            for statement in back:
                connection.execute(text(statement))
        migrate(database.writer)
        assert shapes() == fresh


def test_a_comparison_belongs_to_the_run_in_which_it_was_asked(store: Store) -> None:
    about, compared = conversation(), comparison()
    sides = [replace(side, run=2) for side in compared.sides]
    later = replace(compared, left=sides[0], right=sides[1])
    store.conversations.compare(about, later, "Why?")
    finish_sides(store, about, later, "Left.", "Right.")
    stored = store.conversations.get(about.id, "visitor")
    assert stored is not None and stored.turns[0].comparison is not None
    vote(store, stored, stored.turns[0].comparison, "left")
    assert [event["metadata"]["run"] for event in store.events.export()] == [2, 2, 2]
