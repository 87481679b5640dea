"""The experiments file and the version in force, where they differ: the operator chooses one of the two."""

import streamlit as st

from lib.domain.operations import FILE
from lib.experiments.book import RecordedExperiment, difference, to_toml
from lib.experiments.definitions import Definition
from lib.web import running
from pages.experiment.acting import act, field
from pages.results.words import plain


def draw_file_changes(shown: RecordedExperiment) -> None:
    """Draw where the file differs, and what it replaced at the last start."""
    app = running.app()
    if problem := app.acts.file_problem:
        st.warning(
            f"The experiments file changed and cannot be read, so it is ignored. {plain(problem)}",
            icon=":material/difference:",
        )
    table = app.acts.pending(shown.state.experiment)
    if table is not None and shown.version is not None:
        _draw_pending(shown, table)
    else:
        _draw_taken(shown)


def _draw_pending(shown: RecordedExperiment, table: Definition) -> None:
    """Offer the table of a file that changed while Parley runs."""
    version, name, text = shown.version, shown.state.experiment, to_toml(table)
    assert version is not None
    st.info(
        f"The experiments file changed after version {version.number}, which is in force. Choose one of the two: "
        "otherwise the next start takes the file.",
        icon=":material/difference:",
    )
    with st.popover("Compare the file", icon=":material/difference:", key=field("file_form")):
        st.code(difference(version.text, text), language="diff", wrap_lines=True)
        with st.container(horizontal=True):
            st.button(
                "Take the file",
                type="primary",
                key="take_file",
                on_click=act,
                args=(
                    lambda acts, who: acts.save(name, text, version.number, who, "The experiments file changed"),
                    "The file's version is in force.",
                ),
            )
            st.button(
                f"Keep version {version.number}",
                key="keep_version",
                on_click=act,
                args=(lambda acts, who: acts.keep(name, who), "The version stays in force."),
            )


def _draw_taken(shown: RecordedExperiment) -> None:
    """Offer the version before, where the experiments file replaced an operator's at a start."""
    if shown.version is None or shown.version.author != FILE or shown.version.number == 1 or shown.written is None:
        return
    before = running.app().acts.earlier(shown.version.experiment, shown.version.number - 1)
    if before is None or before.author == FILE:
        return
    st.info(
        f"The experiments file changed after {plain(before.author)}'s version {before.number}, and is in force.",
        icon=":material/difference:",
    )
    with st.popover(
        f"Compare and take back version {before.number}", icon=":material/history:", key=field("take_back_form")
    ):
        st.code(difference(shown.version.text, before.text), language="diff", wrap_lines=True)
        st.button(
            "Take it back",
            type="primary",
            key="take_back",
            on_click=act,
            args=(
                lambda acts, who: acts.save(
                    before.experiment, before.text, shown.state.version, who, f"Version {before.number} again"
                ),
                f"Version {before.number} is in force again.",
            ),
        )
