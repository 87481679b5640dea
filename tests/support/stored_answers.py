"""Questions, answers and votes in the record, written as the chat writes them, and the record as it is read."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion, Usage
from lib.domain.conversation import Conversation, Question
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.domain.rating import Rating
from lib.store import Store, schema
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
OpenStore = Callable[..., Store]
ASSIGNMENT = Assignment(
    "greeting",
    "Test",
    "rule",
    "user",
    {"userID": "user", "stableID": "st"},
    {"model": "m", "temperature": 0.5},
    defaults={"model": "d"},
)
WHOLE = Completion("The whole answer.", "stop", 1.5, 0.25, Usage(3, 5, 8, source="server"), cost_usd=0.001)


def conversation(visitor: str = "visitor", **more: Any) -> Conversation:
    return Conversation(new_id(), visitor, ASSIGNMENT, **more)


def question(about: Conversation, turn: int = 1) -> Question:
    return Question(new_id(), about.id, "session", turn, "m", about.assignment, about.simulated)


def ask(parley: Store, about: Conversation, prompt: str = "Why?", turn: int = 1, **more: Any) -> Question:
    asked = question(about, turn)
    assert parley.conversations.ask(about, asked, prompt, **more).wait(SOON)
    return asked


def answer(parley: Store, asked: Question, completion: Completion = WHOLE) -> Event:
    ended = events.chat_completion(asked, completion)
    assert parley.conversations.finish(asked, completion, ended).wait(SOON)
    return ended


def ask_and_answer(parley: Store, about: Conversation | None = None, **more: Any) -> Question:
    asked = ask(parley, about or conversation(), **more)
    answer(parley, asked)
    return asked


def vote(parley: Store, asked: Question, rating: Rating | None, seen: Rating = "satisfaction") -> None:
    facts = parley.conversations.completed(asked.answer_id) or {}
    event = events.rating(asked, facts, rating, 2.0) if rating else events.rating_withdrawn(asked, facts, seen, 2.0)
    assert parley.conversations.rate(asked.answer_id, rating, event).wait(SOON)


def reread(parley: Store, about: Conversation | Question, visitor: str = "visitor") -> Conversation:
    stored = parley.conversations.get(about.id if isinstance(about, Conversation) else about.conversation_id, visitor)
    assert stored is not None
    return stored


def event_names(parley: Store) -> list[str]:
    return [line["name"] for line in parley.events.export()]


def deliverable(parley: Store) -> list[str]:
    return [event.name for event in parley.outbox.lease(100, 0)]


def fall_silent(parley: Store) -> None:
    """Make the last heartbeat of every running answer a minute old."""
    aged = update(schema.answer).where(schema.answer.c.finish_reason.is_(None)).values(beat_ms=now_ms() - 60_000)
    assert parley.write(lambda connection: connection.execute(aged)).wait(SOON)
