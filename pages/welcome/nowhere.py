"""The page for an address that has no page for this visitor, where the server could not answer that itself."""

import streamlit as st

from pages.welcome.card import card

with card("There is no page here"):
    st.markdown("The address may be old, or a part of it may be missing.")
    if st.button("Go to the chat", type="primary", key="go_to_chat"):
        st.switch_page(st.session_state.first_page)
