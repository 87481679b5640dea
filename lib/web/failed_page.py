"""The card on the page of a script that failed. The cause goes to the log."""

import logging

import streamlit as st

from lib.domain.record import StoreError
from lib.web.running import Unready

log = logging.getLogger("parley")

WIDTH = 480
"""Width of the card in pixels."""


UNUSABLE = (
    "Parley cannot be used right now. Please try again in a minute. If it stays so, please tell the person who invited "
    "you."
)
FAILED = "Something went wrong on this page. Reload it to continue; nothing that was saved is lost."


def on_script_error(error: Exception) -> bool:
    """Show a sentence on the page and log the cause."""
    if isinstance(error, Unready | StoreError):
        log.warning("a page cannot be shown: %s", error)
        _draw("Please wait a moment", UNUSABLE, ":material/cloud_off:")
    else:
        log.error("a page failed", exc_info=error)
        _draw("This page cannot be shown", FAILED, ":material/error:")
    return True


def _draw(title: str, text: str, icon: str) -> None:
    with st.container(horizontal_alignment="center"), st.container(border=True, width=WIDTH, gap="small"):
        st.subheader(title, anchor=False)
        st.error(text, icon=icon)
