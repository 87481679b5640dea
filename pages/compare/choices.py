"""The vote on two answers, and the actions on them."""

import streamlit as st

from lib.domain.conversation import Comparison, Turn
from lib.domain.rating import Vote
from lib.web import running
from pages.chat.asking import send, send_again
from pages.chat.state import on_page
from pages.chat.turns import SAVED_WITHIN, draw_button, draw_reason, draw_thanks

CHOICES: tuple[tuple[Vote, str], ...] = (
    ("left", "A is better"),
    ("right", "B is better"),
    ("tie", "Both good"),
    ("both_bad", "Both bad"),
)
WORDS = dict(CHOICES)
UNCOVERED = "No vote: you have seen which group gave which answer."


def draw_below(turn: Turn, comparison: Comparison, last: bool, outdated: bool) -> None:
    """Draw what stands below both answers. Where they were the last ones until now (`outdated`), nothing takes the
    place of what only the last ones have: the browser would show that until the run ends."""
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
    elif outdated:
        st.empty()
    if turn.question:
        _draw_actions(turn, comparison, last, outdated)


def _draw_choices(comparison: Comparison) -> None:
    with st.container(key=f"choices_{comparison.id}", horizontal=True, gap="small"):
        for vote, label in CHOICES:
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
    """Ask both again, as under one answer."""
    failed = any(side.finish_reason in ("stopped", "interrupted", "error", "limited") for side in comparison.sides)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if failed:
            draw_button("Try again", "refresh", turn, *((send_again,) if last else (send, turn.question)))
        elif last:
            draw_button("Regenerate", "refresh", turn, send_again)
        elif outdated:
            st.empty()
        if last:
            draw_button("Edit question", "edit", turn, setattr, on_page(), "editing", turn.answer_id)
        elif outdated:
            st.empty()


def _vote(comparison_id: str, vote: Vote) -> None:
    """Record a vote on the last comparison of the page; of another one, the page is drawn as it is now."""
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
    """After a vote: thanks, and room to say why, until the tester moves on."""
    page = on_page()
    draw_thanks(turn.answer_id)
    known = (comparison.worse or (comparison.left,))[0]
    reason, comment = draw_reason(f"{comparison.vote}_{turn.answer_id}", known, _question(comparison))
    if (reason, comment) != (known.reason, known.comment):
        page.conversation, page.receipt = running.app().comparisons.explain(page.here, turn, reason, comment)


def _question(comparison: Comparison) -> str | None:
    """Return what is asked about the answers that the vote found wanting; None where it found none."""
    if comparison.vote == "both_bad":
        return "What was wrong with them?"
    return {"left": "What was wrong with B?", "right": "What was wrong with A?"}.get(comparison.vote or "")
