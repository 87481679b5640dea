"""The Python face of what two answers side by side need in the browser. Mounted on their pages only, so that all other
pages carry nothing of it."""

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
    """Mount it. Early in a run, so that it is there while answers grow."""
    _COMPONENT(key="keep_comparisons", data={})
