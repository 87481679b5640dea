"""The Results page's charts, in one grammar: a point with its interval in its group's colour, a line at zero, a band
for differences that do not matter.

Computes no statistic.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import altair as alt
import pandas as pd

from lib.domain.clock import DAY_MS
from lib.readout.preferences import Comparisons
from lib.readout.results import EDGES
from lib.readout.verdicts import Metric, Readout
from lib.readout.words import WORDS
from pages.results import words

GREY = "#8a93a5"
"""A grey for lines and bands on the light and on the dark background. The colour of words is the page's
(pages/frame.css)."""
ROW, AXIS, LEGEND = 26, 22, 70
"""Heights of one group, of an axis and of a legend with the space around it, in pixels."""
TIGHT = {"left": 0, "right": 0, "top": 2, "bottom": 6}
PERCENT = 100
"""The scale of shares, which none exceeds."""
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def groups_of(readout: Readout) -> list[str]:
    """Return all groups in the order of their colours."""
    return [readout.control, *readout.treatments]


def differences(metric: Metric, readout: Readout) -> alt.LayerChart | None:
    """Return every treatment against control, better on the right; None where no interval is known."""
    scale = WORDS[metric.name].scale
    rows = [
        {
            "group": group,
            "diff": one.shown_diff * scale,
            "low": one.low * scale,
            "high": one.high * scale,
            "difference": words.difference(metric.name, one),
        }
        for group, one in metric.versus.items()
        if one.informative
    ]
    if not rows:
        return None
    mde = max(abs(one.numbers.mde or 0) for one in metric.versus.values()) * scale
    reach = 1.08 * max([1.5 * mde, *(abs(row[end]) for row in rows for end in ("low", "high"))])
    along = alt.Scale(domain=[-reach, reach], nice=False, reverse=metric.direction == "down")
    axis = _axis(tickCount=5, labelExpr=_signed(WORDS[metric.name].unit))
    found = alt.Chart(pd.DataFrame(rows)).encode(
        y=_rows([row["group"] for row in rows]),
        color=_colour(groups_of(readout)),
        tooltip=[alt.Tooltip("group", title="Group"), alt.Tooltip("difference", title="Difference")],
    )
    spans = found.mark_rule(strokeWidth=4, strokeCap="round").encode(
        x=alt.X("low:Q", scale=along, axis=axis), x2="high"
    )
    points = found.mark_point(filled=True, size=120, opacity=1).encode(x=alt.X("diff:Q", scale=along))
    return (_band("x", mde) + _zero("x") + spans + points).properties(height=AXIS + ROW * len(rows), padding=TIGHT)


def preferences(found: Comparisons, readout: Readout) -> alt.LayerChart | None:
    """Return the net preference for every treatment with its interval; None where none is known."""
    rows = [
        {
            "group": group,
            "net": 100 * one.shown_net,
            "low": 100 * one.low,
            "high": 100 * one.high,
            "told": words.net_preference(one),
            "votes": f"{one.numbers.votes:,}",
        }
        for group, one in found.treatments.items()
        if one.shown_net is not None and one.low is not None and one.high is not None
    ]
    if not rows:
        return None
    mde = 100 * max(one.numbers.mde for one in found.treatments.values())
    reach = min(1.08 * max([1.5 * mde, *(abs(row[end]) for row in rows for end in ("low", "high"))]), 110)
    along = alt.Scale(domain=[-reach, reach], nice=False, clamp=True)
    axis = _axis(tickCount=5, labelExpr=_signed("points"))
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        y=_rows([row["group"] for row in rows]),
        color=_colour(groups_of(readout)),
        tooltip=[
            alt.Tooltip("group", title="Group"),
            alt.Tooltip("told", title="Net preference"),
            alt.Tooltip("votes", title="Votes"),
        ],
    )
    spans = chart.mark_rule(strokeWidth=4, strokeCap="round").encode(
        x=alt.X("low:Q", scale=along, axis=axis), x2="high"
    )
    points = chart.mark_point(filled=True, size=120, opacity=1).encode(x=alt.X("net:Q", scale=along))
    return (_band("x", mde) + _zero("x") + spans + points).properties(height=AXIS + ROW * len(rows), padding=TIGHT)


def values(metric: Metric, groups: Sequence[str]) -> alt.LayerChart | None:
    """Return each group's own value with its interval; None where there is none."""
    scale = WORDS[metric.name].scale
    rows = [
        {
            "group": group,
            "told": words.level(metric.name, one),
            "value": one.value * scale,
            "low": (one.value if one.ci_low is None else max(0.0, one.ci_low)) * scale,
            "high": (one.value if one.ci_high is None else one.ci_high) * scale,
        }
        for group in groups
        if (one := metric.groups[group]).value is not None
    ]
    if not rows:
        return None
    axis = _axis(tickCount=5, labelExpr=_with_unit(words.unit(metric.name)))
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        y=_rows([row["group"] for row in rows], labelled=True),
        color=_colour(groups),
        tooltip=[alt.Tooltip("group", title="Group"), alt.Tooltip("told", title=words.name(metric.name))],
    )
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    # Vega would draw an axis with a tick of 0.0001 for a single value without an interval.
    end = scale if scale == PERCENT else 2 * high or 1
    along = alt.Scale(zero=False, nice=True) if low < high else alt.Scale(domain=[0, end])
    spans = chart.mark_rule(strokeWidth=4, strokeCap="round").encode(
        x=alt.X("low:Q", scale=along, axis=axis), x2="high"
    )
    points = chart.mark_point(filled=True, size=120, opacity=1).encode(x=alt.X("value:Q", scale=along))
    return (spans + points).properties(height=AXIS + ROW * len(rows), padding=TIGHT)


def history(
    days: Iterable[tuple[int, Metric]], group: str, groups: Sequence[str], zone: tzinfo
) -> alt.LayerChart | None:
    """Return the difference of one treatment to control over the days; None for fewer than two days."""
    rows, mde = [], 0.0
    for until_ms, metric in days:
        one, scale = metric.versus[group], WORDS[metric.name].scale
        if not one.informative:
            continue
        mde = abs(one.numbers.mde or 0) * scale
        rows.append(
            {
                "group": group,
                "day": _local(until_ms, zone),
                "diff": one.numbers.diff * scale,
                "low": one.numbers.cs_low * scale,
                "high": one.numbers.cs_high * scale,
                "difference": words.difference(metric.name, one),
            }
        )
    if len(rows) < 2:
        return None
    axis = _axis(tickCount=6, labelExpr=_signed(WORDS[metric.name].unit))
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("day:T", axis=_days()),
        color=_colour(groups),
        tooltip=[
            alt.Tooltip("day:T", title="Until", format="%-d %b %Y, %H:%M"),
            alt.Tooltip("difference", title="Difference"),
        ],
    )
    band = chart.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", axis=axis), y2="high")
    line = chart.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(filled=True, size=50)).encode(y="diff:Q")
    return (_band("y", mde) + _zero("y") + band + line).properties(height=240, padding=TIGHT)


def arrivals(exposed: Sequence[tuple[int, str, int]], groups: Sequence[str], as_of_ms: int) -> alt.LayerChart | None:
    """Return the new users of every group on every day that is over; None before the end of the first.

    A day that is not over would look like a day without users.
    """
    counted = {(day, group): n for day, group, n in exposed}
    first, today = min(day for day, *_ in exposed), as_of_ms // DAY_MS * DAY_MS
    rows = [
        {"day": _local(day, UTC), "group": group, "users": counted.get((day, group), 0)}
        for day in range(first, today, DAY_MS)
        for group in groups
    ]
    if not rows:
        return None
    span = alt.Scale(domain=[_moment(first - DAY_MS // 2), _moment(today - DAY_MS // 2)])
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("day:T", axis=_days(), scale=span),
        y=alt.Y("users:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=4)),
        color=_colour(groups, legend=True),
        tooltip=[
            alt.Tooltip("day:T", title="Day", format="%-d %b %Y"),
            alt.Tooltip("group", title="Group"),
            alt.Tooltip("users", title="New users"),
        ],
    )
    shape = alt.Shape("group:N", scale=alt.Scale(domain=list(groups)), legend=_legend())
    return (
        chart.mark_line(strokeWidth=2) + chart.mark_point(filled=True, size=70, opacity=1).encode(shape=shape)
    ).properties(height=200, padding=TIGHT)


def times(
    bins: Mapping[str, Sequence[int]], group: str, groups: Sequence[str], quantiles: Mapping[str, float]
) -> alt.LayerChart:
    """Return the response times of one group, on axes that all groups share; `quantiles` by name, in seconds."""
    ends = [EDGES[0] / (EDGES[1] / EDGES[0]), *EDGES, EDGES[-1] * (EDGES[1] / EDGES[0])]
    filled = [place for found in bins.values() for place, n in enumerate(found) if n]
    low, high = ends[min(filled)], ends[max(filled) + 1]
    top = max(n / sum(found) for found in bins.values() for n in found) * 100
    total = sum(bins[group])
    rows = [
        {"group": group, "from": ends[place], "to": ends[place + 1], "share": 100 * n / total, "none": 0, "answers": n}
        for place, n in enumerate(bins[group])
        if n
    ]
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axis = _axis(values=ticks, labelExpr=_with_unit("s"))
    along = alt.Scale(type="log", domain=[low, high], nice=False)
    bars = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(binSpacing=0, opacity=0.75)
        .encode(
            x=alt.X("from:Q", scale=along, axis=axis),
            x2="to",
            y=alt.Y(
                "share:Q",
                scale=alt.Scale(domain=[0, top * 1.25], nice=False),
                title=None,
                axis=_axis(tickCount=3, minExtent=34, maxExtent=34, labelExpr=_with_unit("%")),
            ),
            y2="none",
            color=_colour(groups),
            tooltip=[
                alt.Tooltip("from", format=".3~r", title="From (s)"),
                alt.Tooltip("to", format=".3~r", title="To (s)"),
                alt.Tooltip("share", format=".1f", title="% of answers"),
                alt.Tooltip("answers", title="Answers"),
            ],
        )
    )
    marked = alt.Chart(pd.DataFrame([{"name": name, "at": at, "group": group} for name, at in quantiles.items()]))
    rules = marked.mark_rule(strokeDash=[4, 3], color=GREY, strokeWidth=1.5).encode(x="at:Q")
    labels = marked.mark_text(align="left", dx=4, baseline="top").encode(x="at:Q", y=alt.value(0), text="name")
    return (bars + rules + labels).properties(height=110, padding=TIGHT)


def price(metric: Metric, of: Metric, groups: Sequence[str], title: str) -> alt.LayerChart | None:
    """Return each group's primary metric against its cost in another metric, both with intervals."""
    rows = []
    for group in groups:
        y, x = metric.groups[group], of.groups[group]
        if None in (x.value, x.ci_low, x.ci_high, y.value, y.ci_low, y.ci_high):
            continue
        up, along = WORDS[metric.name].scale, WORDS[of.name].scale
        rows.append(
            {
                "group": group,
                "got": words.level(metric.name, y),
                "for": words.level(of.name, x),
                "x": x.value * along,
                "x1": max(0.0, x.ci_low) * along,
                "x2": x.ci_high * along,
                "y": y.value * up,
                "y1": max(0.0, y.ci_low) * up,
                "y2": y.ci_high * up,
            }
        )
    if not rows:
        return None
    side = alt.X("x:Q", title=title, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=4, grid=False))
    tall = alt.Y("y:Q", title=f"{words.name(metric.name)} ({words.unit(metric.name)})", scale=alt.Scale(zero=False))
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        color=_colour(groups),
        tooltip=[
            alt.Tooltip("group", title="Group"),
            alt.Tooltip("got", title=words.name(metric.name)),
            alt.Tooltip("for", title=words.name(of.name)),
        ],
    )
    across = chart.mark_rule(strokeWidth=2).encode(x=alt.X("x1:Q"), x2="x2", y=tall)
    upright = chart.mark_rule(strokeWidth=2).encode(x=side, y=alt.Y("y1:Q"), y2="y2")
    points = chart.mark_point(filled=True, size=140, opacity=1).encode(x=side, y=tall)
    middle = max(row["x"] for row in rows) / 2  # a name on the side with room for it
    names = [
        alt.Chart(pd.DataFrame(here))
        .mark_text(align=align, dx=dx, dy=-9, limit=90)
        .encode(x=side, y=tall, text="group")
        for align, dx, here in (
            ("left", 9, [row for row in rows if row["x"] <= middle]),
            ("right", -9, [row for row in rows if row["x"] > middle]),
        )
        if here
    ]
    return alt.layer(across, upright, points, *names).properties(height=220, padding=TIGHT)


def reasons(counted: Mapping[str, Mapping[str, int]], groups: Sequence[str]) -> alt.Chart:
    """Return the number of times that each reason was given, by group."""
    given = {reason for found in counted.values() for reason in found}
    order = [label for reason, label in words.REASON_WORDS.items() if reason in given]
    rows = [
        {
            "reason": words.REASON_WORDS.get(reason, reason),
            "group": group,
            "answers": counted.get(group, {}).get(reason, 0),
        }
        for reason in sorted(given)
        for group in groups
    ]
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            y=alt.Y("reason:N", sort=order, axis=_axis(labelLimit=110, labelOverlap=False, domain=False, ticks=False)),
            yOffset=alt.YOffset("group:N", sort=list(groups)),
            x=alt.X("answers:Q", axis=_axis(tickMinStep=1, tickCount=5)),
            color=_colour(groups, legend=True),
            tooltip=[
                alt.Tooltip("reason", title="Reason"),
                alt.Tooltip("group", title="Group"),
                alt.Tooltip("answers", title="Answers"),
            ],
        )
        .properties(height=LEGEND + AXIS + (14 * len(groups) + 10) * len(order), padding=TIGHT)
    )


def _axis(**more: Any) -> alt.Axis:
    """Return an axis without a title: its labels have the unit."""
    return alt.Axis(title=None, grid=False, labelPadding=6, **more)


def _signed(unit: str) -> str:
    return f"(datum.value == 0 ? '0' : format(datum.value, '+~r')) + ' {unit}'"


def _with_unit(unit: str) -> str:
    return f"format(datum.value, ',.4~r') + ' {unit}'"


def _colour(groups: Sequence[str], *, legend: bool = False) -> alt.Color:
    return alt.Color("group:N", scale=alt.Scale(domain=list(groups)), legend=_legend() if legend else None)


def _legend() -> alt.Legend:
    return alt.Legend(title=None, orient="top", offset=4)


def _rows(groups: Sequence[str], *, labelled: bool = False) -> alt.Y:
    """Return one row for each group; a single one needs no label."""
    axis = _axis(domain=False, ticks=False, labelLimit=84, minExtent=90, maxExtent=90, labelFlush=False)
    return alt.Y("group:N", sort=list(groups), axis=axis if labelled or len(groups) > 1 else None)


def _band(along: str, mde: float) -> alt.Chart:
    """Return the band of differences that do not matter."""
    band = alt.Chart(pd.DataFrame({"from": [-mde], "to": [mde]})).mark_rect(color=GREY, opacity=0.16)
    if along == "y":
        return band.encode(y="from:Q", y2="to")
    return band.encode(x="from:Q", x2="to", y=alt.value(0), y2=alt.value("height"))


def _zero(along: str) -> alt.Chart:
    zero = alt.Chart(pd.DataFrame({"none": [0]})).mark_rule(color=GREY, strokeWidth=1.5)
    if along == "y":
        return zero.encode(y="none:Q")
    return zero.encode(x="none:Q", y=alt.value(0), y2=alt.value("height"))


def _days() -> alt.Axis:
    return alt.Axis(
        title=None, format="%-d %b", tickCount=alt.TimeIntervalStep("day", 1), labelOverlap="greedy", grid=False
    )


def _moment(day_ms: int) -> alt.DateTime:
    """Return a day (UTC) in the browser's wall-clock time."""
    then = _local(day_ms, UTC)
    return alt.DateTime(year=then.year, month=then.month, date=then.day, hours=then.hour)


def _local(time_ms: int, zone: tzinfo | None) -> datetime:
    """Return the time in the reader's zone."""
    return datetime.fromtimestamp(time_ms / 1_000, zone).replace(tzinfo=None)
