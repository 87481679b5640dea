"""The operator's elements of the chat page: the mark of a forced group, warnings about models, the tester's view."""

import streamlit as st

from lib.domain.clock import now_ms
from lib.domain.record import StoreError
from lib.web import running
from pages import entrance, session
from pages.chat.state import OnPage
from pages.experiment.models import draw_worry
from pages.results.words import plain

HOUR_MS = 3_600_000
"""Milliseconds for which failures are reported."""


def draw_forced(page: OnPage) -> None:
    """Draw a note that this session's conversations do not count, with a button that ends it."""
    group, here = entrance.chosen(), page.conversation
    own = here.assignment if here else None
    if unknown := entrance.unknown_group():
        st.warning(f"There is no group {plain(unknown)} in this experiment.", icon=":material/science:")
    if group is None and not (own and own.forced and session.operator()):
        return
    if group and st.query_params.get("group") != group:
        st.query_params["group"] = group  # so that a reload keeps it
    with st.container(horizontal=True, vertical_alignment="center", key="forced"):
        if own and (group is None or not own.forced or own.group != group):
            mine = plain(own.group or "no group")
            st.badge(
                f"Forced: {mine}" if own.forced else f"This conversation keeps {mine}",
                color="orange" if own.forced else "gray",
            )
        if group:
            st.badge(f"Forced: {plain(group)}", icon=":material/science:", color="orange")
            st.caption("New conversations get it and stay out of the readout.", width="content")
            st.button("Use my own group", type="tertiary", key="own_group", on_click=entrance.choose, args=(None,))


def draw_worries() -> None:
    """Draw a warning for a group's model that is missing, gone or about to go. Reads the lists of models in the
    background."""
    standings = running.app().standings
    standings.refresh()
    for one in standings.worries():
        draw_worry(one)


def draw_failures() -> None:
    """Report which failures other testers met in the last hour, and where to look."""
    try:
        failures = running.app().store.conversations.failures(now_ms() - HOUR_MS, session.visitor().user_id)
    except StoreError:
        return
    if not failures:
        return
    count = sum(number for _, number in failures)
    answers = "1 answer" if count == 1 else f"{count} answers"
    words = "; ".join(f"“{plain(message)}”" for message, _ in failures[:3])
    st.warning(
        f"In the last hour {answers} failed. Testers read: {words} Events has the causes.", icon=":material/warning:"
    )


def draw_view() -> None:
    """Draw the switch between an operator's page and a tester's."""
    if not (session.operator() and running.app().settings.blind):
        return
    session.as_tester()  # the address may say so
    on = st.toggle(
        "See what testers see",
        key=session.AS_TESTER,
        persist_state="session",
        help="Hides the operators' pages, and under answers group, model, times, tokens and cost, until you switch it "
        "off here.",
    )
    if on:
        st.query_params[session.VIEW] = session.TESTER
    elif session.VIEW in st.query_params:
        del st.query_params[session.VIEW]
