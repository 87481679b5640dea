"""The text of an answer on the page, ended or growing, block by block."""

import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lib.chat.markdown import Block, Blocks, blocks
from lib.domain.conversation import Turn
from lib.domain.pieces import Anew
from pages.chat.state import on_page

THINKING_FOR_S = 5
"""Seconds after which a tester sees how long the model has been thinking."""


def draw_answer(turn: Turn, slot: DeltaGenerator | None = None) -> None:
    """Draw an ended answer, from `slot` on where it was followed in one. A rerun draws the same text, so the page
    keeps its parsed form.

    The empty element at the end takes the place of a growing answer's unfinished rest. Without it, the elements below
    would move up when the answer ends; the browser would rebuild them, and the keyboard would lose its focus there.
    """
    text, page = turn.answer or "", on_page()
    parsed = page.parsed.get(turn.answer_id)
    if parsed is None or parsed[0] != text:
        parsed = page.parsed[turn.answer_id] = text, blocks(text)
    places = chain([] if slot is None else [slot], repeat(cast(DeltaGenerator, st)))
    for block, place in zip(parsed[1], places, strict=False):
        draw_block(place, block)
    next(places).empty()


def draw_block(place: DeltaGenerator, block: Block) -> None:
    """Draw a part of an answer. A table that is too wide scrolls by itself, not the page."""
    if not block.markdown:  # link definitions, which other blocks use
        place.empty()
        return
    if block.has_table:
        place = place.container(horizontal=True, wrap=False)
    place.markdown(block.markdown)


class GrowingText:
    """The text of a running answer, each block in a slot that `new_slot` makes below the last one. `began` is the
    answer's beginning on the monotonic clock; until text arrives, the page shows that the model thinks."""

    def __init__(self, new_slot: Callable[[], DeltaGenerator], began: float) -> None:
        self._new_slot, self._began, self._blocks = new_slot, began, Blocks()
        self._slots = [new_slot()]
        self._thinking = draw_thinking(self._slots[0], began)

    def grow(self, piece: str) -> None:
        """Draw new text; without any, the time that the model has been thinking."""
        if isinstance(piece, Anew):
            self._restart()
        if not piece:
            if not (self._blocks.closed or self._blocks.open.source):
                self._thinking = draw_thinking(self._slots[0], self._began, self._thinking)
            return
        self._draw_closed(self._blocks.feed(piece))
        if self._blocks.open.markdown:
            draw_block(self._slots[-1], self._blocks.open)

    def finish(self) -> None:
        """Draw the end: no more text will arrive."""
        self._draw_closed(self._blocks.finish())
        self._slots[-1].empty()

    def _restart(self) -> None:
        for slot in self._slots[:-1]:
            slot.empty()
        self._blocks, self._slots = Blocks(), self._slots[-1:]
        self._thinking = draw_thinking(self._slots[0], self._began)

    def _draw_closed(self, closed: list[tuple[int, Block]]) -> None:
        """Draw finished blocks, and redraw earlier ones that changed. The last slot holds the unfinished rest."""
        for at, block in closed:
            draw_block(self._slots[at], block)
            if at == len(self._slots) - 1:
                self._slots.append(self._new_slot())


def draw_thinking(slot: DeltaGenerator, began: float, drawn: int | None = None) -> int:
    """Draw that the model thinks, with the seconds after a while, unless `drawn` is that number already; return it."""
    seconds = int(time.monotonic() - began)
    shown = seconds if seconds >= THINKING_FOR_S else 0
    if shown != drawn:
        slot.markdown(f":shimmer[Thinking … {shown} s]" if shown else ":shimmer[Thinking]")
    return shown


def as_typed(text: str) -> str:
    """Protect the indentation that all lines share, which Streamlit removes unless the first line differs."""
    return "\u200b" + text if text[:1].isspace() else text
