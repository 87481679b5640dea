"""A model that thinks before it answers, on the page: testers read "Thinking", operators find the time."""

import re

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record
from tests.support.openai_server import DONE, Gate, chunk, finish, stream, usage

pytestmark = pytest.mark.browser
SETTINGS = {"PARLEY_OPERATOR_TOKEN": "a-token-of-the-tests"}
"""With an operator token set, a browser on this machine is a tester's."""


def test_the_page_says_that_it_thinks_and_after_a_while_for_how_long(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(stream(chunk({"reasoning_content": "Hm."}), gate, "The answer is 42.", finish(), usage(9, 9), DONE))
    chat.send("What is the answer?")
    expect(chat.answer).to_have_text(re.compile(r"Thinking … ([5-9]|\d\d+) s$"))
    assert "Hm." not in chat.page.content()
    gate.open()
    chat.idle()
    expect(chat.answer).to_contain_text("The answer is 42.")
    expect(chat.answer).not_to_contain_text("Thinking")
    assert "Hm." not in chat.page.content()


def test_text_that_turns_out_to_be_thinking_goes_from_the_page(
    chat: Chat, model: openai.Server, record: Record
) -> None:
    gate = Gate()
    model.script(stream("First I look.\n\n", "Then I see.", gate, "\n</think>\n\n", "It is 42.", finish(), DONE))
    chat.send("What is it?")
    expect(chat.answer).to_contain_text("Then I see.")
    gate.open()
    chat.idle()
    expect(chat.answer).to_contain_text("It is 42.")
    expect(chat.answer).not_to_contain_text("I see")
    expect(chat.answer).not_to_contain_text("I look")
    chat.ask("And then?")
    assert [message["content"] for message in model.requests[-1].body["messages"]] == [
        "What is it?", "It is 42.", "And then?",
    ]  # fmt: skip
    chat.page.reload()
    expect(chat.messages.nth(1)).to_contain_text("It is 42.")
    assert "I look" not in chat.page.content()
    facts = record.events(chat.conversation_id, "chat_completion")[0]["metadata"]
    assert facts["reasoning_time"] > 0 and "reasoning" not in facts
