"""The frame of every page: title, access, navigation. It runs on every rerun, so it must be cheap."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from lib import __version__
from lib.web import running
from pages import entrance, session
from pages.chat.state import forget_deleted

STYLE = Path(__file__).with_suffix(".css")

session.begin_run()
session.leave_ended_session()
forget_deleted()
app, barrier, operator = running.app(), entrance.barrier(), session.operator()
st.set_page_config(
    # Without a page icon the tab shows ours (lib/web/server.py); Streamlit would load one of its own from elsewhere.
    page_icon="💬" if operator else None,
    page_title=app.settings.title if entrance.may_know_the_name(barrier) else "By invitation",
    initial_sidebar_state="collapsed" if barrier else "auto",
)


def icon(name: str) -> str | None:
    """Return an icon for the navigation, which only operators have."""
    return f":material/{name}:" if operator else None


def wrong_address(known: set[str]) -> str | None:
    """Return the page that this browser's address names and this session does not have.

    The server answers wrong addresses itself. Only addresses that were valid before a session ended get here.
    """
    path = urlsplit(st.context.url or "").path.strip("/")
    return path if path and path not in known and re.fullmatch("[a-z0-9_-]{1,40}", path) else None


if barrier is None:
    pages = [st.Page("chat/page.py", title="Chat", icon=icon("forum"), url_path="chat", default=True)]
else:  # at the chat's address, so that a visitor who gets in is in the chat at once
    pages = [st.Page("welcome/page.py", title="Welcome", icon=icon("door_front"), url_path="chat", default=True)]
if entrance.offers_sign_in():
    pages.append(st.Page("welcome/sign_in.py", title="Sign in", icon=icon("login"), url_path="sign-in"))
if operator:  # for everyone else these do not exist
    pages.append(st.Page("results/page.py", title="Results", icon=icon("monitoring"), url_path="results"))
    pages.append(st.Page("experiment/page.py", title="Experiment", icon=icon("science"), url_path="experiment"))
    pages.append(st.Page("history/page.py", title="History", icon=icon("history"), url_path="history"))
    pages.append(st.Page("events/page.py", title="Events", icon=icon("receipt_long"), url_path="events"))
st.session_state.first_page = pages[0]
if wrong := wrong_address({one.url_path for one in pages} | {"chat"}):
    pages.append(st.Page("welcome/nowhere.py", title="No page", url_path=wrong, visibility="hidden"))
page = st.navigation(pages, position="top" if operator and not session.as_tester() else "hidden")
st.session_state.came_from, st.session_state.at = st.session_state.get("at"), page.url_path
if operator or barrier:
    st.html(STYLE)
if barrier or page.url_path:  # the chat page has a component of its own
    from pages.browser import keep_page

    keep_page(tables=operator)
page.run()
if operator and page.url_path in ("results", "experiment", "history", "events"):
    st.caption(f"Parley {__version__}", text_alignment="center")
