"""The page in place of the chat: the reason why the visitor has no access, sign-in, or the notice to accept first. It
shows nothing of the app."""

import streamlit as st

from lib.domain.invitations import REFUSAL_WORDS
from lib.web import running
from pages import entrance
from pages.welcome.card import card, draw_providers

app, barrier = running.app(), entrance.barrier()


def agree() -> None:
    st.session_state.not_saved = not entrance.agree()


if barrier == "sign_in":
    with card("Sign in"):
        st.markdown("You need an account to use this chat. If you do not want to sign in, close this page.")
        draw_providers()
elif barrier == "consent":
    with card("Before you begin"):
        st.markdown(app.settings.consent)
        st.button("I agree", type="primary", key="agree", on_click=agree)
        st.caption("If you do not agree, close this page. The chat stays closed, and nothing is recorded.")
        if st.session_state.get("not_saved"):
            st.warning("That could not be saved. Please try again in a minute.", icon=":material/cloud_off:")
elif barrier:
    title, text = REFUSAL_WORDS[barrier]
    with card(title):
        st.markdown(text)
