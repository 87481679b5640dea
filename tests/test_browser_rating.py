"""Thumbs, reasons and the clipboard in a real browser: given at any time, stored, shown again, recorded as events."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, tab
from tests.support.openai_server import Gate, stream
from tests.support.waiting import until

pytestmark = pytest.mark.browser
RATED = ("satisfaction", "dissatisfaction", "rating_withdrawn", "feedback_reason")


def votes(record: Record, chat: Chat) -> list[tuple[str, Any]]:
    """Return this conversation's rating events, in order."""
    return [(event["name"], event["value"]) for event in record.events(chat.conversation_id, *RATED)]


def expect_rating_events(record: Record, chat: Chat, *expected: tuple[str, Any]) -> None:
    """Wait until the record has these rating events, and no others."""
    until(lambda: len(votes(record, chat)) >= len(expected))
    assert votes(record, chat) == [*expected]


def test_a_vote_is_stored_within_a_second_and_thanked_for(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=True).click()
    expect_rating_events(record, chat, ("satisfaction", 1))
    expect(chat.text("Saved, thank you")).to_be_visible()
    expect(chat.thumb(up=True)).to_be_checked()
    expect(chat.thumb(up=False)).not_to_be_checked()


def test_a_rating_repeats_the_facts_of_its_answer(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect_rating_events(record, chat, ("dissatisfaction", 1))
    answered, rated = (event["metadata"] for event in record.events(chat.conversation_id))
    assert {name: rated.get(name) for name in answered if name != "event_id"} == {
        name: value for name, value in answered.items() if name != "event_id"
    }
    assert set(rated) - set(answered) == {"rating_delay"}
    assert 0 <= rated["rating_delay"] < 30


def test_a_vote_is_changed_taken_back_and_given_again(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=True).click()
    expect_rating_events(record, chat, ("satisfaction", 1))
    chat.thumb(up=False).click()
    expect_rating_events(record, chat, ("satisfaction", 1), ("dissatisfaction", 1))
    chat.thumb(up=False).click()
    withdrawn = ("rating_withdrawn", "dissatisfaction")
    expect_rating_events(record, chat, ("satisfaction", 1), ("dissatisfaction", 1), withdrawn)
    expect(chat.thumb(up=False)).not_to_be_checked()
    expect(chat.page.get_by_text("Saved, thank you", exact=True)).to_have_count(0)
    chat.thumb(up=True).click()
    expect_rating_events(record, chat, ("satisfaction", 1), ("dissatisfaction", 1), withdrawn, ("satisfaction", 1))
    chat.page.reload()
    expect(chat.thumb(up=True)).to_be_checked()


def test_clicks_in_quick_succession_end_in_what_the_page_shows(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    for up in (True, False, True, False, True, False):
        chat.thumb(up).click()
    chat.send("Next")  # the app carries out all clicks before this
    expect(chat.messages).to_have_count(4)
    expect(chat.feedback).to_have_count(2)
    chat.idle()
    rated = chat.page.get_by_role("radio", name="Thumbs down").first
    expect(rated).to_be_checked()
    assert votes(record, chat)[-1] == ("dissatisfaction", 1)
    chat.page.reload()
    expect(rated).to_be_checked()
    assert votes(record, chat)[-1] == ("dissatisfaction", 1)


def test_after_a_double_click_the_page_shows_what_is_stored(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=True).dblclick()
    chat.ask("Next")  # the app carries out both clicks before this
    rated = chat.page.get_by_role("radio", name="Thumbs up").first
    shown = rated.is_checked()
    last = votes(record, chat)[-1:]
    assert last == [("satisfaction", 1)] if shown else last in ([], [("rating_withdrawn", "satisfaction")])
    chat.page.reload()
    expect(rated).to_be_checked(checked=shown)


def test_a_reason_can_be_given_and_is_shown_again(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    chat.text("Too long").click()
    expect_rating_events(record, chat, ("dissatisfaction", 1), ("feedback_reason", "too_long"))
    comment = chat.page.get_by_role("textbox", name="Anything to add?")
    comment.fill("Half of it would have been enough.")
    comment.press("Enter")
    until(lambda: "enough" in str(list(record.store.events.export(text=True))))
    chat.text("Incomplete").click()
    reasons = ("feedback_reason", "too_long"), ("feedback_reason", "incomplete")
    expect_rating_events(record, chat, ("dissatisfaction", 1), *reasons)
    assert "enough" not in str(record.events(chat.conversation_id))
    chat.page.reload()
    expect(chat.thumb(up=False)).to_be_checked()
    [answered] = [line for line in record.store.events.export(text=True) if _is_event(line, chat, "chat_completion")]
    assert answered["text"]["comment"] == "Half of it would have been enough."


def test_send_keeps_what_stands_there_and_the_panel_opens_again(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect(chat.text("What was wrong? (optional)")).to_be_visible()
    comment = chat.page.get_by_role("textbox", name="Anything to add?")
    comment.fill("Half would do.")
    chat.button("Send").click()
    expect(comment).to_have_count(0)
    expect(chat.text("Saved, thank you")).to_be_visible()
    until(lambda: "Half would do." in str(list(record.store.events.export(text=True))))
    chat.page.reload()
    chat.button("Say why").click()
    expect(comment).to_have_value("Half would do.")


def _is_event(line: dict[str, Any], chat: Chat, name: str) -> bool:
    return bool(line["name"] == name and line["metadata"]["conversation_id"] == chat.conversation_id)


def test_a_thumb_up_asks_for_no_reason(chat: Chat) -> None:
    chat.ask("Question")
    chat.thumb(up=True).click()
    expect(chat.page.get_by_role("textbox", name="Anything to add?")).to_be_visible()
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)


def test_the_reasons_go_with_the_next_question(chat: Chat) -> None:
    chat.ask("First")
    chat.thumb(up=False).click()
    expect(chat.text("Too long")).to_be_visible()
    chat.ask("Second")
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)
    expect(chat.page.get_by_role("radio", name="Thumbs down").first).to_be_checked()


def test_an_old_answer_is_rated_while_another_streams(chat: Chat, model: openai.Server, record: Record) -> None:
    chat.ask("First")
    gate = Gate()
    model.script(stream("The second", gate, " answer.", openai.finish(), openai.usage(10, 5), openai.DONE))
    chat.send("Second")
    expect(chat.answer).to_contain_text("The second")
    chat.thumb(up=True).click()  # the newest thumb on the page, under the first answer
    expect_rating_events(record, chat, ("satisfaction", 1))
    expect(chat.page.get_by_role("radio", name="Thumbs up").first).to_be_checked()
    expect(chat.stop).to_have_count(1)
    gate.open()
    expect(chat.answer).to_contain_text("The second answer.")
    expect(chat.feedback).to_have_count(2)
    chat.idle()
    assert len(model.requests) == 2
    expect(chat.page.get_by_role("radio", name="Thumbs up").first).to_be_checked()
    assert record.names(chat.conversation_id) == ["chat_completion", "satisfaction", "chat_completion"]


def test_an_old_answer_is_explained_while_another_streams(chat: Chat, model: openai.Server, record: Record) -> None:
    chat.ask("First")
    gate = Gate()
    model.script(stream("The second", gate, " answer.", openai.finish(), openai.usage(10, 5), openai.DONE))
    chat.send("Second")
    expect(chat.answer).to_contain_text("The second")
    chat.thumb(up=False).click()
    chat.text("Wrong").click()
    expect_rating_events(record, chat, ("dissatisfaction", 1), ("feedback_reason", "wrong"))
    gate.open()
    expect(chat.answer).to_contain_text("The second answer.")
    chat.idle()
    assert len(model.requests) == 2


def test_a_stopped_answer_with_text_can_be_rated(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(stream("Half", openai.HANG))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    chat.stop.click()
    chat.thumb(up=False).click()
    expect_rating_events(record, chat, ("dissatisfaction", 1))


def test_two_tabs_vote_and_one_rating_remains(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        chat.thumb(up=True).click()
        expect_rating_events(record, chat, ("satisfaction", 1))
        other.thumb(up=True).click()
        other.idle()
        other.thumb(up=False).click()
        until(lambda: votes(record, chat)[-1] == ("dissatisfaction", 1))
    assert [name for name, _ in votes(record, chat)] == ["satisfaction", "dissatisfaction"]
    chat.page.reload()
    expect(chat.thumb(up=False)).to_be_checked()


def test_every_answer_keeps_its_own_vote(chat: Chat, record: Record) -> None:
    for question in ("One", "Two", "Three"):
        chat.ask(question)
    ups, downs = (chat.page.get_by_role("radio", name=f"Thumbs {way}") for way in ("up", "down"))
    ups.nth(0).click()
    downs.nth(2).click()
    expect_rating_events(record, chat, ("satisfaction", 1), ("dissatisfaction", 1))
    turns = [event["metadata"]["turn"] for event in record.events(chat.conversation_id, *RATED)]
    assert turns == [1, 3]
    chat.page.reload()
    expect(ups.nth(0)).to_be_checked()
    expect(ups.nth(1)).not_to_be_checked()
    expect(downs.nth(2)).to_be_checked()


@pytest.mark.parametrize("clipboard", ["allowed", "denied"])
def test_an_answer_is_copied_as_it_was_written(
    clipboard: str, chat: Chat, model: openai.Server, record: Record
) -> None:
    text = "Some **bold** words, `code` and $x$:\n\n- one\n- two"
    model.script(stream(text, openai.finish(), openai.DONE))
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if clipboard == "denied":
        chat.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }")
    chat.ask("Question")
    chat.button("Copy").click()
    expect(chat.page.get_by_role("status").filter(has_text="Copied.")).to_have_count(1)
    assert chat.page.evaluate("navigator.clipboard.readText()") == text
    until(lambda: "copied" in record.names(chat.conversation_id))
    chat.button("Copy").click()
    until(lambda: record.names(chat.conversation_id) == ["chat_completion", "copied", "copied"])


def test_a_finished_answer_is_announced_and_its_words_are_not(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(stream("Word by word", gate, openai.finish(), openai.DONE))
    chat.send("Question")
    expect(chat.answer).to_contain_text("Word by word")
    statuses = chat.page.get_by_role("status")
    expect(statuses.filter(has_text="Word")).to_have_count(0)
    gate.open()
    expect(statuses.filter(has_text="The answer is complete.")).to_have_count(1)
    expect(statuses.filter(has_text="Word")).to_have_count(0)
