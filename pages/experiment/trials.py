"""One prompt in all groups side by side, outside the experiment: a form, and the answers as they grow."""

from collections.abc import Mapping

import streamlit as st

from lib.chat.generation import Answer
from lib.chat.markdown import as_one
from lib.domain.prompts import clean_text
from lib.experiments.definitions import Definition
from lib.web import running
from pages import session
from pages.chat.asking import problem_with
from pages.results.words import plain

EVERY_S = 0.25
"""Seconds between two updates of growing answers."""


def draw_trials(definition: Definition) -> None:
    """Ask every group at once. Nothing is recorded."""
    st.caption("Asks outside of the experiment: no exposure, no record, no event. The answers cost money.")
    with st.form("trial", border=False):
        text = st.text_area(
            "Prompt", key="trial_prompt", placeholder="What do your testers ask?", label_visibility="collapsed"
        )
        asked = st.form_submit_button(
            "Ask every group", icon=":material/play_arrow:", on_click=_ask, args=(definition,)
        )
    if asked and (problem := problem_with(text)):
        st.warning(problem)
    answers: Mapping[str, Answer] = st.session_state.get("trial_answers", {})
    if answers:
        growing = any(answer.completion is None for answer in answers.values())
        st.fragment(_draw_answers, run_every=EVERY_S if growing else None)(answers, growing)


def _ask(definition: Definition) -> None:
    text = st.session_state.get("trial_prompt") or ""
    if problem_with(text):
        return
    try:
        session.acting_operator()
    except PermissionError:
        return  # the page is drawn next, and asks to sign in
    _stop()
    visitor_id = session.visitor().visitor_id
    st.session_state.trial_answers = running.app().trials.ask(visitor_id, clean_text(text), definition)


def _draw_answers(answers: Mapping[str, Answer], growing: bool) -> None:
    """Draw the answers side by side; below each other on a narrow screen."""
    if growing and all(answer.completion is not None for answer in answers.values()):
        st.rerun()
    if growing:
        st.button("Stop all", icon=":material/stop_circle:", key="stop_trial", on_click=_stop)
    with st.grid(len(answers), min_column_width=260, gap="medium"):
        for group, answer in answers.items():
            with st.container(border=True):
                st.markdown(f"**{plain(group)}** :gray[{plain(answer.question.model)}]")
                st.markdown(as_one(answer.text) or (":shimmer[Thinking]" if answer.completion is None else ""))
                if answer.completion is not None:
                    st.caption(_facts(answer))


def _facts(answer: Answer) -> str:
    """Return the finish reason, the time and the cost."""
    done = answer.completion
    assert done is not None
    facts = [done.message or ""] if done.message else []
    if done.time_to_first_token is not None:
        facts.append(f"first token {done.time_to_first_token:.2f} s")
        facts.append(f"whole {done.response_time:.2f} s")
    if done.usage.completion_tokens is not None:
        facts.append(f"{done.usage.completion_tokens:,} tokens")
    if done.cost_usd is not None:
        facts.append(f"\\${done.cost_usd:.6f}")
    if done.parameter_error or done.dropped_parameters:
        facts.append(f"not sent: {plain(done.parameter_error or ', '.join(done.dropped_parameters))}")
    if done.finish_reason not in ("stop", "error", "limited"):
        facts.append(done.finish_reason)
    return " · ".join(facts)


def _stop() -> None:
    for answer in st.session_state.get("trial_answers", {}).values():
        answer.stop()
