"""The page of a script that failed: a sentence. The cause goes to the log."""

import logging

import streamlit as st

from lib.domain.record import StoreError
from lib.web.running import Unready

log = logging.getLogger("parley")


def on_script_error(error: Exception) -> bool:
    """Show a sentence on the page and log the cause."""
    if isinstance(error, Unready | StoreError):
        log.warning("a page cannot be shown: %s", error)
        st.error("Parley cannot be used right now. Its operator has been told. Please try again in a minute.")
    else:
        log.error("a page failed", exc_info=error)
        st.error("Something went wrong on this page. Reload it to go on; nothing that was saved is lost.")
    return True
