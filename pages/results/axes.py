"""The parts that charts share: axes with units, one row and one colour for each group, the band of differences that do
not matter, the line at zero, and a point with its interval. Knows Altair; knows no readout.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import altair as alt
import pandas as pd

GREY = "#8a93a5"
"""A grey for lines and bands on the light and on the dark background. The colour of words is the page's
(pages/frame.css)."""
ROW, AXIS, LEGEND = 26, 22, 70
"""Heights of one group, of an axis and of a legend with the space around it, in pixels."""
TIGHT = {"left": 0, "right": 0, "top": 2, "bottom": 6}


def axis(**more: Any) -> alt.Axis:
    """Return an axis without a title: its labels have the unit."""
    return alt.Axis(title=None, grid=False, **({"labelPadding": 6} | more))


def signed_axis(unit: str, ticks: int = 5) -> alt.Axis:
    """Return the axis of a difference: its labels have a sign, except zero."""
    return axis(tickCount=ticks, labelExpr=f"(datum.value == 0 ? '0' : format(datum.value, '+~r')) + ' {unit}'")


def value_axis(unit: str, **more: Any) -> alt.Axis:
    """Return the axis of a value."""
    return axis(labelExpr=f"format(datum.value, ',.4~r') + ' {unit}'", **more)


def day_axis() -> alt.Axis:
    """Return the axis of a chart over days."""
    return alt.Axis(
        title=None, format="%-d %b", tickCount=alt.TimeIntervalStep("day", 1), labelOverlap="greedy", grid=False
    )


def around_zero(rows: Sequence[dict[str, Any]], mde: float, most: float = float("inf"), **more: Any) -> alt.Scale:
    """Return a scale with zero in its middle and room for every interval and the band, but no wider than ±`most`."""
    reach = min(1.08 * max([1.5 * mde, *(abs(row[end]) for row in rows for end in ("low", "high"))]), most)
    return alt.Scale(domain=[-reach, reach], nice=False, **more)


def group_rows(groups: Sequence[str], *, labelled: bool = False) -> alt.Y:
    """Return one row for each group. A single one has no label unless it is `labelled`."""
    labels = axis(
        domain=False, ticks=False, labelLimit=84, minExtent=90, maxExtent=90, labelFlush=False, labelPadding=12
    )
    return alt.Y("group:N", sort=list(groups), axis=labels if labelled or len(groups) > 1 else None)


def group_colours(groups: Sequence[str], *, with_legend: bool = False) -> alt.Color:
    """Return the groups' colours, which are the same on every page."""
    return alt.Color("group:N", scale=alt.Scale(domain=list(groups)), legend=legend() if with_legend else None)


def legend() -> alt.Legend:
    """Return the legend of the groups, above the chart."""
    return alt.Legend(title=None, orient="top", offset=4)


def interval(chart: alt.Chart, value: str, scale: alt.Scale, labels: alt.Axis) -> tuple[alt.Chart, alt.Chart]:
    """Return the layers of an interval, from `low` to `high`, and of the point at the column `value`."""
    span = chart.mark_rule(strokeWidth=4, strokeCap="round").encode(
        x=alt.X("low:Q", scale=scale, axis=labels), x2="high"
    )
    return span, chart.mark_point(filled=True, size=120, opacity=1).encode(x=alt.X(f"{value}:Q", scale=scale))


def band(along: str, mde: float) -> alt.Chart:
    """Return the band of differences that do not matter, on the axis `along`: x or y."""
    area = alt.Chart(pd.DataFrame({"from": [-mde], "to": [mde]})).mark_rect(color=GREY, opacity=0.16)
    if along == "y":
        return area.encode(y="from:Q", y2="to")
    return area.encode(x="from:Q", x2="to", y=alt.value(0), y2=alt.value("height"))


def zero_line(along: str) -> alt.Chart:
    """Return the line at zero of the axis `along`: x or y."""
    line = alt.Chart(pd.DataFrame({"none": [0]})).mark_rule(color=GREY, strokeWidth=1.5)
    if along == "y":
        return line.encode(y="none:Q")
    return line.encode(x="none:Q", y=alt.value(0), y2=alt.value("height"))


def moment(day_ms: int) -> alt.DateTime:
    """Return a day (UTC) in the browser's wall-clock time."""
    then = local_time(day_ms, UTC)
    return alt.DateTime(year=then.year, month=then.month, date=then.day, hours=then.hour)


def local_time(time_ms: int, zone: tzinfo | None) -> datetime:
    """Return the time in the reader's zone, without the zone."""
    return datetime.fromtimestamp(time_ms / 1_000, zone).replace(tzinfo=None)
