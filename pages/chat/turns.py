"""One question and its answer on the page, running or ended, and a tester's actions on them."""

import time
from collections.abc import Callable
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lib.chat.generation import Answer
from lib.chat.markdown import as_one
from lib.chat.rescue import LOOK_EVERY
from lib.domain.budget import until_ms
from lib.domain.clock import now_ms
from lib.domain.completion import NO_MODEL, OPERATORS_KNOW, TELL_OPERATORS
from lib.domain.conversation import Turn
from lib.domain.prompts import clean_text
from lib.domain.record import StoreError
from lib.web import running
from lib.web.patches import connected
from pages import entrance, session
from pages.chat.answer_text import GrowingText, as_typed, draw_answer, draw_thinking
from pages.chat.asking import ask, problem_with, send_again
from pages.chat.details import draw_details
from pages.chat.feedback import draw_reasons, draw_thanks, draw_thumbs
from pages.chat.state import on_page
from pages.clock import reader_zone

PACE = 0.045
"""Seconds between two updates of a growing answer; the last one never waits."""
CROWD = 0.002
"""Seconds that every running answer beyond 20 adds to that. Updates are half of a replica's work, and a quick first
word matters more than the smooth growth of fifty answers."""
ENDS = {
    "length": "Cut off at the length limit.",
    "content_filter": "Cut off by the model's content filter.",
    "tool_calls": "The model asked for a tool, which this chat does not have.",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
}
FOLDED_LINES, LINE_CHARS = 12, 80
"""Lines after which a long question is folded, and the characters that fill one."""


def draw(turn: Turn, last: bool, outdated: bool = False) -> None:
    """Draw an ended turn. `outdated`: it was the last one until now, and the last turn's elements must disappear at
    once, not when the answer below it has ended."""
    at = on_page().version(turn)
    shown = (*turn.versions, turn)[at]
    draw_question(shown)
    with answer_place(turn):
        draw_answer(shown)
        draw_end(shown, last and shown is turn, outdated, of=turn)


def answer_place(turn: Turn) -> DeltaGenerator:
    """Return the container of an answer, one element further down for each answer that this one replaced.

    At the place of the replaced message the browser would show that message's text until the run ends.
    """
    for _ in range(on_page().replaced.get(turn.answer_id, 0)):
        st.empty()
    return st.chat_message("assistant", avatar=":material/forum:")


def draw_question(turn: Turn) -> None:
    """Draw the question exactly as it was typed."""
    with st.chat_message("user", avatar=":material/person:"):
        if on_page().editing == turn.answer_id:
            _draw_editor(turn)
            return
        if turn.question is None:
            st.text("This text is no longer kept.", width="stretch")
        elif _lines(turn.question) <= FOLDED_LINES:
            st.text(as_typed(turn.question), width="stretch")
        else:
            _draw_long(turn, turn.question)


def _lines(text: str) -> int:
    """
    >>> _lines("a"), _lines("a\\n\\nb"), _lines("a" * 81)
    (1, 3, 2)
    """
    return sum(max(1, -(-len(line) // LINE_CHARS)) for line in text.split("\n"))


def _draw_long(turn: Turn, question: str) -> None:
    """Draw a long question folded, until the reader unfolds it."""
    unfolded = on_page().unfolded
    folded = turn.answer_id not in unfolded
    with st.container(key=f"{'folded' if folded else 'unfolded'}_{turn.answer_id}"):
        st.text(as_typed(question), width="stretch")
    st.button(
        "Show all" if folded else "Show less", icon=f":material/{'expand_more' if folded else 'expand_less'}:",
        type="tertiary", key=f"fold_{turn.answer_id}", on_click=unfolded.add if folded else unfolded.discard,
        args=(turn.answer_id,),
    )  # fmt: skip


def draw_waiting(prompts: list[str]) -> None:
    """Draw the questions that wait for the running answer, each with a way to take it back."""
    for at, prompt in enumerate(prompts):
        with st.chat_message("user", avatar=":material/schedule:"):
            st.text(as_typed(prompt), width="stretch")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption("Waits for the answer above", width="content")
                for label, icon, back in (("Edit", "edit", True), ("Remove", "close", False)):
                    st.button(
                        label,
                        icon=f":material/{icon}:",
                        type="tertiary",
                        key=f"waiting_{icon}_{at}",
                        on_click=_take_back,
                        args=(at, prompt, back),
                    )
    for _ in range(on_page().taken_back):  # otherwise the browser would keep the old elements until the run ends
        st.empty()


def _take_back(at: int, prompt: str, into_the_box: bool) -> None:
    """Remove a waiting question, unless it was sent meanwhile."""
    page = on_page()
    if page.waiting[at : at + 1] != [prompt]:
        return
    del page.waiting[at]
    page.taken_back += 1
    if into_the_box:
        page.hand_back(prompt)


def _draw_editor(turn: Turn) -> None:
    with st.form(f"editor_{turn.answer_id}", border=False):
        text = st.text_area("Your question", turn.question or "", key=_edited(turn), label_visibility="collapsed")
        with st.container(horizontal=True):
            sent = st.form_submit_button("Ask again", type="primary", on_click=_send_edited, args=(turn,))
            st.form_submit_button("Cancel", type="tertiary", on_click=setattr, args=(on_page(), "editing", None))
    if sent and (problem := problem_with(text)):
        st.warning(problem)


def _edited(turn: Turn) -> str:
    return f"edited_{turn.answer_id}"


def _send_edited(turn: Turn) -> None:
    """Ask the edited question, unless it is refused or another one was sent meanwhile."""
    page, text = on_page(), st.session_state.get(_edited(turn)) or ""
    if page.editing == turn.answer_id and not problem_with(text):
        page.editing = None
        send_again(clean_text(text))


def _draw_versions(turn: Turn) -> None:
    """Draw the way to the versions of an answer that was asked for again."""
    at, most, versions = on_page().version(turn), len(turn.versions), on_page().versions
    with st.container(horizontal=True, width="content", vertical_alignment="center", gap=None):
        for label, icon, to in (
            ("Earlier version", "chevron_left", at - 1),
            ("Later version", "chevron_right", at + 1),
        ):
            if icon == "chevron_right":
                st.caption(f"{at + 1}/{most + 1}", width="content")
            st.button(
                label,
                icon=f":material/{icon}:",
                type="tertiary",
                disabled=not 0 <= to <= most,
                key=f"version_{icon}_{turn.answer_id}",
                on_click=versions.__setitem__,
                args=(turn.answer_id, to),
            )


def draw_end(turn: Turn, last: bool, outdated: bool = False, of: Turn | None = None) -> None:
    """Draw the end of an answer: its finish reason where that needs a word, and the actions on it."""
    if turn.reasoning and session.sees_details():
        draw_reasoning(turn)
    draw_ending(turn)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"acts_{turn.answer_id}"):
        if of and of.versions:
            _draw_versions(of)
        if turn.answer:
            draw_thumbs(turn)
            if turn.rating and on_page().explaining != turn.answer_id:
                draw_button("Say why", "rate_review", turn, setattr, on_page(), "explaining", turn.answer_id)
            draw_button("Copy", "content_copy", turn)  # the click writes (pages/browser/clipboard.js)
        if session.sees_details():
            draw_details(turn, on_page().here.assignment.group)
        if turn.question and turn.finish_reason in ("stopped", "interrupted", "error", "limited"):
            draw_button("Try again", "refresh", turn, *((send_again,) if last else (ask, turn.question)))
        elif turn.question and last:
            draw_button("Regenerate", "refresh", turn, send_again)
        elif outdated:
            st.empty()
        if turn.question and last:
            draw_button("Edit question", "edit", turn, setattr, on_page(), "editing", turn.answer_id)
        elif outdated:
            st.empty()
    if on_page().explaining == turn.answer_id:
        with st.container():
            draw_reasons(turn.answer_id)
    elif on_page().explained == turn.answer_id:
        draw_thanks(turn.answer_id)
    elif outdated:
        st.empty()


def draw_ending(turn: Turn) -> None:
    """Draw an answer's finish reason, where that needs a word."""
    if words := (ENDS.get(turn.finish_reason or "") if turn.answer else None) or _without_text(turn):
        words = f"{words} {_until(turn)}".strip() if turn.finish_reason == "limited" else words
        with st.container(key=f"end_{turn.finish_reason}_{turn.answer_id}"):  # its icon and colour: chat_page.css
            st.caption(words)


def _without_text(turn: Turn) -> str | None:
    """Return the sentence about an ended answer without text."""
    words = turn.message or ENDS.get(turn.finish_reason or "")
    if words and words.endswith(TELL_OPERATORS) and _operators_know(turn):
        return words.removesuffix(TELL_OPERATORS) + OPERATORS_KNOW
    return words


def _operators_know(turn: Turn) -> bool:
    """Return True where an alert about the failure of this answer has reached an operator."""
    alerts = running.app().alerts
    if alerts is None or turn.time_ms is None:
        return False
    try:
        gone = (turn.message or "").startswith(NO_MODEL)
        model = (str(turn.facts.get("provider")), turn.model) if gone else None
        return alerts.reached_operators(turn.time_ms, str(turn.facts.get("error")), model)
    except StoreError:
        return False


def draw_reasoning(turn: Turn) -> None:
    """Let an operator unfold the model's thinking."""
    seconds = turn.facts.get("reasoning_time")
    label = f"Thought for {seconds:.0f} s" if seconds and seconds >= 1 else "Thinking"
    with st.expander(label, icon=":material/psychology:", type="compact", key=f"reasoning_{turn.answer_id}"):
        st.text(as_typed(turn.reasoning or ""), width="stretch")


def _until(turn: Turn) -> str:
    """Return when a day's limit ends, by the reader's clock."""
    if turn.facts.get("limit") not in ("day", "visitor") or turn.time_ms is None:
        return ""
    zone = reader_zone()
    then, now = datetime.fromtimestamp(until_ms(turn.time_ms) / 1_000, zone), datetime.now(zone)
    if then <= now:
        return "You can ask again now."
    day = "today" if then.date() == now.date() else "tomorrow"
    return f"You can ask again {day} at {then:%H:%M}."


def draw_button(label: str, icon: str, turn: Turn, action: Callable[..., None] | None = None, *args: object) -> None:
    st.button(
        label, icon=f":material/{icon}:", type="tertiary", key=f"{icon}_{turn.answer_id}", on_click=action, args=args
    )


def follow(answer: Answer) -> None:
    """Show text as it arrives, until the answer ends."""
    text, news = GrowingText(st.empty, answer.began), answer.follow(connected)
    generations = running.app().generations
    while (piece := news(0.1, max(PACE, CROWD * generations.running))) is not None:
        session.give_way()
        if entrance.just_closed():
            answer.stop()
            st.rerun()
        text.grow(piece)
    text.finish()
    answer.seen |= connected()


def follow_record(turn: Turn) -> None:
    """Show an answer of another process as far as that has stored it, until it ended or is found to be cut off."""
    page, slot, look = on_page(), st.empty(), running.app().rescue.watch()
    while turn.running:
        if turn.answer:
            slot.markdown(as_one(turn.answer))
        else:
            draw_thinking(slot, time.monotonic() - (now_ms() - turn.asked_ms) / 1_000)
        for _ in range(5):
            time.sleep(LOOK_EVERY / 5)
            session.give_way()
        known, page.conversation = page.conversation, running.app().conversations.reread(page.here)
        turn = page.here.turns[-1]
        if page.conversation is known:  # the record cannot be read, so heartbeats may not arrive
            look = running.app().rescue.watch()
        else:
            look(turn)
    draw_answer(turn, slot)


def report_copied(answer_id: str) -> None:
    """Record that an answer of this page is in the reader's clipboard."""
    page = on_page()
    turn = page.answered(answer_id)
    if turn and turn.answer:
        running.app().conversations.copied(page.here, turn)
