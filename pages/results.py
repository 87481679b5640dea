"""For operators: which group is better, and how sure that is. The verdict and what decides come first, details below.

Everything under the filters refreshes itself and leaves the reader where they are.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import streamlit as st

from lib import resources
from lib.results import Window
from pages import words

REFRESH_S = 60  # which is how long a readout is kept anyway
WIDTH = 960

if not resources.operator():
    st.stop()
st.set_page_config(layout="wide")
app = resources.app()
zone = ZoneInfo(st.context.timezone) if st.context.timezone else None


def to_ms(day: date) -> int:
    """The midnight at which this day begins where the reader is."""
    return int(datetime.combine(day, time(), zone).timestamp() * 1_000)


def chosen() -> Window:
    """What the reader narrowed the page to."""
    names = resources.experiments()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(words.plain(st.session_state.get("experiment") or names[0]))
        with st.popover("Filter", icon=":material/filter_list:", type="tertiary"):
            name = st.selectbox("Experiment", names, key="experiment", bind="query-params")
            days = st.date_input("Dates", [], max_value="today", key="dates", format="YYYY-MM-DD")
            st.caption("Choose dates before you look: an interval does not hold for days that were picked by result.")
    since, until = (*days, None, None)[:2]
    live = until is None or until >= datetime.now(zone).date()
    return Window(name, since and to_ms(since), None if live else to_ms(until + timedelta(1)))


@st.fragment(run_every=REFRESH_S)
def show(window: Window) -> None:
    """The readout as it is now."""
    place = st.container()
    with place.skeleton(height=400):
        try:
            results = resources.results(window)
        except resources.Unready as error:
            place.error(
                f"The record cannot be read: {error} It is tried again every minute.", icon=":material/cloud_off:"
            )
            return
        from pages import sections  # pandas and Altair take seconds to load: after something is on the page
    if results is None:
        place.warning(f"There is no experiment {window.experiment}: define it in `{app.settings.experiments_file}`.")
        return
    readout = results.readout
    with place:
        sections.verdict(results)
        if sections.comparable(readout):
            sections.differences(readout)
            sections.groups(readout)
            sections.over_time(results, zone)
        else:
            sections.causes()
        sections.users(results, zone)
        sections.response_times(results)
        if sections.comparable(readout):
            sections.price(readout)
        sections.remarks(results, zone)
        sections.every_metric(readout)
        sections.delivery(results, app.settings.statsig_secret_key is not None, zone)


with st.container(width="stretch", horizontal_alignment="center"), st.container(width=WIDTH):
    show(chosen())
