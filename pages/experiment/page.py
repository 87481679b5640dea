"""The Experiment page: the compared groups and their source, today's counts and costs, the reason for a unit's group,
trials, invitations."""

import streamlit as st

from lib.readout.results import Window
from lib.readout.verdicts import Readout
from lib.web import running
from pages import entrance, readouts, session
from pages.clock import reader_zone
from pages.experiment import acting, beginning
from pages.results.words import plain

WIDTH = 960

if not session.operator():
    st.stop()
st.set_page_config(layout="wide")
app = running.app()
zone = reader_zone()
served = app.settings.statsig_secret_key is not None
names = list(dict.fromkeys([app.experiment, *app.acts.book]))


def current_readout(experiment: str) -> Readout | None:
    """Return the readout of the current run; None while it cannot be made."""
    try:
        results = readouts.results(Window(experiment))
    except running.Unready:
        return None
    return results.readout if results else None


def labelled(experiment: str) -> str:
    """Return an experiment's name with its stage, and which one testers get."""
    known = app.acts.book.get(experiment)
    if experiment == app.experiment:
        return f"{experiment} (live)"
    return f"{experiment} ({known.state.stage})" if known and known.state.stage != "running" else experiment


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


with st.container(horizontal_alignment="center"), st.container(width=WIDTH, key="operator_page"):
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        title = st.empty()
        name = app.experiment
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            if len(names) > 1:
                name = st.selectbox(
                    "Experiment",
                    names,
                    key=acting.SHOWN,
                    label_visibility="collapsed",
                    width=280,
                    format_func=labelled,
                    on_change=acting.begin_forms,
                )
            if not served:
                beginning.draw_beginning()
    title.header(plain(name), anchor=False)
    definition, known = app.experiments.definition(name), app.acts.book.get(name)
    from pages.experiment import (  # Altair takes a second to load: after something is on the page
        compared,
        controls,
        costs,
        editor,
        file_changes,
        guests,
        models,
        planning,
        trials,
    )

    acting.draw_done()
    problem = st.container()
    if known is not None and not served:
        readout = current_readout(name)
        controls.draw_state(known, readout, zone)
        controls.draw_controls(known, readout, zone)
        file_changes.draw_file_changes(known)
    elif known is not None:
        controls.draw_served_controls(known, current_readout(name))
        file_changes.draw_file_changes(known)
    compared.draw_source(known, zone)
    status = compared.draw_status(name, definition, zone)
    if definition is None and status:
        pass  # the status explains the missing groups
    elif definition is None:
        st.warning(
            f"There is no experiment or layer {plain(name)}. Define it at Statsig or in the experiments file, or "
            "set `PARLEY_EXPERIMENT`.",
            icon=":material/help:",
        )
    else:
        st.markdown("### Today (UTC)")
        costs.draw_today(name, zone)
        st.markdown("### Groups")
        compared.draw_groups(definition)
        models.draw_models()
        compared.draw_allocation(definition, known)
        if known is not None and known.written is not None:
            st.markdown("### Change it")
            with st.expander("Edit the definition", icon=":material/edit:", key="editor", on_change="rerun") as edit:
                if edit.open:
                    editor.draw_editor(known)
        st.markdown("### Testers needed")
        planning.draw_planning(definition)
        if name == app.experiment:
            st.markdown("### Force a group")
            draw_forcing()
        st.markdown("### Why this group?")
        compared.draw_why(definition, zone)
        st.markdown("### Try a prompt")
        trials.draw_trials(editor.draft_of(name) or definition)
    st.markdown("### Invitations")
    guests.draw_guests(zone)
    with problem:
        acting.draw_problem()  # the problem of an act whose form is gone
