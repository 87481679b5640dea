"""The state of one browser tab, kept in session state between reruns. Does not draw."""

from dataclasses import dataclass, field

import streamlit as st

from lib.chat.markdown import Block
from lib.domain.conversation import Conversation, Turn
from lib.domain.ids import new_id
from lib.domain.record import Receipt
from lib.web import running
from lib.web.patches import script_session
from pages import session
from pages.browser import BoxState

SHOWN = 5
"""Least number of turns on the page; the most is just below twice that. Before a question is sent, the browser
examines every element of the page: with twice as many turns the first token came 10 ms later."""
GROUP = 5
"""Turns in one container."""
EARLIER = 20
"""Further turns per request for earlier ones."""
MOST = 40
"""Most turns on the page. With a whole long conversation, every click would take longer."""


@dataclass
class OnPage:
    """The chat page of one browser tab.

    Questions: `waiting` are those that wait for the running answer, `taken_back` counts those that the tester took
    back, `submitted` is the latest one from the box, and `asking` is the mark of a browser that asks whether it
    arrived. `returned` is an id and a text to put back into the box.

    Answers by id: `editing`, `explaining` and `explained` name the answer whose question is edited, whose vote is
    being explained or was explained. `unfolded` names long questions that are shown whole, `detailed` the compared
    answers whose details an operator sees. `versions` has the index of the version that the reader looks at,
    `replaced` the number of answers that each one replaced on this page, `parsed` the parts in which each is drawn.

    The record: `receipt` is that of the latest vote, `saving` that of the latest answer, and `late` is True where the
    answer was not stored at once. `away`: the store could not open the wanted conversation.

    The browser: `unaddressed` is True while it may not have the address of a conversation that was begun here,
    `awaited` is the answer whose end it must announce, and `nonce` counts the requests to it. `download` is an id, a
    name and a text of a file to save, `theme` an id and the name of a theme to take.

    The sidebar: `acting` is an action and the conversation that it is about, `list_length` the number of elements that
    the list had last.
    """

    conversation: Conversation | None = None
    missing: bool = False
    away: bool = False
    unaddressed: bool = False
    refused: str | None = None
    waiting: list[str] = field(default_factory=list)
    taken_back: int = 0
    submitted: str = ""
    asking: str = ""
    returned: tuple[str, str] = ("", "")
    exposed: set[tuple[str, str, str | None, bool, int]] = field(default_factory=set)
    earlier: int = 0
    editing: str | None = None
    explaining: str | None = None
    explained: str | None = None
    unfolded: set[str] = field(default_factory=set)
    detailed: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    receipt: Receipt | None = None
    saving: Receipt | None = None
    late: bool = False
    awaited: str | None = None
    nonce: int = 0
    parsed: dict[str, tuple[str, list[Block]]] = field(default_factory=dict)
    listed: list[Conversation] | None = None
    listed_more: int = 1
    list_length: int = 0
    searched: str = ""
    acting: tuple[str, str] | None = None
    download: tuple[str, str, str] = ("", "", "")
    theme: tuple[str, str] = ("", "")
    deletions: int = 0

    def forget(self) -> None:
        """Clear the state of a deleted conversation."""
        self.moved_on()
        self.parsed.clear()
        self.conversation, self.waiting, self.refused, self.listed = None, [], None, None
        self.submitted, self.returned, self.download, self.acting = "", ("", ""), ("", "", ""), None

    def start_new(self) -> None:
        """Leave the conversation on the page for a new one."""
        self.unaddressed = False
        st.query_params.pop("c", None)

    def moved_on(self) -> None:
        """Close what was open about the last turn, because there is a new question or conversation."""
        self.editing = self.explaining = self.explained = self.receipt = self.saving = self.awaited = None
        self.late, self.taken_back = False, 0
        if self.past_shown() < self._turns:
            self.earlier = 0

    @property
    def overtaken(self) -> bool:
        """Return True where another process took the latest answer over: the record had its end before this process
        did."""
        return self.saving is not None and self.saving.result is False

    @property
    def here(self) -> Conversation:
        """The conversation on the page. There may be none while no turn is shown."""
        assert self.conversation is not None
        return self.conversation

    @property
    def last(self) -> Turn | None:
        """The newest turn, if there is one."""
        return self.conversation.turns[-1] if self.conversation and self.conversation.turns else None

    def box(self) -> BoxState:
        """Return the data of the input for the browser."""
        question = self.last.question if self.last else None
        known = (self.submitted, question, *self.waiting)
        orders = {"return": self.returned, "download": self.download, "theme": self.theme}
        self.download = ("", "", "")
        return BoxState([text for text in known if text], orders, self.asking)

    def hand_back(self, *texts: str) -> None:
        """Put texts back into the box, in front of what was typed meanwhile."""
        if texts:
            self.returned = new_id(), "\n\n".join(texts)

    def texts(self) -> dict[str, str]:
        """Return the answers on the page by id, as they can be copied."""
        turns = self.conversation.turns[self.first_shown() :] if self.conversation else ()
        answers = (one for turn in turns for one in (*turn.sides, *turn.versions))
        return {one.answer_id: one.answer for one in answers if one.answer}

    def times(self) -> dict[str, tuple[int, int | None]]:
        """Return when each turn on the page was asked and when it ended, by answer id."""
        turns = self.conversation.turns[self.first_shown() :] if self.conversation else ()
        return {one.answer_id: (one.asked_ms, one.time_ms) for turn in turns for one in (turn, *turn.versions)}

    def version(self, turn: Turn) -> int:
        """Return the index of the version of an answer that the reader looks at; usually the newest."""
        return min(self.versions.get(turn.answer_id, len(turn.versions)), len(turn.versions))

    def answered(self, answer_id: str) -> Turn | None:
        """Return the turn of an answer, or that of an answer's earlier version."""
        turns = self.conversation.turns if self.conversation else ()
        answers = (one for turn in turns for one in (*turn.sides, *turn.versions))
        return next((one for one in answers if one.answer_id == answer_id), None)

    def first_shown(self) -> int:
        """Return the index of the first turn on the page. It moves in steps, so that most questions leave the other
        turns in place."""
        return max(0, (self._turns - SHOWN) // SHOWN * SHOWN - self.earlier)

    def past_shown(self) -> int:
        """Return the index behind the last turn on the page: the newest one's, unless the reader went far back."""
        return min(self._turns, self.first_shown() + MOST)

    @property
    def _turns(self) -> int:
        return len(self.conversation.turns) if self.conversation else 0


def on_page() -> OnPage:
    """Return this session's state."""
    if "on_page" not in st.session_state:
        st.session_state.on_page = OnPage()
    page: OnPage = st.session_state.on_page
    return page


def show(page: OnPage) -> None:
    """Register the conversation that this page shows. Its text is kept in memory until no page shows it."""
    running.tabs().show(script_session(), page.conversation.id if page.conversation else None)


def forget_deleted() -> None:
    """Clear what this visitor deleted in this tab, in another one, or at another replica."""
    if "on_page" not in st.session_state:
        return
    page, conversations, visitor_id = on_page(), running.app().conversations, session.visitor().visitor_id
    if page.deletions == (count := conversations.deletions.number(visitor_id)):
        return
    page.deletions, page.listed = count, None
    if page.conversation and conversations.deleted(page.conversation):
        page.forget()
        st.query_params.pop("c", None)
