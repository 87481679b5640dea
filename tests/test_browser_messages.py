"""The elements around a message's text: a fold, the language of its code, its time, its end."""

import re
from functools import partial

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import AT_REST, PHONE, Chat
from tests.support.openai_server import RESET, Gate, stream, whole
from tests.support.waiting import until

pytestmark = pytest.mark.browser

IN_SIGHT = "one => one.checkVisibility({ opacityProperty: true, visibilityProperty: true })"
CODE = "```python\nprint('a line')\n```\n\n```\nplain\n```\n"


def test_a_long_question_is_folded_after_twelve_lines(chat: Chat) -> None:
    chat.ask("\n".join(f"Line {number}" for number in range(30)))
    text = chat.messages.first.get_by_test_id("stText")
    until(lambda: (box := text.bounding_box()) and box["height"] < 330)
    chat.button("Show all").click()
    expect(chat.button("Show less")).to_be_visible()
    until(lambda: (box := text.bounding_box()) and box["height"] > 600)
    for lines, folded in ((12, 0), (13, 1)):
        chat.ask("\n".join(f"Line {number}" for number in range(lines)))
        expect(chat.page.get_by_role("button", name="Show all")).to_have_count(folded)


def test_code_has_its_language_and_a_copy_button_in_sight(chat: Chat, model: openai.Server) -> None:
    model.script(whole(CODE))
    chat.ask("Code?")
    blocks = chat.answer.get_by_test_id("stCode")
    expect(blocks.first).to_have_attribute("data-language", "python")
    expect(blocks.last).to_have_attribute("data-language", "")
    chat.box.hover()
    for block in blocks.all():
        until(partial(block.get_by_role("button", name="Copy to clipboard").evaluate, IN_SIGHT))
        expect(block.locator("pre")).to_have_attribute("tabindex", "0")


def test_times_are_shown_on_hover(chat: Chat) -> None:
    chat.ask("When?")
    shown = "one => getComputedStyle(one, '::after').opacity"
    for message in (chat.messages.first, chat.messages.last):
        expect(message).to_have_attribute("data-time", re.compile(r"\d:\d\d"))
        chat.box.hover()
        chat.page.wait_for_function(f"([one]) => ({shown})(one) === '0'", arg=[message.element_handle()])
        message.hover()
        chat.page.wait_for_function(f"([one]) => ({shown})(one) === '1'", arg=[message.element_handle()])


def test_an_answer_that_broke_off_has_an_icon_and_a_colour(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", RESET))
    chat.send("Go")
    words = chat.text("Interrupted")
    expect(words).to_have_css("color", "rgb(138, 75, 0)")
    until(lambda: "warning" in words.evaluate("one => getComputedStyle(one, '::before').content"))


def test_stop_stands_where_send_was_and_nothing_moves(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("Half", gate, " and whole."))
    chat.idle()
    chat.box.evaluate(AT_REST)
    send, box = chat.page.get_by_test_id("stChatInputSubmitButton"), chat.box.bounding_box()
    place = send.bounding_box()
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    assert place
    until(lambda: (now := chat.stop.bounding_box()) and all(abs(place[side] - now[side]) < 2 for side in ("x", "y")))
    until(lambda: chat.box.bounding_box() == box)
    expect(send).to_be_hidden()
    gate.open()
    chat.idle()
    expect(send).to_be_visible()


def test_on_a_phone_actions_are_icons_with_names_and_new_is_at_the_top(chat: Chat) -> None:
    size = chat.page.viewport_size
    chat.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    try:
        chat.ask("Hello?")
        until(lambda: (copy := chat.button("Copy").bounding_box()) and 24 <= copy["width"] < 60)
        expect(chat.answer.get_by_test_id("stChatMessageAvatarCustom")).to_be_hidden()
        field = chat.page.get_by_test_id("stChatInput")
        until(lambda: (ask := field.bounding_box()) and PHONE[1] - (ask["y"] + ask["height"]) < 20)
        chat.page.get_by_role("button", name="New", exact=True).click()
        expect(chat.messages).to_have_count(0)
    finally:
        assert size
        chat.page.set_viewport_size(size)


def test_answers_that_were_replaced_can_be_looked_at_and_keep_their_votes(chat: Chat, model: openai.Server) -> None:
    model.script(whole("The first try."), whole("The second try."), whole("The third."))
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect(chat.thumb(up=False)).to_be_checked()
    chat.idle()
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("The second try.")
    chat.idle()
    chat.thumb(up=True).click()
    expect(chat.thumb(up=True)).to_be_checked()
    for reloaded in (False, True):
        if reloaded:
            chat.page.reload()
        expect(chat.text("2/2")).to_be_visible()
        expect(chat.button("Later version")).to_be_disabled()
        chat.button("Earlier version").click()
        expect(chat.answer).to_contain_text("The first try.")
        expect(chat.text("1/2")).to_be_visible()
        expect(chat.thumb(up=False)).to_be_checked()
        expect(chat.page.get_by_role("button", name="Regenerate")).to_have_count(0)
        chat.button("Later version").click()
        expect(chat.answer).to_contain_text("The second try.")
        expect(chat.thumb(up=True)).to_be_checked()
    chat.ask("And then?")
    assert [one["content"] for one in model.requests[-1].body["messages"]][-3:] == [
        "Question",
        "The second try.",
        "And then?",
    ]
