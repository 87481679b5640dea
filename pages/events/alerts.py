"""The newest alert on the Events page, and what its receivers did with it."""

from datetime import datetime, tzinfo

import streamlit as st

from lib.store import StoreError
from lib.web import running
from pages.results.words import plain


def draw_alerts(zone: tzinfo) -> None:
    """Draw a line about the newest alert; nothing where alerts have no receivers."""
    app = running.app()
    if app.alerts is None:
        return
    receivers = ", ".join(app.alerts.kinds)
    try:
        newest = app.store.alerts.newest(limit=1)
    except StoreError:
        return
    if not newest:
        st.caption(f":material/notifications: Alerts go to {receivers}. There was none yet.", width="content")
        return
    (alert,) = newest
    what = f"“{plain(alert.title)}”, {datetime.fromtimestamp(alert.time_ms / 1_000, zone):%Y-%m-%d %H:%M}"
    if alert.sent_ms is not None:
        st.caption(f":material/notifications: Last alert: {what}. Sent to {receivers}.", width="content")
        return
    missing = ", ".join(kind for place, kind in enumerate(app.alerts.kinds) if place not in alert.reached)
    state = f"{missing} did not accept it" if alert.given_up else f"{missing} does not have it yet"
    advice = "Test PARLEY_ALERTS with `python -m lib check --alerts`." if alert.attempts > 1 else ""
    st.markdown(f":orange[:material/notifications_off: Last alert: {what}. {state}.] {advice}", width="content")
