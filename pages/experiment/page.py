"""The Experiment page: the compared groups and their source, today's counts and costs, the reason for a unit's group,
trials, invitations."""

import streamlit as st

from lib.web import running
from pages import entrance, session
from pages.clock import reader_zone
from pages.results.words import plain

WIDTH = 960

if not session.operator():
    st.stop()
st.set_page_config(layout="wide")
app = running.app()
zone = reader_zone()
name = app.experiment
definition = app.experiments.definition(name)


def draw_forcing() -> None:
    """Draw the choice of a group for this session."""
    chosen, groups = entrance.chosen(), entrance.groups()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Your group in this session",
            groups,
            groups.index(chosen) if chosen in groups else None,
            key="force",
            placeholder="By the experiment",
            on_change=lambda: entrance.choose(st.session_state.force),
            width=280,
        )
        if entrance.barrier() is None:  # otherwise another page stands in its place
            st.page_link("chat/page.py", label="Open the chat", icon=":material/forum:")
    mark = f":orange-badge[:material/science: Forced: {plain(chosen)}] New conversations" if chosen else "Conversations"
    st.caption(f"{mark} with a forced group are left out of the readout.")


with st.container(horizontal_alignment="center"), st.container(width=WIDTH):
    st.subheader(plain(name), anchor=False)
    from pages.experiment import (  # Altair takes a second to load: after something is on the page
        compared,
        costs,
        guests,
        models,
        planning,
        trials,
    )

    compared.draw_source(zone)
    status = compared.draw_status(name, definition, zone)
    if definition is None and status:
        pass  # the status explains the missing groups
    elif definition is None:
        st.warning(
            f"Nobody knows an experiment or layer {plain(name)}. Define it at Statsig or in the experiments file, or "
            "set `PARLEY_EXPERIMENT`.",
            icon=":material/help:",
        )
    else:
        st.markdown("#### Today (UTC)")
        costs.draw_today(name, zone)
        st.markdown("#### Groups")
        compared.draw_groups(definition)
        models.draw_models()
        compared.draw_allocation(definition)
        st.markdown("#### How many testers?")
        planning.draw_planning(definition)
        st.markdown("#### Force a group")
        draw_forcing()
        st.markdown("#### Why this group?")
        compared.draw_why(definition, zone)
        st.markdown("#### Try a prompt")
        trials.draw_trials(definition)
    st.markdown("#### Invitations")
    guests.draw_guests(zone)
