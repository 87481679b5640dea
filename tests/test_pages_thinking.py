"""A model's thinking on the chat page: for operators, under the answer, by the rules of its text."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from tests.support import openai_server as openai
from tests.support.openai_server import DONE, chunk, finish, stream, usage
from tests.support.page_runs import open_app, run_page
from tests.support.waiting import ENOUGH_S

Begin = Callable[..., App]
THOUGHT = "The question is easy."
THINKING = stream(chunk({"reasoning_content": THOUGHT}), "42.", finish(), usage(9, 9), DONE)


@pytest.fixture
def begin(tmp_path: Path, model_server: openai.Server) -> Iterator[Begin]:
    with ExitStack() as stack:

        def start(**settings: str) -> App:
            return stack.enter_context(open_app(tmp_path, **({"OPENAI_BASE_URL": model_server.base_url} | settings)))

        yield start


def ask(page: AppTest, text: str) -> AppTest:
    return page.chat_input[0].set_value(text).run()


def unfolded(page: AppTest) -> list[str]:
    """Return the texts that an operator can unfold under the answers."""
    return [text.value.lstrip("\u200b") for fold in page.expander for text in fold.text]


def test_operators_unfold_thinking_and_testers_do_not_see_it(begin: Begin, model_server: openai.Server) -> None:
    begin()
    for operator, expected in ((True, [THOUGHT]), (False, [])):
        model_server.script(THINKING)
        page = ask(run_page(operator=operator), "What is it?")
        assert unfolded(page) == expected
        assert any(part.value.strip() == "42." for part in page.chat_message[-1].markdown)


@pytest.mark.parametrize("kept", ["true", "false"])
def test_thinking_is_stored_where_the_answers_text_is(kept: str, begin: Begin, model_server: openai.Server) -> None:
    app = begin(PARLEY_KEEP_TEXT=kept)
    model_server.script(THINKING)
    page = ask(run_page(), "What is it?")
    conversation = page.session_state["on_page"].conversation
    opened = app.conversations.get(conversation.id, conversation.visitor_id)
    assert opened and [turn.reasoning for turn in opened.turns] == [THOUGHT]
    with app.store.read() as connection:
        stored = connection.exec_driver_sql("SELECT answer, reasoning FROM message").one()
    assert tuple(stored) == (("42.", THOUGHT) if kept == "true" else (None, None))
    assert THOUGHT not in "".join(event["metadata"].__repr__() for event in app.store.events.export())
    assert app.conversations.deletions.delete(conversation.visitor_id).wait(ENOUGH_S)
    with app.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM message").scalar() == 0


def test_thinking_is_not_sent_back(begin: Begin, model_server: openai.Server) -> None:
    begin()
    model_server.script(THINKING)
    ask(ask(run_page(), "What is it?"), "And now?")
    sent = [message["content"] for message in model_server.requests[-1].body["messages"]]
    assert sent == ["What is it?", "42.", "And now?"]


def test_an_answer_that_was_all_thinking_can_be_tried_again(begin: Begin, model_server: openai.Server) -> None:
    begin()
    model_server.script(stream(chunk({"reasoning": THOUGHT}), finish("length"), usage(9, 50), DONE))
    page = ask(run_page(operator=False), "What is it?")
    captions = [caption.value for caption in page.chat_message[-1].caption]
    assert captions == ["The model used up its tokens while thinking. Please try again."]
    assert "Try again" in [button.label for button in page.chat_message[-1].button]
    assert not page.get("feedback")


def test_a_prompt_that_a_filter_stopped_is_not_an_error(begin: Begin, model_server: openai.Server) -> None:
    app = begin()
    filtered = openai.status(400, {"message": "The prompt was filtered", "code": "content_filter"})
    model_server.script(filtered)
    page = ask(run_page(operator=False), "What is it?")
    captions = [caption.value for caption in page.chat_message[-1].caption]
    assert captions == ["The model's content filter stopped this question. Please ask in another way."]
    assert app.store.write(lambda _: None).wait(ENOUGH_S)
    [event] = [event for event in app.store.events.export() if event["name"] == "chat_completion"]
    assert event["value"] == "content_filter" and "error" not in event["metadata"]


def test_the_seconds_are_shown_after_a_while() -> None:
    def script() -> None:
        import time

        import streamlit as st

        from pages.chat.answer_text import THINKING_FOR_S, draw_thinking

        draw_thinking(st.empty(), time.monotonic())
        draw_thinking(st.empty(), time.monotonic() - THINKING_FOR_S)

    first, later = (part.value for part in AppTest.from_function(script, default_timeout=ENOUGH_S).run().markdown)
    assert first == ":shimmer[Thinking]"
    assert re.fullmatch(r":shimmer\[Thinking … ([5-9]|\d\d+) s\]", later)
