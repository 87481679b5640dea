"""Two answers side by side, running or ended. Only their places tell them apart."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lib.chat.generation import Answer
from lib.chat.markdown import as_one
from lib.chat.rescue import LOOK_EVERY
from lib.domain.clock import now_ms
from lib.domain.conversation import Turn
from lib.domain.record import Receipt
from lib.web import running
from lib.web.patches import connected
from pages import entrance, session
from pages.chat.answer_text import GrowingText, draw_answer, draw_thinking
from pages.chat.details import details_table
from pages.chat.state import on_page
from pages.chat.turns import (
    CROWD,
    PACE,
    answer_place,
    draw_button,
    draw_ending,
    draw_question,
    draw_reasoning,
)
from pages.compare.choices import draw_below

Places = tuple[DeltaGenerator, DeltaGenerator]


@dataclass(frozen=True, slots=True)
class Both:
    """The receipts of both answers as one."""

    receipts: Sequence[Receipt]

    @property
    def committed(self) -> bool:
        """True once both are written."""
        return all(receipt.committed for receipt in self.receipts)

    @property
    def result(self) -> bool:
        """False where the record had another end of one of them before."""
        return all(receipt.result is not False for receipt in self.receipts)

    def wait(self, timeout: float) -> bool:
        """Wait at most this many seconds for each."""
        return all(receipt.wait(timeout) for receipt in self.receipts)


def draw(turn: Turn, last: bool, outdated: bool = False) -> None:
    """Draw a question with two ended answers. `outdated`: it was the last turn until now."""
    draw_question(turn)
    with answer_place(turn):
        for place, side in zip(_places(turn), turn.sides, strict=True):
            _draw_ended(side, place)
        draw_end(turn, last, outdated)


def draw_end(turn: Turn, last: bool, outdated: bool = False) -> None:
    """Draw what stands below both answers."""
    if turn.comparison:
        draw_below(turn, turn.comparison, last, outdated)


def _places(turn: Turn) -> Places:
    """Return the two containers. `pages/browser/comparison.js` names them as regions, by their keys."""
    with st.container(key=f"comparison_{turn.answer_id}"):
        left, right = st.columns(2, gap="small")
    return _place(left, "A", turn), _place(right, "B", turn)


def _place(column: DeltaGenerator, letter: str, turn: Turn) -> DeltaGenerator:
    place = column.container(key=f"answer_{letter.lower()}_{turn.answer_id}", border=True, height="stretch")
    place.markdown(f"**Answer {letter}**")
    return place


def _draw_side_end(side: Turn) -> None:
    """Draw the end of one answer: its finish reason, copying, and for operators its details.

    An operator votes as blind as a tester: opening the details gives up the vote, and reasoning, which may reveal the
    model, appears only once there is no vote.
    """
    sees = session.sees_sides()
    if side.reasoning and sees and not running.app().comparisons.open_to_vote(on_page().here, side.comparison_id):
        draw_reasoning(side)
    draw_ending(side)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if side.answer:
            draw_button("Copy", "content_copy", side)
        if sees:
            draw_button(_details_label(side), "info", side, _toggle_details, side)
    if sees and side.answer_id in on_page().detailed:
        st.markdown(details_table(side, side.group))


def _details_label(side: Turn) -> str:
    return "Hide details" if side.answer_id in on_page().detailed else "Details"


def _toggle_details(side: Turn) -> None:
    page = on_page()
    if side.answer_id in page.detailed:
        page.detailed.remove(side.answer_id)
    elif session.sees_sides():
        running.app().comparisons.uncover(page.here, side.comparison_id or "")
        page.detailed.add(side.answer_id)


def follow(turn: Turn) -> None:
    """Show both answers as they arrive, until both have ended."""
    page, conversations, places = on_page(), running.app().conversations, _places(turn)
    answers = [conversations.answer(side) for side in turn.sides]
    if any(side.running and answer is None for side, answer in zip(turn.sides, answers, strict=True)):
        page.conversation = conversations.reread(page.here)
        turn = page.here.turns[-1]
    known = {side.answer_id: answer for side, answer in zip(turn.sides, answers, strict=True) if side.running}
    if all(known.values()):
        follow_here = _wait_for_both if running.app().comparisons.together(page.here) else _follow_here
        follow_here(turn, places, [answer for answer in known.values() if answer])
    else:
        _follow_record(turn, places)


def _follow_here(turn: Turn, places: Places, answers: list[Answer]) -> None:
    """Follow answers of this process. A side without one has ended already."""
    sides = {side.answer_id: place for side, place in zip(turn.sides, places, strict=True)}
    for side in turn.sides:
        if not side.running:
            _draw_ended(side, sides[side.answer_id])
    texts = [GrowingText(sides[answer.question.answer_id].empty, answer.began) for answer in answers]
    waiting = set(range(len(answers)))
    for pieces in _pieces(answers):
        for at in sorted(waiting):
            if (piece := pieces[at]) is not None:
                texts[at].grow(piece)
                continue
            waiting.discard(at)
            texts[at].finish()
            ended = _settle(answers[at])
            with sides[ended.answer_id]:
                _draw_side_end(ended)
    _note_ends(answers)


def _wait_for_both(turn: Turn, places: Places, answers: list[Answer]) -> None:
    """Show both answers once both have ended. Until then both sides look the same, so that speed does not influence
    the vote."""
    slots, began = [place.empty() for place in places], min(answer.began for answer in answers)
    drawn: int | None = None
    for _ in _pieces(answers):
        seconds = drawn
        for slot in slots:
            drawn = draw_thinking(slot, began, seconds)
    for answer in answers:
        _settle(answer)
    for slot, side, place in zip(slots, on_page().here.turns[-1].sides, places, strict=True):
        _draw_ended(side, place, slot)
    _note_ends(answers)


def _pieces(answers: list[Answer]) -> Iterator[list[str | None]]:
    """Yield the new text of each answer until all have ended; None for one that has. Ends the answers where access has
    ended."""
    page, app = on_page(), running.app()
    following = app.comparisons.follow(answers, connected)
    pieces: list[str | None] = [""]
    while any(piece is not None for piece in pieces):
        pieces = following.pieces(0.1, max(PACE, CROWD * app.generations.running))
        yield pieces
        session.give_way()
        if entrance.just_closed():
            app.conversations.stop(page.here)
            st.rerun()


def _settle(answer: Answer) -> Turn:
    """Put the end of an answer into the conversation on the page, and return it."""
    page = on_page()
    page.conversation = running.app().conversations.settle(page.here, answer)
    return next(one for one in page.here.turns[-1].sides if one.answer_id == answer.question.answer_id)


def _note_ends(answers: list[Answer]) -> None:
    """Note that this page saw the answers' ends, and waits for their records."""
    for answer in answers:
        answer.seen |= connected()
    on_page().saving = Both([answer.receipt for answer in answers if answer.receipt])


def _draw_ended(side: Turn, place: DeltaGenerator, slot: DeltaGenerator | None = None) -> None:
    with place:
        draw_answer(side, slot)
        _draw_side_end(side)


def _follow_record(turn: Turn, places: Places) -> None:
    """Follow answers of another process as far as that has stored them, until they ended or are found to be cut off."""
    page, app = on_page(), running.app()
    together = app.comparisons.together(page.here)
    slots = [place.empty() for place in places]
    looks = [app.rescue.watch() for _ in places]
    while turn.running:
        for slot, side in zip(slots, turn.sides, strict=True):
            if side.answer and not together:
                slot.markdown(as_one(side.answer))
            elif side.running or together:
                draw_thinking(slot, time.monotonic() - (now_ms() - side.asked_ms) / 1_000)
        for _ in range(5):
            time.sleep(LOOK_EVERY / 5)
            session.give_way()
        known, page.conversation = page.conversation, app.conversations.reread(page.here)
        turn = page.here.turns[-1]
        if page.conversation is known:  # the record cannot be read, so heartbeats may not arrive
            looks = [app.rescue.watch() for _ in places]
            continue
        for look, side in zip(looks, turn.sides, strict=True):
            look(side)
    for slot, side, place in zip(slots, turn.sides, places, strict=True):
        _draw_ended(side, place, slot)
