"""A click counts although the next one, which takes its place off the page, comes before the page is drawn again."""

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, click_together
from tests.support.openai_server import Gate, whole

pytestmark = pytest.mark.browser
DOUBLE_CLICK = "one => { one.click(); setTimeout(() => one.click(), 20); }"
"""The second click comes when the server knows of the first, and mostly before the page is drawn again."""


def test_a_thumb_and_another_version(chat: Chat, model: openai.Server) -> None:
    model.script(whole("The first try."), whole("The second try."))
    chat.ask("Question")
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("The second try.")
    chat.idle()
    click_together(chat.thumb(up=True), chat.button("Earlier version"))
    expect(chat.answer).to_contain_text("The first try.")
    chat.button("Later version").click()
    expect(chat.answer).to_contain_text("The second try.")
    expect(chat.thumb(up=True)).to_be_checked()


def test_a_double_click_asks_again_once(chat: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(whole("The first try."), whole("The second", gate, " try."), whole("The third try."))
    chat.ask("Question")
    chat.button("Regenerate").evaluate(DOUBLE_CLICK)
    expect(chat.answer).to_contain_text("The second")
    gate.open()
    expect(chat.answer).to_contain_text("The second try.")
    chat.idle()
    assert record.names(chat.conversation_id) == ["chat_completion", "regenerated", "chat_completion"]


def test_a_thumb_and_a_new_conversation(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    asked = chat.conversation_id
    click_together(chat.thumb(up=True), chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "satisfaction"


def test_a_reason_and_a_new_conversation(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.idle()
    asked = chat.conversation_id
    click_together(chat.page.get_by_role("radio", name="Too long").last, chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "feedback_reason"
