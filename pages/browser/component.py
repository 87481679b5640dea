"""The chat page's component for what only the browser can do: copy within a click, take Esc for Stop, follow a growing
answer, return the focus to the input, and announce an answer to a screen reader once. One invisible component, mounted
twice.

Streamlit itself follows a growing page only with a chat input in its default place, which has no room for Stop. The
component's parts are the `.js` files beside this one, joined in this order: a component of Streamlit's is one module.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_PARTS = (
    "styles", "directions", "focus", "clipboard", "composition", "stop", "send_at_once", "drafts", "orders",
    "messages", "follow", "chat_page", "component",
)  # fmt: skip
_SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"
_LATER = tuple(f"/static/js/{file.name}" for file in _SCRIPTS.glob("StreamlitSyntaxHighlighter.*.js"))
"""Scripts that Streamlit loads only with the first code block: 1.5 MB that would stop a streaming answer for 400 to
1,000 ms. They are fetched while the page is idle; where a version of Streamlit names them otherwise, nothing is
fetched. A tuple, because for a list Streamlit imports pandas to see whether it is a table: 0.4 s and 45 MB."""
_PAGES = ("chat", "results", "experiment", "history", "events", "compare")
_NAMES = {
    "PAGES": _PAGES,
    "BOX": '[data-testid="stChatInputTextArea"]',
    "STYLE": (_HERE / "chat_page.css").read_text(encoding="utf-8"),
    "EVERY_PAGE_STYLE": (_HERE / "every_page.css").read_text(encoding="utf-8"),
}
_COMPONENT = st.components.v2.component(
    "parley_browser",
    html='<span role="status" aria-live="polite"></span>',
    css="""
span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
""",
    js="\n".join(
        [
            *(f"const {name} = {json.dumps(value)};" for name, value in _NAMES.items()),
            *((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS),
        ]
    ),
)


@dataclass(frozen=True, slots=True)
class BoxState:
    """The data that the browser gets early in a run.

    `arrived`: questions that the server has received, which need not come back into the box. `orders`: tasks by name
    (`return` a text into the box, `download` a file, take a `theme`), each with an id and carried out once. `asking`:
    the browser's mark of the request that it waits for.
    """

    arrived: Sequence[str] = ()
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asking: str = ""


def keep_browser(
    box: BoxState,
    on_copied: Callable[[str], object] | None = None,
    on_asking: Callable[[str], object] | None = None,
) -> None:
    """Mount the component, early in a run, so that it exists during the run. `on_copied` gets the id of an answer that
    is in the reader's clipboard, `on_asking` the mark of a browser that asks which questions arrived."""

    def report(name: str, act: Callable[[str], object] | None) -> None:
        if act and (value := st.session_state["keep"][name]):
            act(str(value))

    data = {
        "keep": True,
        "later": _LATER,
        "nonce": 0,
        "asking": box.asking,
        "arrived": _as_json(list(box.arrived)),
        "orders": _as_json(dict(box.orders)),
    }
    _COMPONENT(
        key="keep",
        data=data,
        on_copied_change=lambda: report("copied", on_copied),
        on_asking_change=lambda: report("asking", on_asking),
    )


def tell_browser(
    nonce: int,
    *,
    say: str = "",
    texts: Mapping[str, str] | None = None,
    times: Mapping[str, tuple[int, int | None]] | None = None,
) -> None:
    """Send a request to the browser, once for every new `nonce`. Mounted in a place that no run empties. `texts` are
    the answers that can be copied, `times` when turns were asked and ended, both by answer id."""
    data = {"keep": False, "nonce": nonce, "say": say, "texts": _as_json(texts or {}), "times": _as_json(times or {})}
    _COMPONENT(key="tell", data=data)


def _as_json(value: object) -> str:
    """Return JSON text, because for a list Streamlit imports pandas."""
    return json.dumps(value, ensure_ascii=False)
