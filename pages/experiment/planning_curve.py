"""The chart of a plan: the power of each way, by the number of its testers. Loads Altair and pandas."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from lib.planning.power import POWER
from pages.results.axes import GREY, TIGHT

DASHES = [[1, 0], [8, 3], [1, 0], [2, 3]]
WIDTHS = [1.5, 1.5, 3, 3]


def chart(points: Mapping[str, Sequence[tuple[int, float]]]) -> alt.LayerChart:
    """Return one line for each way; the dotted horizontal line is the power that plans require."""
    rows = [
        {"way": way, "testers": testers, "chance": 100 * chance}
        for way, line in points.items()
        for testers, chance in line
    ]
    names = list(points)
    legend = alt.Legend(title=None, orient="top", columns=2, labelLimit=260, symbolStrokeWidth=2)
    along = alt.Scale(type="log", nice=False)
    percent = "datum.value + ' %'"
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(interpolate="monotone")
        .encode(
            x=alt.X("testers:Q", scale=along, axis=alt.Axis(title="Testers", grid=False, tickCount=6, format=",d")),
            y=alt.Y("chance:Q", axis=alt.Axis(title=None, tickCount=5, labelExpr=percent, grid=False)),
            color=alt.Color("way:N", sort=names, legend=legend),
            strokeDash=alt.StrokeDash("way:N", sort=names, scale=alt.Scale(domain=names, range=DASHES), legend=legend),
            strokeWidth=alt.StrokeWidth("way:N", scale=alt.Scale(domain=names, range=WIDTHS), legend=None),
            tooltip=[
                alt.Tooltip("way", title="Way"),
                alt.Tooltip("testers", title="Testers", format=","),
                alt.Tooltip("chance", title="Found in (%)", format=".0f"),
            ],
        )
    )
    wanted = alt.Chart(pd.DataFrame({"chance": [100 * POWER]})).mark_rule(color=GREY, strokeDash=[2, 4])
    return (wanted.encode(y="chance:Q") + lines).properties(height=280, padding=TIGHT)
