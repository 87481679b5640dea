"""Conversations in the record, on both databases: questions, answers, ratings, their text, and ended processes."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from lib import store
from lib.domain import events
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.domain.ids import new_id
from lib.store import Store, schema
from tests.support.stored_answers import (
    ASSIGNMENT,
    SOON,
    WHOLE,
    OpenStore,
    answer,
    ask,
    ask_and_answer,
    conversation,
    event_names,
    fall_silent,
    question,
    reread,
    vote,
)

# A question and its answer


def test_a_question_is_there_with_its_conversation_and_exposure(parley: Store) -> None:
    about = conversation()
    met = events.exposure(ASSIGNMENT, "session")
    asked = ask(parley, about, "Why is\n the sky blue?", exposure=met)
    stored = reread(parley, about)
    (turn,) = stored.turns
    assert (stored.title, stored.assignment) == ("Why is the sky blue?", ASSIGNMENT)
    assert (turn.answer_id, turn.turn, turn.question, turn.running) == (
        asked.answer_id,
        1,
        "Why is\n the sky blue?",
        True,
    )
    assert stored.question(turn) == asked
    assert list(parley.events.export()) == [met.wire()]
    with parley.read() as connection:
        (row,) = connection.execute(select(schema.exposure))
    assert (row.experiment, row.user_id, row.grp, row.forced, row.time_ms) == (
        "greeting",
        "user",
        "Test",
        False,
        met.time_ms,
    )


def test_an_answer_ends_once(parley: Store) -> None:
    asked = ask(parley, conversation())
    first = answer(parley, asked)
    answer(parley, asked, replace(WHOLE, text="Another.", finish_reason="interrupted"))
    (turn,) = reread(parley, asked).turns
    assert (turn.answer, turn.finish_reason, turn.time_ms) == ("The whole answer.", "stop", first.time_ms)
    assert turn.facts == first.metadata == parley.conversations.completed(asked.answer_id)
    assert list(parley.events.export()) == [first.wire()]


def test_an_answer_whose_question_was_refused_is_recorded_without_it(parley: Store) -> None:
    about = conversation()
    asked = ask(parley, about)
    refused = replace(asked, answer_id=new_id(), turn=2)
    answer(parley, refused)
    turns = reread(parley, about).turns
    assert [(turn.question, turn.answer) for turn in turns] == [("Why?", None), (None, "The whole answer.")]


def test_an_answer_without_known_times_has_none(parley: Store) -> None:
    asked = ask(parley, conversation())
    answer(parley, asked, Completion("", "error", float("nan"), error="ProcessEnded", message="It broke."))
    (turn,) = reread(parley, asked).turns
    assert (turn.error, turn.message) == ("ProcessEnded", "It broke.")
    with parley.read() as connection:
        assert connection.scalar(select(schema.answer.c.response_time)) is None


def test_a_running_answer_shows_its_text_so_far(parley: Store) -> None:
    asked = ask(parley, conversation())
    parley.conversations.partial(asked.answer_id, "The wh")
    assert parley.conversations.partial(asked.answer_id, "The whole").wait(SOON)
    assert reread(parley, asked).turns[0].answer == "The whole"
    answer(parley, asked)
    assert parley.conversations.partial(asked.answer_id, "too late").wait(SOON)
    assert reread(parley, asked).turns[0].answer == "The whole answer."


def test_text_that_no_database_holds_is_cleaned_and_the_rest_kept(parley: Store) -> None:
    asked = ask(parley, conversation(), "a\x00b\ud800c 😀 \u202e")
    answer(parley, asked, replace(WHOLE, text="x\x00y\udfff", served_model="m\x00\ud800" + "n" * 300, message="\x00"))
    (turn,) = reread(parley, asked).turns
    assert (turn.question, turn.answer) == ("abc 😀 \u202e", "xy")
    assert [line["name"] for line in parley.events.export(text=True)] == ["chat_completion"]


def test_names_longer_than_their_columns_are_cut(parley: Store) -> None:
    about = conversation()
    asked = replace(question(about), model="m" * 300)
    assert parley.conversations.ask(about, asked, "Why?").wait(SOON)
    assert reread(parley, about).turns[0].model == "m" * 128


def test_a_replaced_answer_is_kept_and_not_shown(parley: Store) -> None:
    about = conversation()
    first = ask_and_answer(parley, about)
    second = ask(parley, about, replaces=[first.answer_id], also=[events.signal(first, "regenerated")])
    assert [turn.answer_id for turn in reread(parley, about).turns] == [second.answer_id]
    assert event_names(parley) == ["chat_completion", "regenerated"]
    assert parley.conversations.completed(first.answer_id) is not None


def test_a_conversation_is_its_visitors_alone(parley: Store) -> None:
    about = conversation()
    ask(parley, about)
    assert parley.conversations.get(about.id, "somebody else") is None
    assert parley.conversations.get("unknown", "visitor") is None


def test_long_conversations_open_at_their_end(parley: Store) -> None:
    about = conversation()
    for turn in range(1, 8):
        ask(parley, about, turn=turn)
    newest = parley.conversations.get(about.id, "visitor", newest=3)
    assert newest and [turn.turn for turn in newest.turns] == [5, 6, 7] and newest.earlier
    older = parley.conversations.get(about.id, "visitor", newest=4, before_turn=5)
    assert older and [turn.turn for turn in older.turns] == [1, 2, 3, 4] and not older.earlier


def test_conversations_come_last_used_first(parley: Store) -> None:
    first, second = conversation(), conversation()
    for about in (first, second, conversation("somebody else")):
        ask(parley, about)
        time.sleep(0.002)
    assert [one.id for one in parley.conversations.of("visitor", 9)] == [second.id, first.id]
    ask(parley, first, turn=2)
    assert [one.id for one in parley.conversations.of("visitor", 9)] == [first.id, second.id]
    assert [one.id for one in parley.conversations.of("visitor", 1)] == [first.id]


def test_without_stored_text_only_numbers_are_kept(open_store: OpenStore) -> None:
    silent = open_store(keep_text=False)
    asked = ask_and_answer(silent, prompt="A secret")
    vote(silent, asked, "dissatisfaction")
    assert silent.conversations.give_reason(asked.answer_id, "wrong", "secret too", None).wait(SOON)
    assert silent.conversations.rename(asked.conversation_id, "visitor", "secret").wait(SOON)
    stored = reread(silent, asked)
    (turn,) = stored.turns
    assert (stored.title, turn.question, turn.answer, turn.comment) == (None, None, None, None)
    assert (turn.rating, turn.reason, turn.facts["total_tokens"]) == ("dissatisfaction", "wrong", 8)


# Ratings


def test_a_rating_is_stored_and_reported(parley: Store) -> None:
    asked = ask_and_answer(parley)
    vote(parley, asked, "satisfaction")
    assert reread(parley, asked).turns[0].rating == "satisfaction"
    assert sorted(event_names(parley)) == ["chat_completion", "satisfaction"]


def test_the_same_rating_again_is_neither_written_nor_reported(parley: Store, open_store: OpenStore) -> None:
    asked = ask_and_answer(parley)
    other_tab = open_store(deliver=True)
    for clicked in (parley, parley, other_tab):
        vote(clicked, asked, "satisfaction")
    assert sorted(event_names(parley)) == ["chat_completion", "satisfaction"]


def test_two_tabs_that_vote_at_once_are_reported_once(parley: Store, open_store: OpenStore) -> None:
    asked = ask_and_answer(parley)
    with ThreadPoolExecutor(4) as tabs:
        list(tabs.map(lambda tab: vote(tab, asked, "satisfaction"), [open_store() for _ in range(4)]))
    assert sorted(event_names(parley)) == ["chat_completion", "satisfaction"]


def test_a_changed_rating_loses_the_reason_of_the_earlier_one(parley: Store) -> None:
    asked = ask_and_answer(parley)
    vote(parley, asked, "dissatisfaction")
    assert parley.conversations.give_reason(asked.answer_id, "wrong", "It is green.", None).wait(SOON)
    vote(parley, asked, "satisfaction")
    (turn,) = reread(parley, asked).turns
    assert (turn.rating, turn.reason, turn.comment) == ("satisfaction", None, None)


def test_a_withdrawn_rating_names_the_stored_one(parley: Store) -> None:
    asked = ask_and_answer(parley)
    vote(parley, asked, "dissatisfaction")
    vote(parley, asked, None, seen="satisfaction")
    vote(parley, asked, None)
    last = list(parley.events.export())[-1]
    assert (last["name"], last["value"]) == ("rating_withdrawn", "dissatisfaction")
    assert reread(parley, asked).turns[0].rating is None and len(event_names(parley)) == 3


def test_a_rating_of_an_unknown_answer_is_not_reported(parley: Store) -> None:
    vote(parley, question(conversation()), "satisfaction")
    assert event_names(parley) == []


def test_a_reason_is_reported_once_and_its_comment_stays_here(parley: Store) -> None:
    asked = ask_and_answer(parley)
    reason_event = events.feedback_reason(asked, {}, "wrong")
    for comment in ("It is", "It is green."):
        assert parley.conversations.give_reason(asked.answer_id, "wrong", comment, reason_event).wait(SOON)
    (turn,) = reread(parley, asked).turns
    assert (turn.reason, turn.comment) == ("wrong", "It is green.")
    assert event_names(parley) == ["chat_completion", "feedback_reason"]
    assert "green" not in str(list(parley.events.export()))


# Conversations and their text


def test_a_conversation_can_be_renamed_by_its_owner(parley: Store) -> None:
    about = conversation()
    ask(parley, about)
    parley.conversations.rename(about.id, "somebody else", "Stolen")
    assert parley.conversations.rename(about.id, "visitor", "Colours").wait(SOON)
    assert reread(parley, about).title == "Colours"


def test_a_deleted_conversation_leaves_its_numbers_and_events(parley: Store) -> None:
    gone, staying, foreign = conversation(), conversation(), conversation("somebody else")
    asked = ask_and_answer(parley, gone)
    ask(parley, staying)
    ask(parley, foreign)
    assert parley.conversations.delete("visitor", foreign.id).wait(SOON)
    assert parley.conversations.delete("visitor", gone.id).wait(SOON)
    assert parley.conversations.get(gone.id, "visitor") is None
    assert [one.id for one in parley.conversations.of("visitor")] == [staying.id]
    assert reread(parley, foreign, "somebody else").turns[0].question == "Why?"
    assert parley.conversations.completed(asked.answer_id) is not None
    assert parley.conversations.delete("visitor").wait(SOON) and parley.conversations.of("visitor") == []


def test_a_title_goes_with_the_question_that_it_was_made_from(parley: Store) -> None:
    about = conversation()
    ask_and_answer(parley, about)
    parley.written(lambda connection: connection.execute(update(schema.message).values(asked_ms=1)), SOON)
    parley.written(lambda connection: connection.execute(update(schema.conversation).values(created_ms=1)), SOON)
    ask(parley, about, "And now?", turn=2)  # the conversation is still in use
    assert parley.purge(days=1) == 1
    stored = reread(parley, about)
    assert stored.title is None and [turn.question for turn in stored.turns] == ["And now?"]


def test_signed_out_sessions_and_deletions_are_forgotten_in_time(parley: Store) -> None:
    def age(table: Any, days: float) -> None:
        earlier = now_ms() - round(days * DAY_MS)
        parley.written(lambda connection: connection.execute(update(table).values(time_ms=earlier)), SOON)

    gone = conversation()
    ask(parley, gone)
    parley.conversations.delete("visitor", gone.id).wait(SOON)
    parley.guests.end_sessions(["first"])
    age(schema.deletion, 0.9)
    age(schema.sign_out, 39.9)
    parley.purge(days=90)
    parley.guests.end_sessions(["second"])
    assert parley.guests.session_ended("first") and parley.conversations.deletions(0) == {gone.id: "visitor"}
    age(schema.deletion, 1.1)
    age(schema.sign_out, 40.1)
    parley.purge(days=90)
    parley.guests.end_sessions(["third"])
    assert not parley.guests.session_ended("first") and parley.guests.session_ended("third")
    assert parley.conversations.deletions(0) == {}


def test_old_text_is_deleted_piece_by_piece_and_the_numbers_stay(
    parley: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PIECE", 2)
    old, new, long = conversation(), conversation(), conversation()
    for turn in range(1, 6):
        ask_and_answer(parley, old, turn=turn)
    ask(parley, long)
    ask(parley, new)
    month_ago = now_ms() - 30 * 86_400_000

    def age(connection: Any) -> None:
        aged = schema.message.c.conversation_id.in_([old.id, long.id])
        connection.execute(update(schema.message).where(aged).values(asked_ms=month_ago))
        connection.execute(
            update(schema.conversation).where(schema.conversation.c.id == old.id).values(updated_ms=month_ago)
        )

    assert parley.write(age).wait(SOON)
    ask(parley, long, turn=2)
    assert parley.purge(29) == 7
    assert parley.conversations.get(old.id, "visitor") is None
    assert [turn.turn for turn in reread(parley, long).turns] == [2]
    assert reread(parley, new).turns[0].question == "Why?"
    assert event_names(parley) == ["chat_completion"] * 5


# Answers of ended processes


def test_an_answer_of_an_ended_process_goes_to_exactly_one_other(parley: Store, open_store: OpenStore) -> None:
    asked = [ask(parley, conversation()) for _ in range(6)]
    assert parley.conversations.partial(asked[0].answer_id, "The wh").wait(SOON)
    answer(parley, asked[5])
    fall_silent(parley)
    others = [open_store() for _ in range(3)]
    with ThreadPoolExecutor(3) as processes:
        taken = [
            one for some in processes.map(lambda other: other.conversations.recover(30_000), others) for one in some
        ]
    assert sorted(one.answer_id for one, _ in taken) == sorted(one.answer_id for one in asked[:5])
    assert {one.answer_id: text for one, text in taken}[asked[0].answer_id] == "The wh"
    assert all(one in asked for one, _ in taken)


def test_an_answer_with_a_recent_heartbeat_or_of_this_process_is_left_alone(
    parley: Store, open_store: OpenStore
) -> None:
    ask(parley, conversation())
    assert open_store().conversations.recover(30_000) == []
    fall_silent(parley)
    assert parley.conversations.recover(30_000) == []


def test_after_an_outage_silent_answers_are_given_time(tmp_path: Path) -> None:
    file = tmp_path / "parley.db"
    running, other, later = (Store.open(f"sqlite:///{file}") for _ in range(3))
    asked = ask(running, conversation())
    fall_silent(running)
    file.rename(tmp_path / "away.db")
    meanwhile = other.events.record([events.signal(asked, "copied")])
    assert not meanwhile.wait(0.1)
    (tmp_path / "away.db").rename(file)
    assert meanwhile.wait(SOON)
    assert other.conversations.recover(30_000) == []
    assert [one.answer_id for one, _ in later.conversations.recover(30_000)] == [asked.answer_id]
    assert all(one.close() for one in (running, other, later))


def test_a_process_that_lost_an_answer_writes_no_more_into_it(parley: Store, open_store: OpenStore) -> None:
    asked = ask(parley, conversation())
    fall_silent(parley)
    ((_, text),) = open_store().conversations.recover(30_000)
    assert parley.conversations.partial(asked.answer_id, "late").wait(SOON)
    assert text == "" and reread(parley, asked).turns[0].answer is None


def test_an_answer_is_recovered_although_its_conversation_was_deleted(parley: Store, open_store: OpenStore) -> None:
    asked = ask(parley, conversation())
    assert parley.conversations.delete("visitor").wait(SOON)
    fall_silent(parley)
    ((recovered, text),) = open_store().conversations.recover(30_000)
    assert (recovered.answer_id, recovered.assignment.group, text) == (asked.answer_id, "Test", "")
