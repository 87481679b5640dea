"""Where an operator signs in although testers need not. It shows nothing of what is behind it."""

import streamlit as st

from pages import entrance

st.header("Sign in")
for provider, label in entrance.providers().items():
    st.button(label, type="primary", key=f"sign_in_{provider}", on_click=st.login, args=(provider,))
