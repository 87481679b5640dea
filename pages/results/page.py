"""The Results page: which group is better, with its interval. The verdict and the deciding charts come first, details
below. Everything under the filters is refreshed every minute, without moving the page.
"""

from datetime import datetime
from functools import partial

import streamlit as st

from lib.experiments.statuses import disabled_sentence, ended_sentence, status_sentence
from lib.readout.results import Results, Window
from lib.web import running
from pages import readouts, session
from pages.clock import reader_zone, span
from pages.results import numbers, verdict, words

REFRESH_S = 60  # the age at which a readout is computed again
WIDTH = 960

if not session.operator():
    st.stop()
st.set_page_config(layout="wide")
app, sample = running.app(), running.sample()
zone = reader_zone()


def invited() -> dict[str, str]:
    """Return the names of the invitations by id; none while they cannot be read."""
    try:
        return {one.id: one.name for one in session.invitations()}
    except running.Unready:
        return {}


def tiers(experiment: str) -> list[str]:
    """Return the tiers of the experiment's units; none while they cannot be read."""
    try:
        return readouts.tiers(experiment)
    except running.Unready:
        return []


def chosen() -> Window:
    """Return the reader's filters."""
    names, guests, tier, run = readouts.experiments(), None, None, None
    with st.popover("Filter", icon=":material/filter_list:", type="tertiary", key="filter"):
        name = st.selectbox("Experiment", names, key="experiment", bind="query-params")
        if len(past := readouts.runs(name)) > 1:
            numbers = [str(one.number) for one in past]
            chosen_run = st.selectbox(
                "Run", numbers, None, key="run", placeholder="The current one", bind="query-params",
                help="The History page says when each run began and why it ended.",
            )  # fmt: skip
            run = int(chosen_run) if chosen_run else None
        days = st.date_input("Dates", [], max_value="today", key="dates", format="YYYY-MM-DD")
        if invitations := invited():
            guests = st.selectbox(
                "Invitation",
                invitations,
                None,
                format_func=invitations.__getitem__,
                key="invitation",
                placeholder="All visitors",
            )
        if len(there := tiers(name)) > 1:
            tier = st.selectbox(
                "Tier",
                there,
                None,
                format_func=lambda one: one or "Not recorded",
                key="tier",
                placeholder="All tiers",
            )
        st.caption("Choose before you look: no interval holds for days or guests that were picked by their result.")
    since_ms, until_ms = span(*(*days, None, None)[:2], zone)
    return Window(name, since_ms, until_ms, guests, tier, run)


def draw_downloads(window: Window) -> None:
    """Draw the downloads, made on request."""
    own = session.visitor().visitor_id

    def content(file: numbers.File, who: str) -> str:
        from pages.results import sections  # loads Altair

        results, details = readouts.results(window), readouts.details(window)
        if file.texts and details is not None:
            app.acts.log_texts_read(who, "Results, download", sections.texts_of(details.remarks, own))
        return file.content(results, details, readouts.history(window, results))

    downloads = st.popover("Download", icon=":material/download:", type="tertiary", key="download")
    with downloads, st.container(gap=None):
        for label, file in numbers.FILES.items():
            name = f"{window.experiment}-{datetime.now(zone):%Y-%m-%d}{file.suffix}"
            st.download_button(
                label,
                session.operators_file(partial(content, file)),
                name,
                file.mime,
                on_click="ignore",
                type="tertiary",
                icon=file.icon,
                key=f"download_{label}",
            )


def window_status(window: Window) -> str | None:
    """Return the status of the experiment, its run and its groups, with the time; None where all of it runs."""
    served = app.settings.statsig_secret_key is not None

    def format_moment(time_ms: int) -> str:
        return words.moment(time_ms, zone)

    definition = readouts.definition(window)
    sentences = [status_sentence(app.experiments.status(window.experiment), format_moment)] if served else []
    if definition:
        sentences += [
            ended_sentence(definition, format_moment),
            disabled_sentence(definition, format_moment, served=served),
        ]
    return " ".join(one for one in sentences if one) or None


@st.fragment(run_every=1.0)
def draw_visitors() -> None:
    """Draw the progress of simulated visitors."""
    if not sample.running:
        readouts.forget()
        st.rerun()
    st.subheader("Simulated visitors are talking to the demo model", anchor=False)
    st.progress(sample.share, f"{sample.done} of {sample.users} have visited")


def draw_verdict(window: Window, results: Results | None, sampled: bool) -> None:
    """Draw the verdict, or why there is none."""
    status = window_status(window)
    if results is None and status:
        st.info(words.plain(status), icon=":material/flag:")
    elif results is None:
        st.warning(f"There is no experiment {words.plain(window.experiment)}: define it in the experiments file.")
    elif verdict.is_empty(results.readout) and results.readout.comparisons is None:
        offer = app.demo and app.settings.statsig_secret_key is None
        verdict.draw_empty(results, offer=offer and not sampled, status=status)
    elif verdict.is_empty(results.readout):
        verdict.draw_not_exposed(results, sampled, status)
    else:
        verdict.draw_first(results, sampled, window.narrowed, status)


@st.fragment(run_every=REFRESH_S)
def draw_results(window: Window) -> None:
    """Draw the current readout; slower parts follow."""
    if sample.running:
        st.rerun()  # to its progress, which stands here until it has ended
    before, first, rest = st.container(), st.container(), st.container()
    try:
        with first.skeleton(height=400):
            results, sampled = readouts.results(window), readouts.has_sample()
        with first:
            draw_verdict(window, results, sampled)
        if results is not None and not (verdict.is_empty(results.readout) and results.readout.comparisons is None):
            with first.skeleton(height=400):  # Altair and pandas take seconds to load: after the verdict is on the page
                from pages.results import differences, sections, side_by_side
            empty, definition = verdict.is_empty(results.readout), readouts.definition(window)
            with first:
                if verdict.comparable(results.readout) and not empty:
                    differences.draw_differences(results.readout)
            with before if empty else first:
                side_by_side.draw_comparisons(results.readout, definition)
            if not empty:
                with first:
                    if verdict.comparable(results.readout):
                        sections.draw_groups(results.readout)
                with rest:
                    sections.draw_rest(results, window, app.settings.statsig_secret_key is not None, zone)
    except running.Unready as error:
        first.error(f"{words.plain(str(error))} It is tried again every minute.", icon=":material/cloud_off:")


with st.container(horizontal_alignment="center"), st.container(width=WIDTH, key="operator_page"):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("Results", anchor=False)
        window = chosen()
        if app.experiments.definition(window.experiment):
            draw_downloads(window)
    st.caption(words.plain(f"{window.experiment}, run {window.run}" if window.run else window.experiment))
    if sample.running:
        draw_visitors()
    else:
        draw_results(window)
