"""The page of an address that this visitor has no page at, where the server could not answer that itself."""

import streamlit as st

from pages.welcome.card import card

with card("There is no page here"):
    st.markdown("The address may be old, or a part of it may be missing.")
    if st.button("Go to the chat", type="primary", key="go_to_chat"):
        st.switch_page(st.session_state.first_page)
