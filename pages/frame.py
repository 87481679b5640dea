"""Around every page: its title, who is here, where they may go. Runs on every rerun, so it does next to nothing."""

import streamlit as st

from lib import resources

app = resources.app()
st.set_page_config(page_title=app.settings.title, page_icon="💬", initial_sidebar_state="auto")

chat = st.Page("chat.py", title="Chat", icon=":material/forum:", default=True)
st.navigation([chat], position="hidden").run()
