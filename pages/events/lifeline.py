"""One answer's whole life on one time line. Loads Altair and pandas.

Moments are spaced evenly: a first token comes after milliseconds, a thumb after minutes, and both must be readable.
The time between them is written beside each.
"""

from collections.abc import Sequence
from datetime import datetime, tzinfo

import altair as alt
import pandas as pd
import streamlit as st

from lib.domain.events import CHAT_COMPLETION, EXPOSURE, FEEDBACK_REASON, PREFERENCE, RATING_WITHDRAWN
from lib.domain.ledger import Life, Station, stations
from lib.domain.record import StoreError
from lib.web import running
from pages.results.axes import GREY
from pages.results.words import moment, plain

ROW, SPINE = 40, 110
"""Height of one moment, and the line's distance from the left, in pixels."""
STATION_WORDS = {
    "asked": "Asked", "first_token": "First token", "delivered": "All at Statsig", EXPOSURE: "Exposed",
    CHAT_COMPLETION: "Ended", RATING_WITHDRAWN: "Thumb taken back", FEEDBACK_REASON: "Reason given",
    PREFERENCE: "Preferred",
    "satisfaction": "Thumb up", "dissatisfaction": "Thumb down", "regenerated": "Asked again", "copied": "Copied",
    "abandoned": "Page left while it ran",
}  # fmt: skip


def draw(answer_id: str, zone: tzinfo) -> None:
    """Draw the line, and the events that still have to reach Statsig."""
    try:
        life = running.app().store.events.life(answer_id)
    except StoreError as error:
        st.error(plain(str(error)), icon=":material/cloud_off:")
        return
    st.markdown("### The life of an answer")
    if life is None:
        st.caption("There is no answer with this id.")
        return
    stops = stations(life)
    began = f", {moment(stops[0].time_ms, zone)}" if stops else ""
    st.caption(f"Answer `{life.answer_id}`{began}")
    if not stops:
        return
    text = ", ".join(f"{_name(one)} {_gap(stops, place)}".strip() for place, one in enumerate(stops))
    st.altair_chart(_chart(stops, zone), key=f"life_{answer_id}", alt=f"The life of this answer: {text}")
    _draw_waiting(life)


def _draw_waiting(life: Life) -> None:
    waiting = [line for line in life.lines if line.delivery == "waiting"]
    if waiting:
        reasons = {line.error for line in waiting if line.error}
        why = f": {plain('; '.join(sorted(reasons)))}" if reasons else ""
        st.markdown(
            f":orange[:material/cloud_upload: {len(waiting)} of {len(life.lines)} events wait for Statsig{why}]"
        )
    elif all(line.delivery == "kept" for line in life.lines):
        st.caption("Its events stay here and are sent nowhere.")


def _chart(stops: Sequence[Station], zone: tzinfo) -> alt.LayerChart:
    """Return the chart: clock times on the left of the line, moments on its right."""
    rows = [
        {
            "place": place,
            "clock": _clock(one.time_ms, zone),
            "gap": _gap(stops, place),
            "what": _name(one),
            "kind": "Statsig" if one.what == "delivered" else "Here",
        }
        for place, one in enumerate(stops)
    ]
    scale, x = alt.Scale(domain=[row["place"] for row in rows]), alt.value(SPINE)
    chart = alt.Chart(pd.DataFrame(rows)).encode(x=x, y=alt.Y("place:O", scale=scale, axis=None))
    ends = pd.DataFrame([{"from": rows[0]["place"], "to": rows[-1]["place"]}])
    spine = alt.Chart(ends).encode(x=x, y=alt.Y("from:O", scale=scale, axis=None), y2="to:O")
    kinds = ["Here", "Statsig"]
    points = chart.mark_point(filled=True, size=110, opacity=1).encode(
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds[::-1]), legend=None),
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["circle", "diamond"]), legend=None),
    )
    clocks = chart.mark_text(align="right", dx=-14, color=GREY, fontSize=12).encode(text="clock")
    gaps = chart.mark_text(align="right", dx=-14, dy=15, color=GREY, fontSize=11).encode(text="gap")
    names = chart.mark_text(align="left", dx=14, fontSize=14, limit=230).encode(text="what")
    names = names.properties(name="moments")  # their colour: pages/frame.css
    return (spine.mark_rule(color=GREY, strokeWidth=2) + points + clocks + gaps + names).properties(
        height=ROW * len(rows)
    )


def _name(one: Station) -> str:
    name = STATION_WORDS.get(one.what, one.what)
    return f"{name}: {one.detail}" if one.detail else name


def _gap(stops: Sequence[Station], place: int) -> str:
    """Return the time between a moment and the one before."""
    return "" if place == 0 else f"+{_span(stops[place].time_ms - stops[place - 1].time_ms)}"


def _span(ms: int) -> str:
    """
    >>> [_span(ms) for ms in (0, 42, 1_500, 90_000, 9_000_000, 900_000_000)]
    ['0 ms', '42 ms', '1.5 s', '90 s', '2.5 h', '10.4 days']
    """
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 120_000:
        return f"{ms / 1_000:.3g} s"
    if ms < 5_400_000:
        return f"{ms / 60_000:.3g} min"
    return f"{ms / 3_600_000:.1f} h" if ms < 172_800_000 else f"{ms / 86_400_000:.1f} days"


def _clock(time_ms: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, zone):%H:%M:%S}.{time_ms % 1_000:03d}"
