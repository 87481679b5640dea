"""The Events page: every event as it was recorded, newest first, and its delivery; one answer's whole life."""

import streamlit as st

from lib.domain.ledger import Key, Line, Page
from lib.domain.record import StoreError
from lib.web import running
from pages import session
from pages.clock import reader_zone
from pages.events.alerts import draw_alerts
from pages.results.words import plain

WIDTH = 1100
SIZE = 50  # events on a page

if not session.operator():
    st.stop()
st.set_page_config(layout="wide")
app = running.app()
zone = reader_zone()


def at() -> list[Key | None]:
    """Return the keys of the pages up to this one; those of another search are dropped."""
    if st.session_state.get("searched") != search:
        st.session_state.searched, st.session_state.pages = search, [None]
    pages: list[Key | None] = st.session_state.pages
    return pages


def go_to(places: list[Key | None]) -> None:
    """Show the last of these pages. A second click does the same again."""
    st.session_state.pages = places


def draw_pager(page: Page) -> None:
    """Draw the buttons to older events, and back."""
    places = at()
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(places) > 1:
            st.button(
                "Newest", icon=":material/first_page:", type="tertiary", key="newest", on_click=go_to, args=([None],)
            )
            st.button(
                "Newer",
                icon=":material/chevron_left:",
                type="tertiary",
                key="newer",
                on_click=go_to,
                args=(places[:-1],),
            )
        else:
            st.button("Refresh", icon=":material/refresh:", type="tertiary", key="refresh")
        if page.older:
            label = "Older" if page.lines else "Look further back"
            st.button(
                label,
                icon=":material/chevron_right:",
                type="tertiary",
                key="older",
                on_click=go_to,
                args=([*places, page.older],),
            )
        ledger.draw_downloads(search, zone)


with st.container(horizontal_alignment="center"), st.container(width=WIDTH, key="operator_page"):
    from pages.events import ledger, lifeline  # pandas and Altair take seconds to load

    st.header("Events", anchor=False)
    ledger.draw_delivery()
    draw_alerts(zone)
    search = ledger.draw_filters(zone)
    place = st.container()
    with place.skeleton(height=400):
        try:
            page = app.store.events.page(search, at()[-1], SIZE)
        except StoreError as error:
            place.error(f"{plain(str(error))} Try again in a minute.", icon=":material/cloud_off:")
            st.stop()
    chosen: Line | None = None
    with place:
        if page.lines:
            st.caption(
                "Select a line to see the answer's life. The keyboard selects one with Shift and the space bar. "
                f"Days and times are in {plain(str(zone))}."
            )
            chosen = ledger.draw_lines(page.lines, zone, key=f"lines_{hash((search, at()[-1]))}")
        elif page.older:
            st.info("Nothing found so far. Look further back to continue.", icon=":material/search:")
        elif search.everything and len(at()) == 1:
            st.info("Nothing has happened yet. Ask something in the chat.", icon=":material/receipt_long:")
        else:
            st.info("No event matches.", icon=":material/search_off:")
        draw_pager(page)
    for answer_id in [search.answer_id] if search.answer_id else ledger.answers_of(chosen):
        lifeline.draw(answer_id, zone)
    if chosen:
        ledger.draw_event(chosen, zone)
