"""The controls of an experiment: start, ramp, pause, end, switch a group off, schedule, decide.

Each form says what its act means for the results. The rules are in `lib.experiments`.
"""

from datetime import datetime, tzinfo

import streamlit as st

from lib.domain.clock import now_ms
from lib.experiments.book import RecordedExperiment
from lib.experiments.statuses import state_sentence
from lib.readout.advice import progress
from lib.readout.report import as_json
from lib.readout.results import Window
from lib.readout.sentences import headline, winner
from lib.readout.verdicts import Readout
from lib.web import running
from pages import readouts
from pages.experiment.acting import act, draw_button, draw_form_button, entered, field
from pages.results.words import moment, plain

CONSOLE = "https://console.statsig.com"
REASON = "Why, in a sentence"


def draw_state(known: RecordedExperiment, readout: Readout | None, zone: tzinfo) -> None:
    """Draw the state in one line, and groups that are switched off."""
    sentence = state_sentence(known, now_ms(), lambda ms: moment(ms, zone), progress(readout) if readout else None)
    icon = {"running": "play_circle", "paused": "pause_circle", "ended": "stop_circle", "draft": "edit_note"}
    icon_name = icon[known.state.stage] if known.state.stage != "running" or known.running else "pause_circle"
    with st.container(key="state"):
        st.markdown(f"### :material/{icon_name}: {plain(sentence)}")
    for group, since in known.state.disabled.items():
        st.warning(
            f"{plain(group)} is switched off since {moment(since, zone)}. Its units get the default, and its results "
            "stay as they were then. The history says who switched it off and why.",
            icon=":material/block:",
        )


def draw_controls(known: RecordedExperiment, readout: Readout | None, zone: tzinfo) -> None:
    """Draw a button for each act that is possible now."""
    stage = known.state.stage
    with st.container(horizontal=True, key="controls"):
        if known.written is not None and (stage != "running" or not known.state.live):
            _draw_start(known)
        if stage == "running":
            if known.written is not None and known.written.allocation < 100:
                _draw_ramp(known)
            _draw_pause(known)
        if known.run is not None and known.run.ended_ms is None:
            _draw_end(known)
            _draw_groups(known)
        if known.written is not None:
            _draw_schedule(known, zone)
        if known.run is not None:
            _draw_decide(known, readout)


def draw_served_controls(known: RecordedExperiment, readout: Readout | None) -> None:
    """Draw the controls that remain where Statsig decides: a link to its console, and decisions as records."""
    st.caption(
        "Statsig decides who gets what: groups, shares and allocation are changed there, and Parley notices it within "
        "a minute. Metrics, differences that matter, comparisons and decisions are kept here. Parley does not know the "
        f"address of your project: in the console, open Experiments and choose {plain(known.state.experiment)}."
    )
    with st.container(horizontal=True, key="controls"):
        st.link_button("Open Statsig's console", CONSOLE, icon=":material/open_in_new:")
        if known.run is not None and known.written is not None:
            _draw_decide(known, readout)


def _draw_start(known: RecordedExperiment) -> None:
    name, open_run = known.state.experiment, known.run is not None and known.run.ended_ms is None
    with st.popover("Resume" if open_run else "Start", icon=":material/play_arrow:", key=field("start_form")):
        live = running.app().experiment
        if live != name and running.app().acts.book.get(live) is not None:
            st.markdown(f"Testers get {plain(name)} from then on, instead of {plain(live)}.")
        st.markdown("The run continues." if open_run else f"Run {known.state.run + 1} begins.")
        assert known.written is not None
        st.number_input(
            "Percent of users", 0.1, 100.0, known.written.allocation or 100.0, step=5.0, key=field("start_percent")
        )
        st.text_input(REASON, key=field("start_reason"))
        draw_button(
            "Start it",
            "start_now",
            lambda acts, who: acts.start(name, who, entered("start_reason"), entered("start_percent")),
            "It is running.",
        )


def _draw_ramp(known: RecordedExperiment) -> None:
    name, written = known.state.experiment, known.written
    assert written is not None
    with st.popover("Ramp", icon=":material/trending_up:", key=field("ramp_form")):
        st.markdown(f"{written.allocation:g} % of users take part. The share can only grow, and the run continues.")
        st.number_input(
            "Percent of users",
            0.0,
            100.0,
            min(100.0, max(2 * written.allocation, known.reached, 10.0)),
            step=5.0,
            key=field("ramp_percent"),
        )
        st.text_input(REASON, key=field("ramp_reason"))
        draw_button(
            "Ramp it",
            "ramp_now",
            lambda acts, who: acts.ramp(name, entered("ramp_percent"), who, entered("ramp_reason")),
            "It is ramped.",
        )


def _draw_pause(known: RecordedExperiment) -> None:
    name = known.state.experiment
    with st.popover("Pause", icon=":material/pause:", key=field("pause_form")):
        st.markdown("No new user takes part. Conversations that began keep their group, and the run stays open.")
        st.text_input(REASON, key=field("pause_reason"))
        draw_button(
            "Pause it",
            "pause_now",
            lambda acts, who: acts.pause(name, who, entered("pause_reason")),
            f"{name} is paused.",
        )


def _draw_end(known: RecordedExperiment) -> None:
    name = known.state.experiment
    with st.popover("End", icon=":material/stop:", key=field("end_form")):
        st.markdown(
            f"Run {known.state.run} ends, and its results stay as they are. All units get the default from the next "
            "conversation on."
        )
        st.text_input(REASON, key=field("end_reason"))
        draw_button(
            "End it",
            "end_now",
            lambda acts, who: acts.end(name, who, entered("end_reason")),
            f"Run {known.state.run} has ended.",
        )


def _draw_groups(known: RecordedExperiment) -> None:
    name, off = known.state.experiment, known.state.disabled
    assert known.written is not None
    names = [group.name for group in known.written.groups]
    with st.popover("Groups", icon=":material/power_settings_new:", key=field("groups_form")):
        group = st.selectbox("Group", names, key=field("switched_group"))
        st.text_input(REASON, key=field("switch_reason"))
        if group in off:
            st.markdown(f"{plain(group)} is off. Switching it on again begins run {known.state.run + 1}.")
            draw_button(
                "Switch it on",
                "enable_now",
                lambda acts, who: acts.enable(name, entered("switched_group"), who, entered("switch_reason")),
                "It is on.",
            )
        else:
            st.markdown("Its users get the default from their next question on. Its results stay as they are now.")
            draw_button(
                "Switch it off",
                "disable_now",
                lambda acts, who: acts.disable(name, entered("switched_group"), who, entered("switch_reason")),
                "It is off.",
            )


def _draw_schedule(known: RecordedExperiment, zone: tzinfo) -> None:
    state, name = known.state, known.state.experiment
    with st.popover("Schedule", icon=":material/schedule:", key=field("schedule_form")):
        st.caption(f"In your time zone, {datetime.now(zone):%Z}.")
        if state.stage != "running":
            _draw_moment("start", "Start", state.start_ms, zone)
        _draw_moment("end", "End", state.end_ms, zone)
        draw_button(
            "Save the schedule",
            "schedule_now",
            lambda acts, who: acts.schedule(name, _moment("start", zone), _moment("end", zone), who),
            "The schedule is saved.",
        )


def _draw_moment(key: str, label: str, at_ms: int | None, zone: tzinfo) -> None:
    """Draw a day and a time of the operator's zone."""
    known = datetime.fromtimestamp(at_ms / 1_000, zone) if at_ms else None
    st.datetime_input(label, known.replace(tzinfo=None) if known else None, key=field(f"{key}_at"), format="YYYY-MM-DD")


def _moment(key: str, zone: tzinfo) -> int | None:
    """Return the chosen moment in milliseconds since 1970, or None."""
    at: datetime | None = entered(f"{key}_at")
    return int(at.replace(tzinfo=zone).timestamp() * 1_000) if at else None


def _draw_decide(known: RecordedExperiment, readout: Readout | None) -> None:
    name = known.state.experiment
    assert known.run is not None and known.written is not None
    with st.popover("Decide", icon=":material/gavel:", key=field("decide_form")):
        st.markdown(plain(headline(readout)) if readout else "There is no readout.")
        if readout is not None and winner(readout) is None:
            st.markdown(":material/info: The readout names no winner: the history will say what was not known.")
        names = [group.name for group in known.written.groups]
        options = [None, *names]
        best = winner(readout) if readout is not None else None
        st.radio(
            "The default from now on",
            options,
            options.index(best if best in names else None),
            key=field("decided_group"),
            format_func=lambda one: f"{plain(one)}'s parameters" if one else "Unchanged",
        )
        st.text_area(REASON, key=field("decide_reason"))
        ends = (
            "It ends the run." if known.run.ended_ms is None else "The run has ended: this decision replaces the last."
        )
        st.caption(f"{ends} The history keeps the readout as it stands now. To undo it, decide again.")
        draw_form_button("Decide", "decide_now", _decide, name)


def _decide(name: str) -> None:
    """Decide on the readout of this moment."""
    group, reason = entered("decided_group"), entered("decide_reason")
    readouts.forget()
    try:
        results = readouts.results(Window(name))
        readout_json = as_json(results.readout) if results else {}
    except running.Unready as error:
        readout_json = {"sentence": f"No readout could be made: {error}"}
    act(
        lambda acts, who: acts.decide(name, group, readout_json, who, reason),
        "The decision is kept in the history.",
        field("decide_now"),
    )
