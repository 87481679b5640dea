"""The vote on two answers, and the actions on them."""

from collections.abc import Mapping

import streamlit as st

from lib.domain.conversation import Comparison, Turn
from lib.domain.rating import Reason, Vote
from lib.web import running
from pages.chat.asking import ask, send_again
from pages.chat.feedback import SAVED_WITHIN, draw_form, draw_thanks
from pages.chat.state import on_page
from pages.chat.turns import draw_button

CHOICES: tuple[tuple[Vote, str], ...] = (
    ("left", "A is better"),
    ("right", "B is better"),
    ("tie", "Both good"),
    ("both_bad", "Both bad"),
)
WORDS = dict(CHOICES)
UNCOVERED = "No vote: you have seen which group gave which answer."
QUESTIONS: Mapping[Vote | None, str] = {
    "left": "What was wrong with B? (optional)",
    "right": "What was wrong with A? (optional)",
    "both_bad": "What was wrong with them? (optional)",
}
"""The question about the answers that a vote marked as worse."""


def draw_below(turn: Turn, comparison: Comparison, last: bool, outdated: bool) -> None:
    """Draw the vote and the actions below both answers. `outdated`: they were the last ones until now. Empty elements
    then replace what only the last ones have, which the browser would otherwise show until the run ends."""
    votable = last and comparison.votable
    if votable and running.app().comparisons.open_to_vote(on_page().here, comparison.id):
        _draw_choices(comparison)
    elif comparison.vote and (votable or not last):
        st.caption(f"Your vote: {WORDS[comparison.vote]}")
    elif votable:
        st.caption(UNCOVERED)
    elif outdated:
        st.empty()
    if on_page().explaining == turn.answer_id:
        with st.container():
            _draw_reasons(turn, comparison)
    elif on_page().explained == turn.answer_id:
        draw_thanks(turn.answer_id)
    elif outdated:
        st.empty()
    if turn.question:
        _draw_actions(turn, comparison, last, outdated)


def _draw_choices(comparison: Comparison) -> None:
    """Draw the four choices. On a phone they are enabled once both answers have been visible
    (pages/browser/comparison.js)."""
    with st.container(gap="xsmall"):
        st.caption("Read both answers. Which one is better?")
        with st.container(key=f"choices_{comparison.id}", horizontal=True, gap="small"):
            for vote, label in CHOICES:
                _draw_choice(comparison, vote, label)


def _draw_choice(comparison: Comparison, vote: Vote, label: str) -> None:
    chosen = comparison.vote == vote
    st.button(
        label,
        type="primary" if chosen else "secondary",
        icon=":material/check:" if chosen else None,
        key=f"choice_{vote}_{comparison.id}",
        width="stretch",
        on_click=_vote,
        args=(comparison.id, vote),
    )


def _draw_actions(turn: Turn, comparison: Comparison, last: bool, outdated: bool) -> None:
    """Draw the buttons for the reasons of a vote, for both answers again, and for an edit of the question."""
    failed = any(side.finish_reason in ("stopped", "interrupted", "error", "limited") for side in comparison.sides)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if last and comparison.vote and on_page().explaining != turn.answer_id:
            draw_button("Say why", "rate_review", turn, setattr, on_page(), "explaining", turn.answer_id)
        elif outdated:
            st.empty()
        if failed:
            draw_button("Try again", "refresh", turn, *((send_again,) if last else (ask, turn.question)))
        elif last:
            draw_button("Regenerate", "refresh", turn, send_again)
        elif outdated:
            st.empty()
        if last:
            draw_button("Edit question", "edit", turn, setattr, on_page(), "editing", turn.answer_id)
        elif outdated:
            st.empty()


def _vote(comparison_id: str, vote: Vote) -> None:
    """Record a vote on the last comparison of the page. A vote on another one is ignored."""
    page, app = on_page(), running.app()
    if page.conversation is None:
        return
    page.conversation = app.conversations.fresh(page.here)
    if page.last is None or page.last.answer_id != comparison_id:
        return
    page.conversation, receipt = app.comparisons.vote(page.here, page.last, vote)
    if receipt:
        receipt.wait(SAVED_WITHIN)
        page.receipt, page.explaining = receipt, comparison_id


def _draw_reasons(turn: Turn, comparison: Comparison) -> None:
    """Draw thanks for a vote, and a form for the reason, until it is sent or the tester moves on."""
    if comparison.vote is None:
        return
    draw_thanks(turn.answer_id)
    draw_form(turn.answer_id, comparison.vote, _explained(comparison), QUESTIONS.get(comparison.vote), _explain)


def _explained(comparison: Comparison) -> Turn:
    """Return the answer that has the reason: one that the vote marked as worse, else the left one."""
    return (comparison.worse or (comparison.left,))[0]


def _explain(answer_id: str, vote: str, reason: Reason | None, comment: str | None) -> None:
    page = on_page()
    turns = page.conversation.turns if page.conversation else ()
    turn = next((one for one in turns if one.answer_id == answer_id), None)
    if turn is None or turn.comparison is None or turn.comparison.vote != vote:
        return
    known = _explained(turn.comparison)
    if (reason, comment) != (known.reason, known.comment):
        page.conversation, page.receipt = running.app().comparisons.explain(page.here, turn, reason, comment)
        if page.receipt:
            page.receipt.wait(SAVED_WITHIN)
