"""The Results page's charts, in one grammar: a point with its interval in its group's colour, a line at zero, a band
for differences that do not matter. Computes no statistic.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any

import altair as alt
import pandas as pd

from lib.domain.clock import DAY_MS
from lib.readout.preferences import Comparisons
from lib.readout.verdicts import Metric, Readout
from lib.readout.words import WORDS
from pages.results import words
from pages.results.axes import (
    AXIS,
    LEGEND,
    ROW,
    TIGHT,
    around_zero,
    axis,
    band,
    day_axis,
    group_colours,
    group_rows,
    interval,
    legend,
    local_time,
    moment,
    signed_axis,
    value_axis,
    zero_line,
)

PERCENT = 100
"""The scale of shares, which none exceeds."""
GROUP = alt.Tooltip("group", title="Group")


def groups_of(readout: Readout) -> list[str]:
    """Return all groups in the order of their colours."""
    return [readout.control, *readout.treatments]


def differences(metric: Metric, readout: Readout) -> alt.LayerChart | None:
    """Return every treatment against control, better on the right; None where no interval is known."""
    scale, unit = WORDS[metric.name].scale, WORDS[metric.name].unit
    rows = [
        {
            "group": group,
            "diff": pair.shown_diff * scale,
            "low": pair.low * scale,
            "high": pair.high * scale,
            "difference": words.difference(metric.name, pair),
        }
        for group, pair in metric.versus.items()
        if pair.informative
    ]
    if not rows:
        return None
    mde = max(abs(pair.numbers.mde or 0) for pair in metric.versus.values()) * scale
    chart = _of_groups(rows, groups_of(readout)).encode(tooltip=[GROUP, alt.Tooltip("difference", title="Difference")])
    intervals = interval(chart, "diff", around_zero(rows, mde, reverse=metric.direction == "down"), signed_axis(unit))
    return _stacked(rows, band("x", mde), zero_line("x"), *intervals)


def preferences(compared: Comparisons, readout: Readout) -> alt.LayerChart | None:
    """Return the net preference for every treatment with its interval; None where none is known."""
    rows = [
        {
            "group": group,
            "net": 100 * reading.shown_net,
            "low": 100 * reading.low,
            "high": 100 * reading.high,
            "text": words.net_preference(reading),
            "votes": f"{reading.numbers.votes:,}",
        }
        for group, reading in compared.treatments.items()
        if reading.shown_net is not None and reading.low is not None and reading.high is not None
    ]
    if not rows:
        return None
    mde = 100 * max(reading.numbers.mde for reading in compared.treatments.values())
    chart = _of_groups(rows, groups_of(readout)).encode(
        tooltip=[GROUP, alt.Tooltip("text", title="Net preference"), alt.Tooltip("votes", title="Votes")]
    )
    intervals = interval(chart, "net", around_zero(rows, mde, most=110, clamp=True), signed_axis("points"))
    return _stacked(rows, band("x", mde), zero_line("x"), *intervals)


def values(metric: Metric, groups: Sequence[str]) -> alt.LayerChart | None:
    """Return each group's own value with its interval; None where there is none."""
    scale = WORDS[metric.name].scale
    rows = [
        {
            "group": group,
            "text": words.level(metric.name, level),
            "value": level.value * scale,
            "low": (level.value if level.ci_low is None else max(0.0, level.ci_low)) * scale,
            "high": (level.value if level.ci_high is None else level.ci_high) * scale,
        }
        for group in groups
        if (level := metric.groups[group]).value is not None
    ]
    if not rows:
        return None
    chart = _of_groups(rows, groups, labelled=True).encode(
        tooltip=[GROUP, alt.Tooltip("text", title=words.name(metric.name))]
    )
    labels = value_axis(words.unit(metric.name), tickCount=5)
    return _stacked(rows, *interval(chart, "value", _value_scale(rows, scale), labels))


def _value_scale(rows: Sequence[Mapping[str, Any]], scale: float) -> alt.Scale:
    """Return the scale of the groups' own values, which need not begin at zero."""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    if low < high:
        return alt.Scale(zero=False, nice=True)
    # Vega would draw an axis with a tick of 0.0001 for a single value without an interval.
    return alt.Scale(domain=[0, scale if scale == PERCENT else 2 * high or 1])


def _of_groups(rows: Sequence[Mapping[str, Any]], groups: Sequence[str], *, labelled: bool = False) -> alt.Chart:
    """Return a chart with one line for each row. The colours are those of all `groups`, shown or not."""
    lines = group_rows([row["group"] for row in rows], labelled=labelled)
    return alt.Chart(pd.DataFrame(rows)).encode(y=lines, color=group_colours(groups))


def _stacked(rows: Sequence[object], *layers: alt.Chart) -> alt.LayerChart:
    return alt.layer(*layers).properties(height=AXIS + ROW * len(rows), padding=TIGHT)


def history(
    days: Iterable[tuple[int, Metric]], group: str, groups: Sequence[str], zone: tzinfo
) -> alt.LayerChart | None:
    """Return the difference of one treatment to control over the days; None for fewer than two days."""
    compared = [(until_ms, metric) for until_ms, metric in days if metric.versus[group].informative]
    if len(compared) < 2:
        return None
    rows = [_day_of_history(until_ms, metric, group, zone) for until_ms, metric in compared]
    last = compared[-1][1]
    scale, unit = WORDS[last.name].scale, WORDS[last.name].unit
    mde = abs(last.versus[group].numbers.mde or 0) * scale
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("day:T", axis=day_axis()),
        color=group_colours(groups),
        tooltip=[
            alt.Tooltip("day:T", title="Until", format="%-d %b %Y, %H:%M"),
            alt.Tooltip("difference", title="Difference"),
        ],
    )
    area = chart.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", axis=signed_axis(unit, ticks=6)), y2="high")
    line = chart.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(filled=True, size=50)).encode(y="diff:Q")
    return alt.layer(band("y", mde), zero_line("y"), area, line).properties(height=240, padding=TIGHT)


def _day_of_history(until_ms: int, metric: Metric, group: str, zone: tzinfo) -> dict[str, Any]:
    pair, scale = metric.versus[group], WORDS[metric.name].scale
    return {
        "group": group,
        "day": local_time(until_ms, zone),
        "diff": pair.numbers.diff * scale,
        "low": pair.numbers.cs_low * scale,
        "high": pair.numbers.cs_high * scale,
        "difference": words.difference(metric.name, pair),
    }


def arrivals(exposed: Sequence[tuple[int, str, int]], groups: Sequence[str], as_of_ms: int) -> alt.LayerChart | None:
    """Return the new users of every group on every day that is over; None before the end of the first.

    A day that is not over would look like a day without users.
    """
    counted = {(day, group): n for day, group, n in exposed}
    first, today = min(day for day, *_ in exposed), as_of_ms // DAY_MS * DAY_MS
    rows = [
        {"day": local_time(day, UTC), "group": group, "users": counted.get((day, group), 0)}
        for day in range(first, today, DAY_MS)
        for group in groups
    ]
    if not rows:
        return None
    span = alt.Scale(domain=[moment(first - DAY_MS // 2), moment(today - DAY_MS // 2)])
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("day:T", axis=day_axis(), scale=span),
        y=alt.Y("users:Q", title=None, axis=alt.Axis(tickMinStep=1, tickCount=4)),
        color=group_colours(groups, with_legend=True),
        tooltip=[
            alt.Tooltip("day:T", title="Day", format="%-d %b %Y"),
            GROUP,
            alt.Tooltip("users", title="New users"),
        ],
    )
    shape = alt.Shape("group:N", scale=alt.Scale(domain=list(groups)), legend=legend())
    points = chart.mark_point(filled=True, size=70, opacity=1).encode(shape=shape)
    return alt.layer(chart.mark_line(strokeWidth=2), points).properties(height=200, padding=TIGHT)


def price(metric: Metric, cost: Metric, groups: Sequence[str], title: str) -> alt.LayerChart | None:
    """Return each group's primary metric against its cost in another metric, both with intervals; None where no group
    has both. `title` is that of the cost's axis."""
    rows = [row for group in groups if (row := _priced(metric, cost, group))]
    if not rows:
        return None
    x = alt.X("x:Q", title=title, scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("y:Q", title=f"{words.name(metric.name)} ({words.unit(metric.name)})", scale=alt.Scale(zero=False))
    chart = alt.Chart(pd.DataFrame(rows)).encode(
        color=group_colours(groups),
        tooltip=[
            GROUP,
            alt.Tooltip("value", title=words.name(metric.name)),
            alt.Tooltip("cost", title=words.name(cost.name)),
        ],
    )
    across = chart.mark_rule(strokeWidth=2).encode(x=alt.X("x1:Q"), x2="x2", y=y)
    upright = chart.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("y1:Q"), y2="y2")
    points = chart.mark_point(filled=True, size=140, opacity=1).encode(x=x, y=y)
    names = [label.encode(x=x, y=y, text="group") for label in _name_labels(rows)]
    return alt.layer(across, upright, points, *names).properties(height=220, padding=TIGHT)


def _priced(metric: Metric, cost: Metric, group: str) -> dict[str, Any] | None:
    """Return the point of one group in `price` and its intervals; None where a number is unknown."""
    y, x = metric.groups[group], cost.groups[group]
    if None in (x.value, x.ci_low, x.ci_high, y.value, y.ci_low, y.ci_high):
        return None
    y_scale, x_scale = WORDS[metric.name].scale, WORDS[cost.name].scale
    return {
        "group": group,
        "value": words.level(metric.name, y),
        "cost": words.level(cost.name, x),
        "x": x.value * x_scale,
        "x1": max(0.0, x.ci_low) * x_scale,
        "x2": x.ci_high * x_scale,
        "y": y.value * y_scale,
        "y1": max(0.0, y.ci_low) * y_scale,
        "y2": y.ci_high * y_scale,
    }


def _name_labels(rows: Sequence[Mapping[str, Any]]) -> list[alt.Chart]:
    """Return the groups' names, each on the side of its point that has room for it."""
    middle = max(row["x"] for row in rows) / 2
    sides = (
        ("left", 9, [row for row in rows if row["x"] <= middle]),
        ("right", -9, [row for row in rows if row["x"] > middle]),
    )
    return [
        alt.Chart(pd.DataFrame(side)).mark_text(align=align, dx=dx, dy=-9, limit=90)
        for align, dx, side in sides
        if side
    ]


def reasons(counted: Mapping[str, Mapping[str, int]], groups: Sequence[str]) -> alt.Chart:
    """Return the number of times that each reason was given, by group."""
    given = {reason for counts in counted.values() for reason in counts}
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
            y=alt.Y("reason:N", sort=order, axis=axis(labelLimit=110, labelOverlap=False, domain=False, ticks=False)),
            yOffset=alt.YOffset("group:N", sort=list(groups)),
            x=alt.X("answers:Q", axis=axis(tickMinStep=1, tickCount=5)),
            color=group_colours(groups, with_legend=True),
            tooltip=[
                alt.Tooltip("reason", title="Reason"),
                GROUP,
                alt.Tooltip("answers", title="Answers"),
            ],
        )
        .properties(height=LEGEND + AXIS + (14 * len(groups) + 10) * len(order), padding=TIGHT)
    )
