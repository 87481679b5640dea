"""The component of every page except the chat: the direction of text, the keyboard focus, and the use of wide tables,
toolbars and dates by keyboard. On the chat page its own component does the first two.
"""

import json
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_PARTS = ("styles", "directions", "focus", "tables", "toolbars", "dates", "any_page")
_STYLE = (_HERE / "every_page.css").read_text(encoding="utf-8")
_COMPONENT = st.components.v2.component(
    "parley_any_page",
    js="\n".join(
        [
            f"const EVERY_PAGE_STYLE = {json.dumps(_STYLE)};",
            *((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS),
        ]
    ),
)


def keep_page(*, tables: bool) -> None:
    """Mount the component before the page's other elements, in a place that takes no room (pages/frame.css).

    `tables`: the page may have tables.
    """
    with st.container(key="any_page"):
        _COMPONENT(key="keep_page", data={"tables": tables})
