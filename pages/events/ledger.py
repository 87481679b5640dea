"""The parts of the Events page: filters, the table, one event, pending deliveries, downloads."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from functools import partial
from itertools import islice

import streamlit as st

from lib.commands.export import Format, write
from lib.commands.spreadsheet import BOM, cell
from lib.domain.clock import now_ms
from lib.domain.events import CHAT_COMPLETION, NAMES, PREFERENCE
from lib.domain.ledger import DeliveryState, Key, Line, Search
from lib.domain.record import StoreError
from lib.web import running
from pages import session
from pages.clock import span
from pages.results.words import plain

AS_FILE = 100_000
"""Most events of one download."""
STRIDE = 2_000
"""Events of one read for it."""
DELIVERY: dict[DeliveryState, str] = {
    "waiting": "Waiting for Statsig",
    "acknowledged": "At Statsig",
    "kept": "Stored here",
}
HEIGHT, FIT = 460, 12
"""Height in pixels of a long table, and its number of visible rows. The elements below stay in reach."""
FAILED = "failed answers"
"""A choice among the names: answers that ended in an error or broke off."""
NOBODY = "Not taking part"
OURS = ("answer_id", "group", "event_id", "experiment", "session_id", "conversation_id", "rule_id", "invitation")
"""Metadata that a line of the table omits: it has a column of its own, or is an id."""


def draw_filters(zone: tzinfo) -> Search:
    """Draw the filters and return the search; it is kept in the address, which can be shared. Days are the reader's."""
    try:
        groups = running.app().store.events.groups()
    except StoreError:
        groups = []
    with st.grid(3, min_column_width=150, vertical_alignment="bottom"):
        name = st.selectbox("Event", [*NAMES, FAILED], None, placeholder="Every event", key="name", bind="query-params")
        group = st.selectbox(
            "Group", [*groups, NOBODY], None, placeholder="Every group", key="group_of", bind="query-params"
        )
        state = st.selectbox(
            "Delivery",
            list(DELIVERY),
            None,
            format_func=DELIVERY.__getitem__,
            placeholder="In any state",
            key="delivery",
            bind="query-params",
        )
        unit = st.text_input("Unit", key="unit", placeholder="Every unit", max_chars=128, bind="query-params")
        answer = st.text_input("Answer", key="answer", placeholder="Every answer", max_chars=64, bind="query-params")
        # Directly on the page, Streamlit's calendar breaks the filters where a browser names a zone that does not
        # exist.
        with st.popover("Days", icon=":material/calendar_month:", key="days"):
            since = st.date_input("Since", None, key="since", format="YYYY-MM-DD", bind="query-params")
            until = st.date_input("Until", None, key="until", format="YYYY-MM-DD", bind="query-params")
    if since or until:
        st.caption(f"Days: {since or 'the first'} to {until or 'today'}", width="content")
    since_ms, until_ms = span(since, until, zone)
    return Search(
        name=None if name == FAILED else name,
        failed=name == FAILED,
        delivery=state,
        group="" if group == NOBODY else group,
        user_id=(unit or "").strip() or None,
        answer_id=(answer or "").strip() or None,
        since_ms=since_ms,
        until_ms=until_ms,
    )


@st.fragment(run_every=5.0)
def draw_delivery() -> None:
    """Draw the number of undelivered events, their age, and the reason."""
    app = running.app()
    if app.delivery is None:
        st.caption(":material/inventory_2: There is no Statsig key: events stay here.", width="content")
        return
    try:
        pending, oldest_s = app.store.outbox.pending()
    except StoreError:
        return
    if not pending:
        st.caption(":material/cloud_done: Statsig has every event.", width="content")
    elif app.delivery.error:
        st.markdown(
            f":orange[:material/cloud_off: {pending:,} events wait, the oldest for {_ago(oldest_s)}: Statsig says "
            f"{plain(app.delivery.error)}. They are sent when it is back.]",
            width="content",
        )
    else:
        st.caption(
            f":material/cloud_upload: {pending:,} events on their way, the oldest for {_ago(oldest_s)}.",
            width="content",
        )


def _ago(seconds: float) -> str:
    """
    >>> _ago(3.2), _ago(200), _ago(9_000), _ago(500_000)
    ('3 s', '3 min', '2.5 h', '5.8 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def draw_lines(lines: Sequence[Line], zone: tzinfo, key: str) -> Line | None:
    """Draw the table and return the selected line."""
    times = [datetime.fromtimestamp(line.event.time_ms / 1_000, zone).replace(tzinfo=None) for line in lines]
    rows = [
        {
            "Time": time,
            "Event": line.event.name + (" (simulated)" if line.simulated else ""),
            "Group": line.group or "–",
            "Value": "" if line.event.value is None else str(line.event.value),
            "Details": _details(line),
            "Delivery": _delivery(line),
            "Unit": line.event.user_id,
        }
        for line, time in zip(lines, times, strict=True)
    ]
    rows = [{name: cell(value) for name, value in row.items()} for row in rows]  # the table has a download of its own
    year = "" if {time.year for time in times} == {datetime.now(zone).year} else " YYYY"
    shown = st.dataframe(
        rows,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        height=HEIGHT if len(rows) > FIT else "content",
        alt="Events, newest first",
        column_config={
            "Time": st.column_config.DatetimeColumn(format=f"D MMM{year}, HH:mm:ss"),
            "Details": st.column_config.TextColumn(width="medium"),
        },
    )
    picked = shown["selection"]["rows"]
    return lines[picked[0]] if picked and picked[0] < len(lines) else None


def answers_of(line: Line | None) -> list[str]:
    """Return the answers that an event is about: two of a preference."""
    metadata = line.event.metadata if line else {}
    return [metadata[name] for name in ("answer_id", "left_answer_id", "right_answer_id") if name in metadata]


def _details(line: Line) -> str:
    """Return the facts of an answer's end in a few words."""
    metadata = line.event.metadata
    if line.event.name == PREFERENCE:
        return f"{metadata.get('left')} or {metadata.get('right')}, turn {metadata.get('turn')}"
    if line.event.name != CHAT_COMPLETION:
        return f"turn {metadata['turn']}" if "turn" in metadata else ""
    facts = [str(metadata[name]) for name in ("limit", "error") if name in metadata]
    facts += [f"{metadata['response_time']:.2f} s"] if "response_time" in metadata else []
    return ", ".join([*facts, str(metadata.get("model", ""))])


def _delivery(line: Line) -> str:
    if line.delivery != "waiting":
        return DELIVERY[line.delivery]
    return f"Waiting: {line.error}" if line.error else DELIVERY["waiting"]


def draw_event(line: Line, zone: tzinfo) -> None:
    """Draw one event as Statsig gets it, and its delivery."""
    event = line.event
    with st.expander(f"This event: {event.name}", icon=":material/data_object:", key="this_event"):
        if line.delivery == "waiting":
            text = f"Handed over {line.attempts} times" if line.attempts else "Not handed over yet"
            due = f", next at {_moment(line.due_ms or 0, zone)}" if (line.due_ms or 0) > now_ms() else ""
            st.markdown(f":orange[{text}{due}. {plain(line.error or 'No answer yet')}.]")
        elif line.acknowledged_ms:
            after = _ago((line.acknowledged_ms - event.time_ms) / 1_000)
            st.markdown(f"Statsig has had it since {_moment(line.acknowledged_ms, zone)}, {after} after it happened.")
        st.code(json.dumps(event.wire(), indent=1, ensure_ascii=False), language="json", wrap_lines=True)


def draw_downloads(search: Search, zone: tzinfo) -> None:
    """Draw the download of the filtered events."""
    forms: tuple[tuple[Format, str, str], ...] = (
        ("jsonl", "JSON lines", "application/x-ndjson"),
        ("csv", "CSV", "text/csv"),
    )
    experiment = running.app().experiment
    with st.popover("Download", icon=":material/download:", type="tertiary", key="download"), st.container(gap=None):
        for form, label, mime in forms:
            st.download_button(
                label,
                session.operators_file(partial(_for_operator, search, form)),
                f"{experiment}-events-{datetime.now(zone):%Y-%m-%d}.{form}",
                mime,
                icon=":material/download:",
                key=f"download_{form}",
                on_click="ignore",
                type="tertiary",
            )
        st.caption(f"The newest {AS_FILE:,} of these. All of them: `python -m lib export`")


def _for_operator(search: Search, form: Format, _: str) -> bytes:
    return _file(search, form)


def _file(search: Search, form: Format) -> bytes:
    sink = io.BytesIO(BOM.encode() if form == "csv" else b"")
    sink.seek(0, io.SEEK_END)
    write((line.event.wire() for line in islice(_every(search), AS_FILE)), form, sink)
    return sink.getvalue()


def _every(search: Search) -> Iterator[Line]:
    """Yield every matching line, newest first."""
    before: Key | None = None
    while True:
        page = running.app().store.events.page(search, before, STRIDE)
        yield from page.lines
        before = page.older
        if before is None:
            return


def _moment(time_ms: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, zone):%Y-%m-%d %H:%M:%S}.{time_ms % 1_000:03d}"
