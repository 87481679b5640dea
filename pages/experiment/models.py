"""Each group's model at its provider, by the providers' lists of models."""

import streamlit as st

from lib.chat.standings import GroupModel
from lib.web import running
from pages.results.words import plain

EVERY_S = 3.0
"""Seconds between two updates; each provider's list is requested at most every few minutes."""


@st.fragment(run_every=EVERY_S)
def draw_models() -> None:
    """Draw one line for each model that an operator should change, else one for all."""
    if running.app().demo:
        return
    standings = running.app().standings
    standings.refresh()
    if not standings.looked:
        st.caption("Asking the providers for their lists of models.")
        return
    groups = standings.groups()
    for one in groups:
        draw_worry(one)
    there = [one for one in groups if one.standing.state == "there"]
    unknown = [one for one in groups if one.standing.state == "unknown" and not one.worrying]
    if len(there) == len(groups):
        st.caption(":material/check: Every model is at its provider.")
    elif unknown:
        names = sorted({f"{one.standing.model} at {one.standing.provider}" for one in unknown})
        st.caption(f"Not listed by the provider: {plain(', '.join(names))}. A question shows whether it is there.")


def draw_worry(one: GroupModel) -> None:
    """Draw the problem of a group's model and its remedy, or nothing."""
    if not one.worrying:
        return
    sentence = plain(one.sentence())
    if one.answers:
        st.warning(sentence, icon=":material/event_busy:")
    else:
        st.error(sentence, icon=":material/error:")
