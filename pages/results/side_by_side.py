"""Comparisons on the Results page: the preferences of testers who saw two answers, apart from the A/B test and never
added to it. Where the two contradict each other, the page says so and gives possible reasons.
"""

import streamlit as st

from lib.experiments.definitions import Definition
from lib.readout.preferences import Comparisons
from lib.readout.side_by_side import disagreement, position_warning, preferred, votes_of
from lib.readout.verdicts import Readout
from pages.results import charts, words

INVITE = 'python -m lib invite --name "Friday" --compare'
"""The command that makes a link whose guests compare."""


def draw_comparisons(readout: Readout, definition: Definition | None) -> None:
    """Draw the comparisons. Where the experiment asks for some and has none yet, draw how to get them."""
    if readout.comparisons is not None:
        with st.container(border=True, gap="small", key="comparisons"):
            _draw_readings(readout, readout.comparisons)
    elif definition is not None and definition.compare:
        with st.container(border=True, gap="small", key="comparisons"):
            _draw_none(definition)


def _draw_readings(readout: Readout, comparisons: Comparisons) -> None:
    treatments = list(comparisons.treatments)
    whom = treatments[0] if len(treatments) == 1 else "every group"
    st.markdown(
        f"**Comparisons: {words.plain(whom)} against {words.plain(readout.control)}** "
        ":small[:gray[no part of the A/B test]]"
    )
    chart = charts.preferences(comparisons, readout)
    with st.container(gap="xsmall"):
        for group, reading in comparisons.treatments.items():
            state = words.badge(reading.state, group if len(treatments) > 1 else "")
            invented = " :violet-badge[:material/science: Simulated data]" if readout.simulated else ""
            st.markdown(f"{state}{invented} {words.plain(preferred(readout, comparisons, group))}")
    if chart is not None:
        with st.container(gap="xsmall"):
            with st.container(horizontal=True, horizontal_alignment="distribute"):
                other = "the other group" if len(treatments) > 1 else treatments[0]
                st.caption(f":material/arrow_back: {words.plain(readout.control)} preferred", width="content")
                st.caption(f"{words.plain(other)} preferred :material/arrow_forward:", width="content")
            st.altair_chart(chart, key="preferences", alt=f"Net preference against {readout.control} with its interval")
    with st.container(gap="xsmall"):
        for group, reading in comparisons.treatments.items():
            if reading.numbers.votes:
                st.markdown(words.plain(votes_of(reading.numbers, group, readout.control)))
            if warning := position_warning(reading.numbers):
                st.markdown(f":material/swap_horiz: {words.plain(warning)}")
    for group in treatments:
        _draw_disagreement(disagreement(readout, comparisons, group))
    st.caption(
        "Net preference: votes for the group minus votes for control, per vote. Its bar holds however often you look; "
        "what lies within the shaded band does not matter. Units that compare are in no other number of this page."
    )


def _draw_disagreement(sentences: list[str]) -> None:
    """Draw that the two ways contradict each other, and the reasons."""
    if sentences:
        first, *reasons = (words.plain(sentence) for sentence in sentences)
        st.info("\n".join([first, "", *(f"- {reason}" for reason in reasons)]), icon=":material/compare_arrows:")


def _draw_none(definition: Definition) -> None:
    st.markdown("**Comparisons** :small[:gray[no part of the A/B test]]")
    st.markdown(
        f"No votes yet. {definition.compare:g} % of new units see two answers to each question and say which "
        "is better; their preference appears here, with an interval that holds however often you look."
    )
    st.caption(f"To let a whole group of people compare, invite them: `{INVITE}`")
