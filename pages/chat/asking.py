"""Sending a question from this page: to one group, or to two that are compared."""

import time

import streamlit as st

from lib.domain.prompts import check_prompt, clean_text
from lib.web import running
from pages import entrance, session
from pages.chat.state import on_page

HEAD_START = 0.005
"""Seconds that the page waits before it draws, so that urgent work gets the processor: a question is sent 5 to 10 ms
sooner, and the last words of an answer appear 3 to 5 ms before the buttons below them."""


def problem_with(text: str) -> str | None:
    """Return the sentence that refuses a typed prompt; None for a valid one."""
    return check_prompt(clean_text(text), running.app().settings.max_prompt_chars)


def ask(prompt: str) -> None:
    """Send a question, or let it wait for the running answer."""
    page = on_page()
    if page.waiting or (page.last and page.last.running):
        page.waiting.append(prompt)
    else:
        send(prompt)


def send_waiting() -> None:
    """Send the question that has waited longest. It leaves the queue only when it is sent: a click may interrupt this
    run before that, and then the next run sends it."""
    send(on_page().waiting[0], waited=True)


def send(prompt: str, *, waited: bool = False) -> None:
    """Send a question for the conversation on the page, or begin one. Once access has ended, drop the waiting
    questions instead."""
    page, app, visitor = on_page(), running.app(), session.visitor()
    if entrance.barrier():
        page.waiting = []
        return
    assignment = None
    if page.conversation is None:
        page.unaddressed = True
        assignment = entrance.forced() or app.comparisons.assign(visitor, page.exposed, entrance.invited_to_compare())
        if assignment and assignment.compare:
            page.conversation = app.comparisons.begin(visitor, assignment)
    if page.conversation and app.comparisons.asks(page.here):
        page.conversation = app.comparisons.ask(visitor, page.here, prompt)
    else:
        page.conversation, _ = app.conversations.ask(
            visitor, page.conversation, prompt, page.exposed, assignment=assignment
        )
    if waited:
        del page.waiting[0]
    _finish_sending()


def send_again(prompt: str | None = None) -> None:
    """Send the last question, or a replacement, again. Does nothing while its answer runs, as after the first click of
    a double click, or once access has ended."""
    page, app, visitor = on_page(), running.app(), session.visitor()
    old = page.last
    if entrance.barrier() or (old and old.running):
        return
    if app.comparisons.asks(page.here):
        page.conversation = app.comparisons.ask_again(visitor, page.here, prompt)
    else:
        page.conversation, _ = app.conversations.ask_again(visitor, page.here, page.exposed, prompt)
    _finish_sending()
    if page.last and old and page.last != old:
        page.replaced[page.last.answer_id] = page.replaced.get(old.answer_id, 0) + 1


def _finish_sending() -> None:
    page = on_page()
    page.moved_on()
    page.refused = None
    st.query_params["c"] = page.here.id
    time.sleep(HEAD_START)
