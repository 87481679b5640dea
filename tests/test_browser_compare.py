"""Two answers side by side in a real browser: the journey, a reload, failures, guests and limits."""

import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from lib.domain.clock import now_ms
from lib.domain.conversation import Turn
from lib.domain.invitations import Terms, new_invitation
from lib.store import schema
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import SOON_MS, Chat, Record, click_together, tab, visit
from tests.support.comparing_page import CHOICES, both, letter_of, preferences, says, side, start_comparing
from tests.support.comparing_page import chat as chat
from tests.support.comparing_page import compare_app as compare_app
from tests.support.comparing_page import record as record
from tests.support.invitation_links import invite
from tests.support.network_cable import cable
from tests.support.openai_server import Gate, status, stream
from tests.support.waiting import ENOUGH_S, until

pytestmark = pytest.mark.browser

# The journey


def test_an_empty_page_asks_for_a_comparison_and_not_for_a_thumb(chat: Chat) -> None:
    expect(chat.text("Ask a question, read both answers and tell us which one is better.")).to_be_visible()
    expect(chat.page.get_by_text("thumb")).to_have_count(0)


def test_a_question_is_answered_twice_and_voted_on(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(*both(says("first words"), says("second words")))
    chat.compare("Question")
    assert {request.body["model"] for request in model.requests} == {"secret-one", "secret-two"}
    for name in CHOICES:
        expect(chat.button(name)).to_be_visible()
    expect(chat.feedback).to_have_count(0)
    chat.button(f"{letter_of(chat, 'second words')} is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    until(lambda: preferences(record, chat) == ["Hidden-test"])
    assert record.names(chat.conversation_id).count("chat_completion") == 2
    assert record.events(None, "exposure") == []
    expect(chat.box).to_be_enabled()


def test_the_conversation_goes_on_from_the_preferred_answer(chat: Chat, model: openai.Server) -> None:
    model.script(*both(says("first words"), says("second words")))
    chat.compare("Question")
    chat.button(f"{letter_of(chat, 'first words')} is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.compare("And then?")
    assert [request.body["messages"][1]["content"] for request in model.requests[2:]] == ["first words"] * 2
    expect(chat.text("Your vote:", exact=False)).to_be_visible()
    expect(chat.page.get_by_role("button", name="Both bad")).to_have_count(1)


def test_a_vote_is_changed_and_explained(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.button("Both good").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)
    chat.button("A is better").click()
    expect(chat.text("What was wrong with B? (optional)")).to_be_visible()
    chat.text("Too long").click()
    until(lambda: "feedback_reason" in record.names(chat.conversation_id))
    chat.button("Send").click()
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.button("Say why").click()
    expect(chat.page.get_by_role("radio", name="Too long").last).to_be_checked()
    votes = record.events(chat.conversation_id, "preference")
    [reason] = record.events(chat.conversation_id, "feedback_reason")
    assert [vote["value"] for vote in votes] == ["tie", votes[1]["metadata"]["left"]]
    assert reason["metadata"]["answer_id"] == votes[1]["metadata"]["right_answer_id"]


def test_a_vote_is_not_needed_to_go_on(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.compare("And then?")
    assert preferences(record, chat) == []


def test_both_stream_at_once_and_stop_ends_both(chat: Chat, model: openai.Server) -> None:
    model.script(*both(stream("first words", openai.HANG), stream("second words", openai.HANG)))
    chat.send("Question")
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text("words")
    expect(chat.stop).to_have_count(1)
    expect(chat.page.get_by_role("button", name="Both bad")).to_have_count(0)
    chat.stop.click()
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text("Stopped")
    chat.idle()
    assert all(request.gone.wait(ENOUGH_S) for request in model.requests)
    expect(chat.button("Try again")).to_be_visible()


def test_a_failed_side_leaves_the_other_and_asks_for_no_vote(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(*both(status(401), says("second words")))
    chat.send("Question")
    expect(chat.button("Try again")).to_be_visible(timeout=SOON_MS)
    chat.idle()
    letter = letter_of(chat, "second words")
    expect(side(chat, letter).get_by_role("button", name="Copy")).to_be_visible()
    for name in CHOICES:
        expect(chat.page.get_by_role("button", name=name)).to_have_count(0)
    chat.button("Try again").click()
    expect(chat.button("Both bad")).to_be_visible(timeout=SOON_MS)
    assert len(model.requests) == 4


def test_regenerate_and_edit_ask_both_again(chat: Chat, model: openai.Server) -> None:
    chat.compare("Question")
    model.script(*both(says("The second try."), says("The second try.")))
    chat.button("Regenerate").click()
    expect_both(chat, "The second try.")
    model.script(*both(says("The third try."), says("The third try.")))
    chat.button("Edit question").click()
    chat.page.get_by_label("Your question").fill("Another question")
    chat.button("Ask again").click()
    expect_both(chat, "The third try.")
    expect(chat.page.get_by_role("region", name="Answer A")).to_have_count(1)
    asked = [request.body["messages"][-1]["content"] for request in model.requests]
    assert asked == ["Question"] * 4 + ["Another question"] * 2


def expect_both(chat: Chat, text: str) -> None:
    """Wait until both newest answers have this text and have ended."""
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(text)
    chat.idle()


def test_a_reason_counts_although_a_new_conversation_follows_at_once(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.button("A is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.idle()
    asked = chat.conversation_id
    click_together(chat.page.get_by_role("radio", name="Too long").last, chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "feedback_reason"


def test_a_question_that_waits_is_asked_when_both_answers_have_ended(chat: Chat, model: openai.Server) -> None:
    gates = Gate(), Gate()
    model.script(*both(says("first", gates[0]), says("second", gates[1])))
    chat.send("Question")
    expect(side(chat, "A")).to_contain_text(re.compile("first|second"))
    chat.send("And then?")
    expect(chat.text("Waits for the answer above")).to_be_visible()
    gates[0].open()
    assert len(model.requests) == 2
    gates[1].open()
    until(lambda: len(model.requests) == 4)
    chat.idle()


# Reload, other tabs, other processes


def test_a_reload_midway_follows_both_and_shows_the_vote_again(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(*both(says("first", gate, " words"), says("second", gate, " words")))
    chat.send("Question")
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(re.compile("first|second"))
    letters = letter_of(chat, "first")
    chat.page.reload()
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(re.compile("first|second"))
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        expect(side(other, "B")).to_contain_text(re.compile("first|second"))
        gate.open()
        for one in (chat, other):
            expect(one.button("Both bad")).to_be_visible(timeout=SOON_MS)
    assert letter_of(chat, "first words") == letters
    chat.button("B is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.page.reload()
    expect(chat.page.locator('button[data-testid="stBaseButton-primary"]', has_text="B is better")).to_be_visible()
    assert len(model.requests) == 2


def test_a_network_that_is_cut_midway_costs_neither_answer_nor_the_vote(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server, record: Record
) -> None:
    model.forget()
    begun, gate = Gate(), Gate()
    model.script(*both(*(says(f"{which} words", begun, " more", gate, " end") for which in ("first", "second"))))
    with cable(compare_app.url) as wire, browser.new_context() as context:
        chat = Chat(context.new_page(), replace(compare_app, url=wire.url))  # its console reports the lost connection
        chat.open()
        chat.send("Question")
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        wire.pull()
        expect(chat.box).to_be_disabled()  # the page has noticed the lost connection
        begun.open()
        wire.plug()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words more", timeout=SOON_MS)
        gate.open()
        expect(chat.button("Both bad")).to_be_visible(timeout=SOON_MS)
        chat.button("A is better").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words more end")
        until(lambda: len(preferences(record, chat)) == 1)
    assert len(model.requests) == 2


def test_a_killed_process_leaves_what_had_arrived_and_another_one_ends_both(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start_comparing(tmp_path / "app", model)
    model.script(*both(stream("first words", openai.HANG), stream("second words", openai.HANG)))
    with visit(browser, app) as chat:
        chat.send("Question")
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        with Record.of(app) as record:
            until(lambda: all(side.answer for side in _turn(record, chat).sides))
        conversation = chat.page.url.partition("?")[2]
        cookies = chat.page.context.cookies()
    app.process.send_signal(signal.SIGKILL)
    app.process.wait()
    again = app_process.start(app.folder, app.environ)
    try:
        with browser.new_context() as context:
            context.add_cookies([{**cookie, "url": again.url, "domain": None, "path": None} for cookie in cookies])
            with tab(context, again, f"/?{conversation}") as chat:
                for letter in "AB":
                    expect(side(chat, letter)).to_contain_text("Interrupted", timeout=4 * SOON_MS)
                    expect(side(chat, letter)).to_contain_text("words")
    finally:
        again.stop()


def _turn(record: Record, chat: Chat) -> Turn:
    with record.store.read() as connection:
        ours = select(schema.conversation.c.visitor_id).where(schema.conversation.c.id == chat.conversation_id)
        owner = str(connection.scalar(ours))
    found = record.store.conversations.get(chat.conversation_id, owner)
    assert found is not None
    return found.turns[-1]


# Guests


def test_guests_of_a_comparing_invitation_compare_and_others_do_not(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start_comparing(tmp_path / "app", model, share=0, PARLEY_ACCESS="invite")
    model.forget()
    try:
        with Record.of(app) as record:
            for name, compares in (("Friday", True), ("Others", False)):
                made = new_invitation(name, Terms(days=7, compare=compares), now_ms())
                link = invite(app, record.store, made)
                with browser.new_context() as context:
                    page = context.new_page()
                    page.goto(link)
                    page.get_by_role("button").click()
                    chat = Chat(page, app)
                    expect(chat.box).to_be_enabled(timeout=SOON_MS)
                    if compares:
                        chat.compare("Question")
                    else:
                        chat.ask("Question")
            exposed = record.events(None, "exposure")
        assert [event["metadata"]["group"] is not None for event in exposed] == [True]
        assert len(model.requests) == 3
    finally:
        app.stop()


# Limits


def test_a_budget_with_room_for_one_answer_starts_no_comparison(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start_comparing(tmp_path / "app", model, PARLEY_BUDGET_ANSWERS_PER_VISITOR="3")
    model.forget()
    try:
        with visit(browser, app) as chat:
            chat.compare("Question")
            chat.send("Once more")
            for letter in "AB":
                expect(side(chat, letter)).to_contain_text("all your answers for today", timeout=SOON_MS)
            chat.idle()
            assert len(model.requests) == 2
    finally:
        app.stop()
