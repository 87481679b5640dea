"""Tables of text. On a phone each row of a wide one is a card: its first cell, then the others with their headings."""

from collections.abc import Mapping, Sequence

import streamlit as st


def draw_table(rows: Sequence[Mapping[str, str]], alt: str, *, cards: str | None = None) -> None:
    """Draw rows of Markdown. `cards` is the table's own name where it is too wide for a phone; its style is in
    frame.css, its headings come from browser/tables.js."""
    if cards is None:
        st.table(list(rows), border="horizontal", hide_index=True, alt=alt)
        return
    with st.container(key=f"cards_{cards}"):
        st.table(list(rows), border="horizontal", hide_index=True, alt=alt)
