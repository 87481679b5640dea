"""Earlier conversations of this browser: find, open, rename, download, delete; and the privacy notice."""

import re
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Literal

import streamlit as st

from lib.domain.conversation import Conversation, Turn
from lib.domain.ids import new_id
from lib.domain.prompts import clean_text
from lib.domain.record import StoreError
from lib.web import running
from lib.web.patches import script_session
from pages import session
from pages.chat.operator_view import draw_view
from pages.chat.state import OnPage, on_page
from pages.clock import reader_zone
from pages.results.words import plain

LISTED = 30
"""Conversations in the list at first; more are added as the reader scrolls (pages/browser/chat_page.js)."""
PIECES = 10
"""Factor on that for the longest list. With thousands of entries every click would be slow."""
FOUND = 60
"""Most conversations that a search shows."""
Act = Literal["Rename", "Download", "Delete"]
MENU: tuple[Act, ...] = ("Rename", "Download", "Delete")
MENU_ICONS = {"Rename": "edit", "Download": "download", "Delete": "delete"}
THEMES = {"System": "Follow the system", "Light": "Light", "Dark": "Dark"}


def draw_sidebar() -> None:
    """Draw the sidebar. Head and foot stay in place; between them the list scrolls, newest first, by day."""
    page = on_page()
    with st.sidebar:
        with st.container(key="side_head", gap="small"):
            _draw_head(page)
        with st.container(key="side_list", gap=None):
            length = _draw_list(page)
            for _ in range(page.list_length - length):  # otherwise a deleted row would stay until the answer has ended
                st.empty()
            page.list_length = length
        with st.container(key="side_foot", gap=None):
            _draw_privacy(page)
            st.menu_button(
                "Appearance",
                THEMES,
                icon=":material/contrast:",
                type="tertiary",
                key="appearance",
                format_func=THEMES.__getitem__,
                on_click=_choose_theme,
                args=(page,),
            )
            draw_view()
            if session.may_sign_out():
                st.button("Sign out", icon=":material/logout:", type="tertiary", key="sign_out", on_click=st.logout)


def _draw_head(page: OnPage) -> None:
    settings = running.app().settings
    st.markdown(f"**{plain(settings.title)}**")
    st.button("New conversation", icon=":material/add:", width="stretch", key="new", on_click=_open, args=(page, None))
    if settings.keep_text:
        page.searched = (
            st.text_input(
                "Search conversations",
                key="search",
                icon=":material/search:",
                placeholder="Search",
                max_chars=100,
                label_visibility="collapsed",
            )
            or ""
        )


def _draw_list(page: OnPage) -> int:
    """Draw the list, or what a search found, and return the number of elements."""
    words = clean_text(page.searched).split()
    if words:
        matches = _search(words)
        if matches == []:
            st.caption("Nothing found")
        return _draw_entries(page, matches) + (matches == [])
    if page.listed is None:
        page.listed = _read_list(page)
    listed, here = page.listed, page.conversation
    start = max(0, page.listed_more - PIECES)
    if listed is not None and here and here.turns and start == 0 and all(each.id != here.id for each in listed):
        title = here.title or " ".join((here.turns[0].question or "").split())[:60]
        listed.insert(0, replace(here, title=title, updated_ms=here.turns[-1].asked_ms, turns=()))
    if start:
        st.button("Show newer", type="tertiary", key="newer", on_click=_list_more, args=(page, -1))
    shown = listed and listed[: LISTED * (page.listed_more - start)]
    length = _draw_entries(page, shown) + (start > 0)
    if listed and shown and len(listed) > len(shown):
        by_scrolling = page.listed_more < PIECES
        key = "older" if by_scrolling else "older_by_hand"
        st.button("Show older", type="tertiary", key=key, on_click=_list_more, args=(page,))
        length += 1
    return length


def _draw_entries(page: OnPage, conversations: list[Conversation] | None) -> int:
    """Draw these conversations by day and return the number of elements."""
    if conversations is None:
        st.caption("Earlier conversations cannot be shown right now.")
        return 1
    length = 0
    for day, of_day in groupby(conversations, key=_day):
        st.caption(day)
        length += 1
        for conversation in of_day:
            length += _draw_entry(page, conversation)
    return length


def _search(words: list[str]) -> list[Conversation] | None:
    """Return the visitor's conversations that have all these words; None while the store cannot be read."""
    try:
        return running.app().store.conversations.search(session.visitor().visitor_id, words, FOUND)
    except StoreError:
        return None


def _read_list(page: OnPage) -> list[Conversation] | None:
    """Return the conversations of the list; None while the store cannot be read, and the next rerun tries again."""
    try:
        start = max(0, page.listed_more - PIECES)
        return running.app().store.conversations.of(
            session.visitor().visitor_id, limit=LISTED * (page.listed_more - start) + 1, skip=LISTED * start
        )
    except StoreError:
        return None


def _draw_entry(page: OnPage, conversation: Conversation) -> int:
    """Draw a conversation, or what is being done to it, and return the number of elements."""
    current = page.conversation is not None and page.conversation.id == conversation.id
    act = page.acting[0] if page.acting and page.acting[1] == conversation.id else None
    if act == "Rename":
        _draw_rename(page, conversation)
        return 2
    if act == "Delete":
        st.caption(f"Delete “{plain(conversation.title or 'this conversation')}”? This cannot be undone.")
        _draw_choice(page, "Delete", conversation.id)
        return 2
    with st.container(horizontal=True, wrap=False, gap=None, vertical_alignment="center", key=f"row_{conversation.id}"):
        st.button(
            plain(conversation.title or "A conversation"),
            type="secondary" if current else "tertiary",
            width="stretch",
            wrap=False,
            key=f"open_{conversation.id}",
            on_click=_open,
            args=(page, conversation.id),
        )
        st.menu_button(
            "Conversation menu",
            MENU,
            icon=":material/more_horiz:",
            type="tertiary",
            key=f"menu_{conversation.id}",
            format_func=lambda name: f":material/{MENU_ICONS[name]}: {name}",
            on_click=_act,
            args=(page, conversation.id),
        )
    return 1


def _draw_rename(page: OnPage, conversation: Conversation) -> None:
    key = f"title_{conversation.id}"
    st.text_input("Name", conversation.title or "", key=key, max_chars=80, on_change=_rename, args=(page, key))
    st.button("Cancel", type="tertiary", key="rename_cancel", on_click=setattr, args=(page, "acting", None))


def _draw_choice(page: OnPage, label: str, conversation_id: str | None) -> None:
    """Ask once before something is deleted for good."""
    key = "delete_now" if conversation_id else "delete_all_now"
    with st.container(horizontal=True, gap="small"):
        st.button(label, type="primary", key=key, on_click=_delete, args=(page, conversation_id))
        st.button("Cancel", key=f"{key}_cancel", on_click=setattr, args=(page, "acting", None))


def _act(page: OnPage, conversation_id: str) -> None:
    """Carry out a choice of a row's menu."""
    act: Act = st.session_state[f"menu_{conversation_id}"]
    page.acting = None
    if act != "Download":
        page.acting = act, conversation_id
    elif whole := _whole(conversation_id):
        page.download = new_id(), _file_name(whole), _as_markdown(whole)


def _choose_theme(page: OnPage) -> None:
    page.theme = new_id(), st.session_state["appearance"]


def _whole(conversation_id: str) -> Conversation | None:
    """Return a conversation with all its turns; None where it cannot be read."""
    conversations = running.app().conversations
    try:
        whole = conversations.get(conversation_id, session.visitor().visitor_id)
    except StoreError:
        return None
    while whole and whole.earlier:
        longer = conversations.earlier(whole)
        if longer is whole:
            return None
        whole = longer
    return whole


def _file_name(conversation: Conversation) -> str:
    """Return a file name of the title and the date that every file system accepts."""
    words = re.sub(r"[^\w]+", "-", conversation.title or "conversation").strip("-")
    return (
        f"{words or 'conversation'} {datetime.fromtimestamp(conversation.updated_ms / 1000, reader_zone()):%Y-%m-%d}.md"
    )


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
        if page.acting == ("Delete", ""):
            st.markdown("Delete all your conversations? This cannot be undone.")
            _draw_choice(page, "Delete all", None)
        else:
            st.button(
                "Delete all my conversations",
                icon=":material/delete:",
                key="delete_all",
                on_click=setattr,
                args=(page, "acting", ("Delete", "")),
            )


def _day(conversation: Conversation) -> str:
    zone = reader_zone()
    day, today = datetime.fromtimestamp(conversation.updated_ms / 1000, zone).date(), datetime.now(zone).date()
    ago = (today - day).days
    return "Today" if ago <= 0 else "Yesterday" if ago == 1 else f"{day:%A}" if ago < 7 else f"{day.day} {day:%B %Y}"


def _open(page: OnPage, conversation_id: str | None) -> None:
    if conversation_id:
        st.query_params["c"] = conversation_id
    else:
        page.start_new()


def _list_more(page: OnPage, pieces: int = 1) -> None:
    page.listed, page.listed_more = None, page.listed_more + pieces


def _rename(page: OnPage, key: str) -> None:
    page.acting = None
    if title := clean_text(st.session_state[key]).strip():
        store, conversation_id = running.app().store, key.removeprefix("title_")
        store.conversations.rename(conversation_id, session.visitor().visitor_id, title).wait(0.25)
        # Not read again, because a slow store may not have written the name yet.
        if page.listed is not None:
            page.listed = [replace(one, title=title) if one.id == conversation_id else one for one in page.listed]


def _delete(page: OnPage, conversation_id: str | None) -> None:
    visitor_id, here = session.visitor().visitor_id, page.conversation
    running.app().conversations.deletions.delete(visitor_id, conversation_id).wait(0.25)
    page.listed = page.acting = None
    if conversation_id is None or (here and here.id == conversation_id):
        _open(page, None)
    running.forget_pages({visitor_id}, but=script_session())


def _as_markdown(conversation: Conversation) -> str:
    return "\n\n---\n\n".join(map(_turn_as_markdown, conversation.turns)) + "\n"


def _turn_as_markdown(turn: Turn) -> str:
    names = ("Answer A", "Answer B") if turn.comparison else ("Answer",)
    answers = [f"**{name}:** {side.answer or ''}" for name, side in zip(names, turn.sides, strict=True)]
    return "\n\n".join([f"**You:** {turn.question or ''}", *answers])
