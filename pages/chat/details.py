"""The details of an answer that operators see and testers do not."""

from collections.abc import Mapping

import streamlit as st

from lib.domain.conversation import Turn
from pages import session
from pages.results.words import plain

DETAILS = (
    ("group", "Group", "{}"),
    ("model", "Model", "{}"),
    ("served_model", "Answered by", "{}"),
    ("provider", "Provider", "{}"),
    ("time_to_first_token", "First token", "{:.2f} s"),
    ("reasoning_time", "Thinking", "{:.2f} s"),
    ("response_time", "Whole answer", "{:.2f} s"),
    ("prompt_tokens", "Prompt", "{:,} tokens"),
    ("completion_tokens", "Answer", "{:,} tokens"),
    ("usage_source", "Tokens", "{}"),
    ("tokens_per_second", "Speed", "{:.0f} tokens/s"),
    ("cost_usd", "Cost", "${:.6f}"),
    ("finish_reason", "Ended", "{}"),
    ("limit", "Limit met", "{}"),
    ("error", "Error", "{}"),
    ("retries", "Retries", "{}"),
    ("dropped_parameters", "Refused by the model", "{}"),
    ("renamed_parameters", "Sent under another name", "{}"),
    ("parameter_error", "Not valid, not sent", "{}"),
)
"""The operator's details of an answer: the fact, its label, its format."""
IN_WORDS: Mapping[str, Mapping[str, str]] = {
    "usage_source": {
        "server": "Counted by the model server", "estimated": "Estimated from the text", "none": "Not known",
    },
    "finish_reason": {
        "stop": "Finished normally", "length": "Cut off at the length limit", "refusal": "The model refused",
        "content_filter": "Cut off by the model's content filter", "tool_calls": "The model asked for a tool",
        "stopped": "Stopped by the tester", "interrupted": "The stream broke off", "error": "Failed",
        "limited": "A limit was met",
    },
}  # fmt: skip
"""The values that operators read as words."""


def draw_details(turn: Turn, group: str | None) -> None:
    """Draw the details that testers do not see."""
    with st.popover("Details", icon=":material/info:", type="tertiary", key=f"details_{turn.answer_id}"):
        st.markdown(details_table(turn, group))
        if session.operator():
            st.page_link(
                "events/page.py",
                label="Its events and their delivery",
                icon=":material/receipt_long:",
                query_params={"answer": turn.answer_id},
            )


def details_table(turn: Turn, group: str | None) -> str:
    """Return the details of an answer as a Markdown table."""
    known = {"group": group or "not taking part", "model": turn.model} | dict(turn.facts)
    values = {name: IN_WORDS.get(name, {}).get(str(value), value) for name, value in known.items()}
    if not values.get("retries"):
        values.pop("retries", None)
    values |= {name: plain(value) for name, value in values.items() if isinstance(value, str)}
    rows = [f"| {label} | {shape.format(values[name])} |" for name, label, shape in DETAILS if name in values]
    return "\n".join(["| Detail | Value |", "|---|---|", *rows])
