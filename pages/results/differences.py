"""The charts that decide: the primary metric and the guardrails, each treatment against control, below the verdict."""

from itertools import pairwise

import streamlit as st
from altair import LayerChart

from lib.readout.verdicts import Metric, Readout
from pages.results import charts, words
from pages.results.verdict import decisive


def draw_differences(readout: Readout) -> None:
    """Draw the primary metric and the guardrails, each treatment against control."""
    whom = readout.treatments[0] if len(readout.treatments) == 1 else "Every group"
    drawn = {metric.name: charts.differences(metric, readout) for metric in decisive(readout)}
    with st.container(border=True, gap="small"):
        st.markdown(f"**{words.plain(whom)} compared with {words.plain(readout.control)}**")
        with st.container(gap="xsmall"):
            if any(chart is not None for chart in drawn.values()):
                with st.container(horizontal=True, horizontal_alignment="distribute"):
                    st.caption(":material/arrow_back: worse", width="content")
                    st.caption("better :material/arrow_forward:", width="content")
            for metric in decisive(readout):
                _draw_difference(metric, readout, drawn[metric.name])
        _draw_between(readout)
        if any(chart is not None for chart in drawn.values()):
            st.caption(
                "A point is a difference, its bar the interval that holds however often you look. What lies within the "
                "shaded band does not matter."
            )


def _draw_between(readout: Readout) -> None:
    """Draw the treatments against each other, on the primary metric."""
    metric, pairs = readout.main, []
    for better, other in pairwise(metric.ranked):
        versus = metric.compared(better, other)
        if versus is not None and (written := words.difference(metric.name, versus)):
            state = words.badge(words.state(metric.name, versus))
            pairs.append(f"{words.plain(f'{better} − {other}: {written}')} {state}")
    if pairs:
        st.markdown("  \n".join([f"**{words.name(metric.name)}, treatments among each other**", *pairs]))


def _draw_difference(metric: Metric, readout: Readout, chart: LayerChart | None) -> None:
    role = "decides" if metric.role == "primary" else "must not get worse"
    lines = []
    for group, one in metric.versus.items():
        whose = f"{words.plain(group)}: " if len(readout.treatments) > 1 else ""
        difference = words.compared(metric, group, readout.control)
        lines.append(f"{whose}{words.plain(difference)} {words.badge(words.state(metric.name, one))}")
    head, role = f"**{words.name(metric.name)}**", f":small[:gray[{role}]]"
    st.markdown(f"{head} {lines[0]} {role}" if len(lines) == 1 else "  \n".join([f"{head} {role}", *lines]))
    if chart is not None:
        alt = f"{words.name(metric.name)}: difference to {readout.control} with its interval"
        st.altair_chart(chart, key=f"difference_{metric.name}", alt=alt)
