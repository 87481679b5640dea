"""The audit log on its page: filtered, read line by line, downloaded whole. Nothing here changes a line."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from itertools import groupby

import streamlit as st

from lib.commands.spreadsheet import cell
from lib.domain.operations import Entry
from lib.domain.record import StoreError
from lib.readout.report import iso
from lib.store import audit
from lib.web import running
from pages import session
from pages.results.words import plain, short_moment
from pages.tables import draw_table

SIZE = 50
"""Lines on a page."""
COLUMNS = ("time", "operator", "act", "subject", "details")


def draw_audit_log(zone: tzinfo) -> None:
    """Draw the filters, the newest lines, and the download."""
    st.caption("Every act of an operator. Parley adds lines and never changes or deletes one.")
    try:
        with running.app().store.read() as connection:
            names = audit.operators(connection)
            with st.container(horizontal=True):
                operator = st.selectbox("Operator", names, None, key="audit_operator", placeholder="All operators")
                act = st.selectbox(
                    "Act",
                    audit.acts(connection),
                    None,
                    key="audit_act",
                    placeholder="All acts",
                    format_func=lambda one: one.capitalize(),
                )
            shown = st.session_state.get("audit_shown", SIZE)
            entries = list(audit.entries(connection, operator, act, limit=shown + 1))
    except StoreError as error:
        st.error(f"{plain(str(error))} Try again in a minute.", icon=":material/cloud_off:")
        return
    if not entries:
        st.info("No line matches.", icon=":material/search_off:")
        return
    rows = [_row(list(lines), zone) for _, lines in groupby(entries[:shown], _same)]
    draw_table(rows, "The audit log, newest first", cards="audit")
    if len(entries) > shown:
        st.button("Show older", type="tertiary", key="older_acts", on_click=_show_more, args=(shown + SIZE,))
    st.download_button(
        "Download as CSV",
        session.operators_file(lambda _: _file(operator, act)),
        "audit-log.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key="download_audit",
    )


def _same(entry: Entry) -> tuple[str, ...]:
    """Return the same key for lines that are shown as one: the texts that an operator read on a page in a minute."""
    if entry.act != "read texts" or "page" not in entry.details:
        return (entry.id,)
    return entry.operator, str(entry.details["page"]), str(entry.time_ms // 60_000)


def _row(lines: Sequence[Entry], zone: tzinfo) -> dict[str, str]:
    one = lines[0]
    return {
        "When": short_moment(one.time_ms, zone),
        "Operator": plain(one.operator),
        "Act": plain(one.act.capitalize()),
        "About": plain(one.subject) if len(lines) == 1 else f"{len(lines)} conversations",
        "What changed": plain(summary(one, zone)),
    }


def _show_more(shown: int) -> None:
    st.session_state.audit_shown = shown


def summary(entry: Entry, zone: tzinfo) -> str:
    """Return the details of an act in words, without the empty ones; moments as they are in a time zone.

    >>> from datetime import UTC
    >>> summary(Entry("1", 0, "ann", "ramp", "greeting", {"from": 40.0, "to": 80.0, "reason": ""}), UTC)
    'from: 40 · to: 80'
    >>> summary(Entry("1", 0, "ann", "schedule", "greeting", {"start_ms": None, "end_ms": 1_798_106_400_000}), UTC)
    'end: 24\\xa0Dec\\xa02026,\\xa010:00'
    >>> summary(Entry("1", 0, "ann", "decide", "greeting", {"group": None, "default": {"model": "large"}}), UTC)
    'default: model large'
    """
    details = {
        key: value for key, value in entry.details.items() if value is not False and value not in (None, "", [], {})
    }
    return " · ".join(_phrase(key, value, zone) for key, value in details.items())


def _phrase(key: str, value: object, zone: tzinfo) -> str:
    if key.endswith("_ms") and isinstance(value, int):
        return f"{key.removesuffix('_ms')}: {short_moment(value, zone)}"
    return f"{key}: {_format(value)}"


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format(one)}" for key, one in value.items())
    if value is True:
        return "yes"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _file(operator: str | None, act: str | None) -> bytes:
    with running.app().store.read() as connection:
        return as_csv(audit.entries(connection, operator, act, limit=None)).encode("utf-8-sig")


def as_csv(entries: Iterable[Entry]) -> str:
    """Return the lines as CSV, which no spreadsheet takes for formulas."""
    sheet = io.StringIO()
    lines = csv.writer(sheet)
    lines.writerow(COLUMNS)
    for one in entries:
        details = json.dumps(dict(one.details), ensure_ascii=False, default=str)
        lines.writerow([cell(value) for value in (iso(one.time_ms), one.operator, one.act, one.subject, details)])
    return sheet.getvalue()
