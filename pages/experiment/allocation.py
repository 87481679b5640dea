"""The chart of an experiment's shares of all units. Loads Altair and pandas."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from pages.results.axes import GREY, TIGHT

ROW = 28
"""Height of one bar, in pixels."""
OUTSIDE = "Not taking part"


def chart(parts: Mapping[str, float], outside: float) -> alt.LayerChart:
    """Return one bar for each group, control first, in percent of all units; `outside` is the share that does not take
    part."""
    rows = [{"group": name, "percent": percent, "label": f"{percent:.3g} %"} for name, percent in parts.items()]
    if outside:
        rows.append({"group": OUTSIDE, "percent": outside, "label": f"{outside:.3g} %"})
    rows = [row | {"none": 0, "all": 100} for row in rows]
    names = [str(row["group"]) for row in rows]
    scale = alt.Scale(domain=[0, 112], nice=False)  # with room for the last number
    along = alt.X("percent:Q", scale=scale, axis=None)
    axis = alt.Axis(title=None, domain=False, ticks=False, labelLimit=120, labelPadding=8)
    chart = alt.Chart(pd.DataFrame(rows)).encode(y=alt.Y("group:N", sort=names, axis=axis))
    track = chart.mark_bar(color=GREY, opacity=0.16, height=14, cornerRadius=4).encode(
        x=alt.X("none:Q", scale=scale, axis=None), x2="all"
    )
    color = alt.Color("group:N", scale=alt.Scale(domain=list(parts)), legend=None)
    bars = (
        chart.transform_filter(alt.datum.group != OUTSIDE)
        .mark_bar(height=14, cornerRadius=4)
        .encode(x=along, color=color)
    )
    rest = (
        chart.transform_filter(alt.datum.group == OUTSIDE)
        .mark_bar(height=14, cornerRadius=4, color=GREY, opacity=0.5)
        .encode(x=along)
    )
    labels = chart.mark_text(align="left", baseline="middle", dx=6, color=GREY, fontSize=12).encode(
        x=alt.X("all:Q", scale=scale, axis=None), text="label"
    )
    return (track + rest + bars + labels).properties(height=ROW * len(rows), padding=TIGHT)
