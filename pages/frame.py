"""Around every page: its title, who is here, where they may go. Runs on every rerun, so it does next to nothing."""

import streamlit as st

from lib import entrance, resources

app, barrier = resources.app(), entrance.barrier()
uninvited = barrier is not None and barrier not in ("sign_in", "consent")
st.set_page_config(
    page_title="By invitation" if uninvited else app.settings.title,
    initial_sidebar_state="collapsed" if barrier else "auto",
)  # fmt: skip

if barrier is None:
    pages = [st.Page("chat.py", title="Chat", icon=":material/forum:", default=True)]
else:  # in the chat's place, so that whoever passes is there
    pages = [st.Page("door.py", title="Welcome", icon=":material/door_front:", url_path="chat", default=True)]
if entrance.offers_sign_in():
    pages.append(st.Page("sign_in.py", title="Sign in", icon=":material/login:", url_path="sign-in"))
operator = resources.operator()
if operator:  # for everyone else these do not exist
    pages.append(st.Page("results.py", title="Results", icon=":material/monitoring:"))
    pages.append(st.Page("experiment.py", title="Experiment", icon=":material/science:"))
    pages.append(st.Page("events.py", title="Events", icon=":material/receipt_long:"))
page = st.navigation(pages, position="top" if operator else "hidden")
st.session_state.came_from, st.session_state.at = st.session_state.get("at"), page.url_path
page.run()
