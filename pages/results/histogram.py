"""The histogram of a group's response times, with a line at each quantile."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from lib.readout.results import EDGES
from pages.results.axes import GREY, TIGHT, group_colours, value_axis

TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Labelled response times, in seconds."""


def response_times(
    bins: Mapping[str, Sequence[int]], group: str, groups: Sequence[str], quantiles: Mapping[str, float]
) -> alt.LayerChart:
    """Return the response times of one group, on axes that all groups share; `quantiles` by name, in seconds."""
    edges = [EDGES[0] / (EDGES[1] / EDGES[0]), *EDGES, EDGES[-1] * (EDGES[1] / EDGES[0])]
    filled = [bin_ for counts in bins.values() for bin_, n in enumerate(counts) if n]
    low, high = edges[min(filled)], edges[max(filled) + 1]
    top = 100 * max(n / sum(counts) for counts in bins.values() for n in counts)
    total = sum(bins[group])
    rows = [
        {"group": group, "from": edges[bin_], "to": edges[bin_ + 1], "share": 100 * n / total, "none": 0, "answers": n}
        for bin_, n in enumerate(bins[group])
        if n
    ]
    seconds = alt.X(
        "from:Q",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=value_axis("s", values=[tick for tick in TICKS if low <= tick <= high]),
    )
    share = alt.Y(
        "share:Q",
        scale=alt.Scale(domain=[0, top * 1.25], nice=False),
        title=None,
        axis=value_axis("%", tickCount=3, minExtent=34, maxExtent=34),
    )
    bars = _bars(rows).encode(x=seconds, x2="to", y=share, y2="none", color=group_colours(groups))
    lines, names = _quantile_marks(group, quantiles)
    return alt.LayerChart(layer=[bars, lines, names]).properties(height=110, padding=TIGHT)


def _bars(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Return the bars of a histogram with their tooltips."""
    bars = alt.Chart(pd.DataFrame(rows)).mark_bar(binSpacing=0, opacity=0.75)
    return bars.encode(
        tooltip=[
            alt.Tooltip("from", format=".3~r", title="From (s)"),
            alt.Tooltip("to", format=".3~r", title="To (s)"),
            alt.Tooltip("share", format=".1f", title="% of answers"),
            alt.Tooltip("answers", title="Answers"),
        ]
    )


def _quantile_marks(group: str, quantiles: Mapping[str, float]) -> tuple[alt.Chart, alt.Chart]:
    """Return a dashed line at each quantile, and its name."""
    rows = [{"name": name, "at": seconds, "group": group} for name, seconds in quantiles.items()]
    chart = alt.Chart(pd.DataFrame(rows))
    lines = chart.mark_rule(strokeDash=[4, 3], color=GREY, strokeWidth=1.5).encode(x="at:Q")
    names = chart.mark_text(align="left", dx=4, baseline="top").encode(x="at:Q", y=alt.value(0), text="name")
    return lines, names
