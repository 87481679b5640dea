"""The first part of the Results page: the verdict in a sentence, and the next step.

Knows no chart, so that a page can draw it before Altair and pandas are loaded; the chart that decides is in
`differences`.
"""

import streamlit as st

from lib.readout.advice import advice
from lib.readout.results import Results
from lib.readout.sentences import best_first, details, headline
from lib.readout.verdicts import Metric, Readout
from lib.readout.words import WORDS
from lib.web import running
from pages import readouts, session
from pages.results import words

CAUSES = (
    "Does a group's model fail before its answer begins, so that its users leave?",
    "Were groups renamed, or weights changed, while it ran? Then set `since` in its table.",
    "Do bots, tests or health checks ask questions?",
    "Do users lose their cookie, or share one browser? They may meet two groups.",
)
"""The most frequent causes of a broken split."""
APPEARS = (
    "which group is better, in a sentence, and what to do next",
    "the difference of every metric that decides, inside an interval that holds however often you look",
    "which answers testers prefer who see two side by side, as a separate result",
    "how it narrowed day by day, who met which group, and whether the split is right",
    "how long answers take, what a better answer costs, and what dissatisfied testers say",
)
"""The announcements of an empty page."""


NARROWED = (
    "This is a part of the experiment that the filter chose. No interval holds for a part that was picked by its "
    "result: treat it as a hint."
)


def draw_first(results: Results, sampled: bool, narrowed: bool, status: str | None = None) -> None:
    """Draw the verdict. `sampled`: there is simulated data; `narrowed`: the reader chose a part of the experiment;
    `status`: its status in Statsig, after which there is no further advice."""
    _draw_verdict(results, status)
    if narrowed:
        st.markdown(f":material/filter_alt: {NARROWED}")
    if sampled:
        _draw_sample_notice(results.readout)
    if not comparable(results.readout):
        _draw_causes()


def draw_not_exposed(results: Results, sampled: bool, status: str | None = None) -> None:
    """Draw that no unit takes part in the A/B test: there are only votes on comparisons."""
    if status:
        st.info(words.plain(status), icon=":material/flag:")
    st.markdown("**A/B test** No unit has taken part yet.")
    if sampled:
        _draw_sample_notice(results.readout)


def draw_empty(results: Results, offer: bool, status: str | None = None) -> None:
    """Draw what will appear here, and (`offer`) the offer of sample data. `status`: the experiment's status in
    Statsig."""
    _draw_verdict(results, status)
    st.markdown("As soon as people ask and rate, this page says\n" + "\n".join(f"- {one}" for one in APPEARS))
    if not offer:
        return
    sample = running.sample()
    st.button("Show it with sample data", icon=":material/science:", key="sample", on_click=_play_sample)
    st.caption(
        f"{sample.users} simulated visitors talk to the demo model for about a minute. Their data is marked as "
        "simulated, never sent anywhere, and removed with one click."
    )
    if sample.trouble:
        st.warning(words.plain(sample.trouble), icon=":material/science:")


def _play_sample() -> None:
    """Start the simulated visitors, as a button's callback: the next click cannot take it back."""
    try:
        session.acting_operator()
    except PermissionError:
        return  # the page is drawn next, and asks to sign in
    running.sample().play()


def is_empty(readout: Readout) -> bool:
    """Return True where no unit has met the experiment."""
    return not (any(readout.counts.values()) or readout.unknown or readout.forced or readout.crossover)


def comparable(readout: Readout) -> bool:
    """Return True where groups may be compared at all."""
    return readout.verdict != "broken" and not readout.weights_changed


def decisive(readout: Readout) -> list[Metric]:
    """Return the primary metric, then the guardrails."""
    guardrails = [metric for metric in readout.metrics.values() if metric.role == "guardrail"]
    return [readout.main, *guardrails]


def _draw_verdict(results: Results, status: str | None) -> None:
    """Draw the verdict: its states, one sentence, the details beside it, and the next step for each treatment."""
    readout = results.readout
    st.markdown(" ".join(_states(readout)))
    with st.container(key="verdict"):
        st.subheader(words.plain(headline(readout)), anchor=False)
    if status:
        st.info(words.plain(status), icon=":material/flag:")
    with st.container(gap="xsmall"):
        for detail in details(readout):
            st.markdown(words.plain(detail))
        for step in advice(readout, results.pace) if not status else ():
            st.markdown(f":material/arrow_forward: {words.plain(step)}")


def _states(readout: Readout) -> list[str]:
    """Return the states as badges: the verdict of each treatment, harm, and doubt about its raters."""
    versus = readout.main.versus
    if not comparable(readout) or len(versus) < 2:
        only = next(iter(versus.values()), None)
        state = words.state(readout.primary, only) if only and comparable(readout) else readout.verdict
        badges = [words.badge(state)]
    else:
        badges = [words.badge(words.state(readout.primary, versus[group]), group) for group in best_first(readout)]
    if comparable(readout):
        badges += [
            words.badge("harmed", WORDS[metric.name].name)
            for metric in decisive(readout)
            if any(one.guardrail == "harmed" for one in metric.versus.values())
        ]
        if readout.selection:
            badges.append(words.badge("selection"))
    if readout.simulated:
        badges.append(":violet-badge[:material/science: Simulated data]")
    return badges


def _draw_sample_notice(readout: Readout) -> None:
    """Draw that there is simulated data, and the button that removes it."""
    text = "These visitors were simulated." if readout.simulated else "There is sample data, too. It is not shown here."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":small[:gray[:material/science: {text}]]", width="content")
        st.button(
            "Remove sample data",
            type="tertiary",
            icon=":material/delete:",
            key="remove_sample",
            on_click=_remove_sample,
        )


def _remove_sample() -> None:
    try:
        session.acting_operator()
        readouts.remove_sample()
    except (running.Unready, PermissionError) as error:
        st.toast(words.plain(str(error)), icon=":material/cloud_off:")


def _draw_causes() -> None:
    """Draw possible causes when groups cannot be compared."""
    st.markdown("Ask yourself:\n" + "\n".join(f"- {cause}" for cause in CAUSES))
