"""Around every page: its title, who is here, where they may go. Runs on every rerun, so it does next to nothing."""

import streamlit as st

from lib.web import running
from pages import entrance, session
from pages.chat.state import forget_deleted

session.leave_ended_session()
forget_deleted()
app, barrier, operator = running.app(), entrance.barrier(), session.operator()
uninvited = barrier is not None and barrier not in ("sign_in", "consent")
st.set_page_config(
    # Without one the tab shows our icon (lib/web/server.py); Streamlit would fetch an icon of its own from elsewhere.
    page_icon="💬" if operator else None,
    page_title="By invitation" if uninvited else app.settings.title,
    initial_sidebar_state="collapsed" if barrier else "auto",
)


def icon(name: str) -> str | None:
    """For the navigation, which only operators have."""
    return f":material/{name}:" if operator else None


if barrier is None:
    pages = [st.Page("chat/page.py", title="Chat", icon=icon("forum"), url_path="chat", default=True)]
else:  # in the chat's place, so that whoever passes is there
    pages = [st.Page("welcome/page.py", title="Welcome", icon=icon("door_front"), url_path="chat", default=True)]
if entrance.offers_sign_in():
    pages.append(st.Page("welcome/sign_in.py", title="Sign in", icon=icon("login"), url_path="sign-in"))
if operator:  # for everyone else these do not exist
    pages.append(st.Page("results/page.py", title="Results", icon=icon("monitoring"), url_path="results"))
    pages.append(st.Page("experiment/page.py", title="Experiment", icon=icon("science"), url_path="experiment"))
    pages.append(st.Page("events/page.py", title="Events", icon=icon("receipt_long"), url_path="events"))
page = st.navigation(pages, position="top" if operator else "hidden")
st.session_state.came_from, st.session_state.at = st.session_state.get("at"), page.url_path
page.run()
