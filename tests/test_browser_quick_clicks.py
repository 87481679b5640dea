"""A click counts even if the next click, which removes the clicked element, comes before the page is redrawn."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, click_together
from tests.support.held_messages import clicks_held
from tests.support.openai_server import HANG, Gate, stream, whole

pytestmark = pytest.mark.browser
DOUBLE_CLICK = "one => { one.click(); setTimeout(() => one.click(), 20); }"
"""Clicks again after 20 ms: the server knows of the first click, and the page is mostly not redrawn yet."""


def test_a_thumb_right_before_a_change_of_version_counts(chat: Chat, model: openai.Server) -> None:
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


def test_a_question_right_after_stop_is_asked(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG), whole("The second answer."))
    with half_answered(chat) as (quick, held):
        with held():
            quick.stop.click()
            quick.send("Second")
        expect(quick.answer).to_contain_text("The second answer.")
        assert model.requests[1].messages == [("user", "First"), ("assistant", "Half"), ("user", "Second")]


def test_stop_right_after_a_question_puts_it_back_into_the_box(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    with half_answered(chat) as (quick, held):
        with held():
            quick.send("Second")
            quick.stop.click()
        expect(quick.text("Stopped")).to_be_visible()
        expect(quick.box).to_have_value("Second")
        quick.idle()
    assert len(model.requests) == 1


@contextmanager
def half_answered(chat: Chat) -> Iterator[tuple[Chat, Callable[[], AbstractContextManager[None]]]]:
    """Yield a second tab with half of its first answer, and a context manager that holds back its clicks."""
    with chat.page.context.new_page() as page, clicks_held(page) as held:
        quick = Chat(page, chat.app)
        quick.open()
        quick.send("First")
        expect(quick.answer).to_contain_text("Half")
        yield quick, held


def test_a_thumb_right_before_a_new_conversation_counts(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    asked = chat.conversation_id
    click_together(chat.thumb(up=True), chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "satisfaction"


def test_a_reason_right_before_a_new_conversation_counts(chat: Chat, record: Record) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.idle()
    asked = chat.conversation_id
    click_together(chat.page.get_by_role("radio", name="Too long").last, chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "feedback_reason"
