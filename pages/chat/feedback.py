"""A tester's feedback on an answer: thumbs, the form for a reason and a comment, and the thanks once it is stored."""

import streamlit as st

from lib.domain.conversation import Turn
from lib.domain.prompts import clean_text
from lib.domain.rating import REASONS, Rating, Reason
from lib.web import running
from pages.chat.state import on_page

SAVED_WITHIN = 0.25
"""Seconds that a page waits for a write before it confirms it."""
VOTES: dict[int | None, Rating | None] = {None: None, 0: "dissatisfaction", 1: "satisfaction"}
THUMBS = {vote: value for value, vote in VOTES.items()}
REASON_WORDS = {
    "wrong": "Wrong", "incomplete": "Incomplete", "too_long": "Too long", "too_slow": "Too slow",
    "off_tone": "Off tone", "unsafe": "Unsafe", "other": "Something else",
}  # fmt: skip


def draw_thumbs(turn: Turn) -> None:
    """Draw the thumbs. The widget's value is compared with the known vote, so that a restart between two clicks loses
    none."""
    vote = VOTES[st.feedback("thumbs", key=f"rating_{turn.answer_id}", default=THUMBS[turn.rating])]
    if vote == turn.rating:
        return
    page = on_page()
    page.conversation, page.receipt = running.app().conversations.rate(page.here, turn, vote)
    page.receipt.wait(SAVED_WITHIN)
    page.explaining = turn.answer_id if vote else None


def draw_reasons(answer_id: str) -> None:
    """Draw thanks for a thumb, and a form for the reason, until it is sent or the tester moves on."""
    page = on_page()
    turn = page.answered(answer_id)
    if turn is None:
        return
    draw_thanks(answer_id)
    question = "What was wrong? (optional)" if turn.rating == "dissatisfaction" else None
    _keep_reason(turn, *draw_reason(answer_id, turn, question))
    st.button("Send", key=f"send_{answer_id}", on_click=_send_reason, args=(turn,))


def _keep_reason(turn: Turn, reason: Reason | None, comment: str | None) -> None:
    page = on_page()
    if (reason, comment) != (turn.reason, turn.comment):
        page.conversation, page.receipt = running.app().conversations.explain(page.here, turn, reason, comment)


def _send_reason(turn: Turn) -> None:
    """Store the panel's fields as they are at the click, and close it."""
    state, about = st.session_state, turn.answer_id
    comment = clean_text(state.get(f"comment_{about}") or "").strip() or None
    _keep_reason(turn, state.get(f"reason_{about}", turn.reason), comment)
    on_page().explaining, on_page().explained = None, about


def draw_thanks(about: str) -> None:
    """Thank for a vote once it is written."""
    receipt = on_page().receipt
    if receipt and receipt.committed:
        st.caption("Saved, thank you")
    elif receipt:
        draw_receipt(about)


def draw_reason(about: str, known: Turn, question: str | None) -> tuple[Reason | None, str | None]:
    """Draw the form for a reason, if there is a `question` for one, and for a comment; return both."""
    reason = known.reason
    if question is not None:
        reason = st.pills(
            question, REASONS, default=known.reason, format_func=REASON_WORDS.__getitem__, key=f"reason_{about}"
        )
    comment = st.text_input(
        "Anything to add?",
        known.comment or "",
        key=f"comment_{about}",
        max_chars=500,
        placeholder="Anything to add? (optional)",
        label_visibility="collapsed",
    )
    return reason, clean_text(comment or "").strip() or None


@st.fragment(run_every=2.0)
def draw_receipt(answer_id: str) -> None:
    """Draw that a vote is not stored yet. Once it is, rerun the page, which leaves this repeating fragment out."""
    receipt = on_page().receipt
    if receipt is None or receipt.committed:
        st.rerun()
    st.caption("Not saved yet")
