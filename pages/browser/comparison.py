"""The component of two answers side by side. Mounted on their pages only, so that other pages do not load it."""

import json
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_COMPONENT = st.components.v2.component(
    "parley_comparison",
    html="<span></span>",
    js="\n".join(
        [
            f"const COMPARISON_STYLE = {json.dumps((_HERE / 'comparison.css').read_text(encoding='utf-8'))};",
            (_HERE / "comparison.js").read_text(encoding="utf-8"),
        ]
    ),
)


def keep_comparisons() -> None:
    """Mount the component, early in a run, so that it exists while answers grow."""
    _COMPONENT(key="keep_comparisons", data={})
