"""Instead of the chat: why somebody is outside, or what they are asked before they come in. Nothing of the app."""

import streamlit as st

from lib.domain.invitations import REFUSAL_WORDS
from lib.web import running
from pages import entrance

app, barrier = running.app(), entrance.barrier()


def agree() -> None:
    st.session_state.not_saved = not entrance.agree()


if barrier == "sign_in":
    st.header(app.settings.title)
    for provider, label in entrance.providers().items():
        st.button(label, type="primary", key=f"sign_in_{provider}", on_click=st.login, args=(provider,))
elif barrier == "consent":
    st.header("Before you begin")
    st.markdown(app.settings.consent)
    st.button("I agree", type="primary", key="agree", on_click=agree)
    if st.session_state.get("not_saved"):
        st.warning("That could not be saved. Please try again in a minute.")
elif barrier:
    title, text = REFUSAL_WORDS[barrier]
    st.header(title)
    st.markdown(text)
