"""The one card of every page that stands in the chat's place: the app's name, a heading, and what can be done."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from lib.web import running
from pages import entrance
from pages.results.words import plain

WIDTH = 480
"""Of the card, in pixels; a phone's is as wide as its screen."""


@contextmanager
def card(title: str) -> Iterator[None]:
    """Draw the card around what the block draws."""
    with (
        st.container(horizontal_alignment="center"),
        st.container(border=True, width=WIDTH, gap="small", key="card"),
    ):
        if entrance.may_know_the_name(entrance.barrier()):
            st.caption(plain(running.app().settings.title))
        st.subheader(title, anchor=False)
        yield


def draw_providers() -> None:
    """Draw a button for everyone who can sign a visitor in."""
    for provider, label in entrance.providers().items():
        st.button(label, type="primary", key=f"sign_in_{provider}", on_click=st.login, args=(provider,))
