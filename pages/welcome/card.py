"""The card of every page that replaces the chat: the app's name, a heading, and the possible actions."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from lib.web import running
from pages import entrance
from pages.results.words import plain

WIDTH = 480
"""Width of the card in pixels; on a phone that of the screen."""


@contextmanager
def card(title: str) -> Iterator[None]:
    """Draw the card around the block's elements."""
    with (
        st.container(horizontal_alignment="center"),
        st.container(border=True, width=WIDTH, gap="small", key="card"),
    ):
        if entrance.may_know_the_name(entrance.barrier()):
            st.caption(plain(running.app().settings.title))
        st.subheader(title, anchor=False)
        yield


def draw_providers() -> None:
    """Draw a button for each sign-in provider."""
    for provider, label in entrance.providers().items():
        st.button(label, type="primary", key=f"sign_in_{provider}", on_click=st.login, args=(provider,))
