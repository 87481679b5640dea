"""A tester's feedback on an answer: thumbs, the form for a reason and a comment, and the thanks once it is stored."""

from collections.abc import Callable

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
    """Draw the thumbs. A callback stores a click before the page is drawn again, because the next click may remove the
    thumbs. After a restart of Parley, Streamlit does not know the widget and calls no callback, so the value is read
    here too."""
    value = st.feedback(
        "thumbs",
        key=f"rating_{turn.answer_id}",
        default=THUMBS[turn.rating],
        on_change=_read_thumbs,
        args=(turn.answer_id,),
    )
    _rate(turn, VOTES[value])


def _read_thumbs(answer_id: str) -> None:
    if turn := on_page().answered(answer_id):
        _rate(turn, VOTES[st.session_state.get(f"rating_{answer_id}")])


def _rate(turn: Turn, vote: Rating | None) -> None:
    page = on_page()
    if vote == turn.rating:
        return
    page.conversation, page.receipt = running.app().conversations.rate(page.here, turn, vote)
    page.receipt.wait(SAVED_WITHIN)
    page.explaining = turn.answer_id if vote else None


def draw_reasons(answer_id: str) -> None:
    """Draw thanks for a thumb, and a form for the reason, until it is sent or the tester moves on."""
    turn = on_page().answered(answer_id)
    if turn is None or turn.rating is None:
        return
    draw_thanks(answer_id)
    question = "What was wrong? (optional)" if turn.rating == "dissatisfaction" else None
    draw_form(answer_id, turn.rating, turn, question, _explain)


def _explain(answer_id: str, vote: str, reason: Reason | None, comment: str | None) -> None:
    page = on_page()
    turn = page.answered(answer_id)
    if turn and turn.rating == vote and (reason, comment) != (turn.reason, turn.comment):
        page.conversation, page.receipt = running.app().conversations.explain(page.here, turn, reason, comment)
        page.receipt.wait(SAVED_WITHIN)


def draw_thanks(about: str) -> None:
    """Thank for a vote once it is written."""
    receipt = on_page().receipt
    if receipt and receipt.committed:
        st.caption("Saved, thank you")
    elif receipt:
        draw_receipt(about)


Explain = Callable[[str, str, Reason | None, str | None], None]
"""A function that stores the reason and the comment of a vote (a thumb or a preference), if the vote is unchanged."""


def draw_form(answer_id: str, vote: str, known: Turn, question: str | None, explain: Explain) -> None:
    """Draw the form for a reason, if there is a `question` for one, and for a comment. What is entered is stored at
    once, because the next click may take the form away."""
    about, entered = f"{vote}_{answer_id}", (answer_id, vote, explain)
    if question is not None:
        st.pills(
            question,
            REASONS,
            default=known.reason,
            format_func=REASON_WORDS.__getitem__,
            key=f"reason_{about}",
            on_change=_read_form,
            args=entered,
        )
    st.text_input(
        "Anything to add?",
        known.comment or "",
        key=f"comment_{about}",
        max_chars=500,
        placeholder="Anything to add? (optional)",
        label_visibility="collapsed",
        on_change=_read_form,
        args=entered,
    )
    st.button("Send", key=f"send_{about}", on_click=_send_form, args=entered)


def _read_form(answer_id: str, vote: str, explain: Explain) -> None:
    state, about = st.session_state, f"{vote}_{answer_id}"
    comment = clean_text(state.get(f"comment_{about}") or "").strip() or None
    explain(answer_id, vote, state.get(f"reason_{about}"), comment)


def _send_form(answer_id: str, vote: str, explain: Explain) -> None:
    """Store the fields as they are at the click, and close the form."""
    _read_form(answer_id, vote, explain)
    on_page().explaining, on_page().explained = None, answer_id


@st.fragment(run_every=2.0)
def draw_receipt(answer_id: str) -> None:
    """Draw that a vote is not stored yet. Once it is, rerun the page, which leaves this repeating fragment out."""
    receipt = on_page().receipt
    if receipt is None or receipt.committed:
        st.rerun()
    st.caption("Not saved yet")
