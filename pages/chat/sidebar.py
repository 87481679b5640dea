"""Earlier conversations of this browser: open, rename, download, delete; and what is kept of them."""

from dataclasses import replace
from datetime import datetime
from itertools import groupby

import streamlit as st

from lib.access.identity import clean_text
from lib.domain.conversation import Conversation, Turn
from lib.domain.record import StoreError
from lib.web import running
from lib.web.patches import script_session
from pages import session
from pages.chat.operator_view import draw_view
from pages.chat.state import OnPage, on_page
from pages.clock import reader_zone

LISTED = 30
"""Conversations in the list at first, and more at every click."""
PIECES = 3
"""As many times that are in the list at most: a list of thousands would make every click slow."""


def draw_sidebar() -> None:
    """The list, newest first, by day."""
    page = on_page()
    if page.listed is None:
        page.listed = _read_list(page)
    listed, here = page.listed if page.listed is not None else [], page.conversation
    start = max(0, page.listed_more - PIECES)
    if here and here.turns and start == 0 and all(each.id != here.id for each in listed):
        title = here.title or " ".join((here.turns[0].question or "").split())[:60]
        listed.insert(0, replace(here, title=title, updated_ms=here.turns[-1].asked_ms, turns=()))
    with st.sidebar:
        st.button(
            "New conversation", icon=":material/add:", width="stretch", key="new", on_click=_open, args=(page, None)
        )
        if page.listed is None:
            st.caption("Earlier conversations cannot be shown right now.")
        if start:
            st.button("Show newer", type="tertiary", key="newer", on_click=_list_more, args=(page, -1))
        shown = listed[: LISTED * (page.listed_more - start)]
        for day, conversations in groupby(shown, key=_day):
            st.caption(day)
            for conversation in conversations:
                _draw_entry(page, conversation)
        if len(listed) > len(shown):
            st.button("Show older", type="tertiary", key="older", on_click=_list_more, args=(page,))
        _draw_privacy(page)
        draw_view()
        if session.may_sign_out():
            st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out", on_click=st.logout)


def _read_list(page: OnPage) -> list[Conversation] | None:
    """None while the store cannot be read; then the next rerun tries again."""
    try:
        start = max(0, page.listed_more - PIECES)
        return running.app().store.conversations.of(
            session.visitor().visitor_id, limit=LISTED * (page.listed_more - start) + 1, skip=LISTED * start
        )
    except StoreError:
        return None


def _draw_entry(page: OnPage, conversation: Conversation) -> None:
    current = page.conversation is not None and page.conversation.id == conversation.id
    with st.container(horizontal=True, wrap=False, gap=None, vertical_alignment="center"):
        st.button(
            conversation.title or "A conversation", type="secondary" if current else "tertiary", width="stretch",
            wrap=False, key=f"open_{conversation.id}", on_click=_open, args=(page, conversation.id),
        )  # fmt: skip
        if current:
            with st.popover("", icon=":material/more_horiz:", type="tertiary", help="Rename, download, delete"):
                _draw_menu(page, conversation)


def _draw_menu(page: OnPage, conversation: Conversation) -> None:
    key = f"title_{conversation.id}"
    st.text_input("Name", conversation.title or "", key=key, max_chars=80, on_change=_rename, args=(page, key))
    st.download_button(
        "Download", lambda: _as_markdown(page.conversation), f"{conversation.id}.md", icon=":material/download:",
        key="download", on_click="ignore", width="stretch",
    )  # fmt: skip
    st.button(
        "Delete", icon=":material/delete:", key="delete", width="stretch", on_click=_delete,
        args=(page, conversation.id),
    )  # fmt: skip


def _draw_privacy(page: OnPage) -> None:
    settings = running.app().settings
    with st.popover("Privacy", icon=":material/lock:", type="tertiary", key="privacy"):
        if settings.keep_text:
            st.markdown(f"Your messages are kept here for {settings.retention_days} days, then deleted.")
        else:
            st.markdown("Your messages are not stored. They are gone when this chat is closed.")
        st.markdown(
            "Ratings and measurements (times, token counts) are kept without any text, under a random number that "
            "stands for this browser. They help to find out which answers people prefer."
        )
        st.button(
            "Delete all my conversations", icon=":material/delete:", key="delete_all", on_click=_delete,
            args=(page, None),
        )  # fmt: skip


def _day(conversation: Conversation) -> str:
    zone = reader_zone()
    day, today = datetime.fromtimestamp(conversation.updated_ms / 1000, zone).date(), datetime.now(zone).date()
    ago = (today - day).days
    return "Today" if ago <= 0 else "Yesterday" if ago == 1 else f"{day:%A}" if ago < 7 else f"{day.day} {day:%B %Y}"


def _open(page: OnPage, conversation_id: str | None) -> None:
    if conversation_id:
        st.query_params["c"] = conversation_id
    elif "c" in st.query_params:
        del st.query_params["c"]


def _list_more(page: OnPage, pieces: int = 1) -> None:
    page.listed, page.listed_more = None, page.listed_more + pieces


def _rename(page: OnPage, key: str) -> None:
    if title := clean_text(st.session_state[key]).strip():
        app, here = running.app(), page.conversation
        app.store.conversations.rename(here.id, here.visitor_id, title).wait(0.25)
        page.listed = None


def _delete(page: OnPage, conversation_id: str | None) -> None:
    visitor_id = session.visitor().visitor_id
    running.app().conversations.delete(visitor_id, conversation_id).wait(0.25)
    page.listed = None
    _open(page, None)
    running.forget_pages({visitor_id}, but=script_session())


def _as_markdown(conversation: Conversation) -> str:
    return "\n\n---\n\n".join(map(_turn_as_markdown, conversation.turns)) + "\n"


def _turn_as_markdown(turn: Turn) -> str:
    names = ("Answer A", "Answer B") if turn.comparison else ("Answer",)
    answers = [f"**{name}:** {side.answer or ''}" for name, side in zip(names, turn.sides, strict=True)]
    return "\n\n".join([f"**You:** {turn.question or ''}", *answers])
