"""The tables of the operators' pages: wide ones can be scrolled by keyboard. Streamlit's own cannot."""

from pathlib import Path

import streamlit as st

_COMPONENT = st.components.v2.component(
    "parley_tables", js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
)


def keep_tables() -> None:
    """Mount the component, which looks after all tables of the page."""
    _COMPONENT(key="tables")
