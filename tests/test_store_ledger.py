"""The ledger, on SQLite and on PostgreSQL: every event once, newest first, with every filter."""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, text

from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Conversation, Question
from lib.domain.events import NAMES, Event, chat_completion, exposure, rating
from lib.domain.ledger import Key, Line, Search, stations
from lib.store import Store, ledger
from lib.store.schema import answer
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
START_MS = 1_790_000_000_000
GROUPS = ("Control", "Test", None)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url, deliver=True)) as opened:
        yield opened


def invent_events(count: int) -> list[Event]:
    """Return events of every name, many of them with the same millisecond, as in a burst."""
    chance = random.Random(3)
    invented = []
    for number in range(count):
        name, group = NAMES[number % len(NAMES)], chance.choice(GROUPS)
        metadata: dict[str, Any] = {
            "group": group,
            "answer_id": f"a{number // 4}",
            "experiment": "e",
            "session_id": "s",
        }
        metadata |= {"simulated": True} if number % 7 == 0 else {}
        value = chance.choice(["stop", "error", "interrupted", "limited"]) if name == events.CHAT_COMPLETION else 1
        invented.append(
            Event(f"{number:05d}", name, START_MS + number // 5, f"u{number % 6}", value, metadata, {"userID": "u"})
        )
    return invented


def keep(store: Store, found: list[Event]) -> None:
    """Record these events; acknowledge every third of the real ones."""
    assert store.events.record(found).wait(SOON)
    real = [event.event_id for event in found if not event.metadata.get("simulated")]
    assert store.outbox.acknowledge(real[::3]).wait(SOON)


def all_pages(store: Store, search: Search, size: int = 10) -> list[Line]:
    lines: list[Line] = []
    before: Key | None = None
    for _ in range(200):
        page = store.events.page(search, before, size)
        assert len(page.lines) <= size
        lines += page.lines
        before = page.older
        if before is None:
            return lines
    raise AssertionError("the pages do not end")


SEARCHES = [
    Search(), Search(name=events.CHAT_COMPLETION), Search(group="Test"), Search(group=""), Search(user_id="u3"),
    Search(answer_id="a5"), Search(failed=True), Search(delivery="waiting"), Search(delivery="acknowledged"),
    Search(delivery="kept"), Search(simulated=True), Search(simulated=False),
    Search(name=events.EXPOSURE, group="Test"), Search(failed=True, group="Control", delivery="waiting"),
    Search(user_id="u1", name=events.CHAT_COMPLETION, simulated=False), Search(name="nothing"),
    Search(since_ms=START_MS + 12), Search(until_ms=START_MS + 30),
    Search(since_ms=START_MS + 9, until_ms=START_MS + 9),
    *(
        replace(search, since_ms=START_MS + 9, until_ms=START_MS + 40)
        for search in (
            Search(), Search(group="Test"), Search(failed=True), Search(delivery="waiting"), Search(delivery="kept"),
            Search(user_id="u3", name=events.EXPOSURE),
        )
    ),
]  # fmt: skip


def matches(line: Line, search: Search) -> bool:
    event = line.event
    return (
        search.name in (None, event.name)
        and (search.group is None or (event.metadata["group"] or "") == search.group)
        and search.user_id in (None, event.user_id)
        and search.answer_id in (None, event.metadata["answer_id"])
        and search.delivery in (None, line.delivery)
        and search.simulated in (None, line.simulated)
        and (not search.failed or event.value in ("error", "interrupted"))
        and (search.since_ms is None or event.time_ms >= search.since_ms)
        and (search.until_ms is None or event.time_ms < search.until_ms)
    )


def test_every_search_finds_each_match_once_newest_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "STRETCH", 17)  # so that a search for rare events takes many stretches
    keep(store, invent_events(230))
    every = all_pages(store, Search())
    assert len(every) == 230
    keys = [(line.event.time_ms, line.event.event_id) for line in every]
    assert keys == sorted(keys, reverse=True)
    for search in SEARCHES:
        ids = [line.event.event_id for line in all_pages(store, search)]
        assert ids == [line.event.event_id for line in every if matches(line, search)], search
    assert {line.delivery for line in every} == {"waiting", "acknowledged", "kept"}


def test_a_search_without_a_match_ends_in_time_and_can_be_continued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "STRETCH", 10)
    monkeypatch.setattr(ledger, "PATIENCE_S", 0)
    keep(store, invent_events(35))
    first = store.events.page(Search(delivery="kept", name="nothing"), None, 10)
    assert first.lines == [] and first.older is None  # no event has the name: its index ends at once
    page = store.events.page(Search(user_id="u0", simulated=True), None, 50)
    assert page.older is None
    rare = store.events.page(Search(simulated=True, delivery="acknowledged"), None, 10)
    assert rare.lines == [] and rare.older is not None
    assert store.events.page(Search(simulated=True, delivery="acknowledged"), rare.older, 10).older != rare.older


def test_why_an_event_waits_is_reported_with_it(store: Store) -> None:
    one = Event("late", events.EXPOSURE, START_MS, "u", None, {"group": "Test"}, {})
    assert store.events.record([one]).wait(SOON)
    assert [event.event_id for event in store.outbox.lease(10, 5)] == ["late"]
    assert store.outbox.postpone(["late"], 60, "HTTP 500").wait(SOON)
    (line,) = store.events.page(Search(delivery="waiting")).lines
    assert (line.event.event_id, line.attempts, line.error, line.delivery) == ("late", 1, "HTTP 500", "waiting")
    assert store.outbox.acknowledge(["late"]).wait(SOON)
    (line,) = store.events.page(Search(delivery="acknowledged")).lines
    assert (line.attempts, line.error, line.due_ms) == (0, None, None)


def test_the_groups_are_those_that_events_name(store: Store) -> None:
    assert store.events.groups() == []
    keep(store, invent_events(60))
    assert store.events.groups() == ["Control", "Test"]


def test_the_life_of_an_answer_is_reported_in_the_order_of_time(store: Store) -> None:
    assignment = Assignment("e", "Test", "r", "ann", {"userID": "ann"}, {"model": "m"})
    question = Question("a1", "c1", "s1", 1, "m", assignment)
    completion = Completion("Because.", "stop", 2.0, 0.5)
    asked_ms = now_ms()
    met = exposure(assignment, "s1", time_ms=asked_ms)
    other = exposure(assignment, "another session", time_ms=asked_ms + 1)
    store.conversations.ask(Conversation("c1", "ann", assignment), question, "Why?", met)
    store.events.record([other])
    ended = chat_completion(question, completion, time_ms=asked_ms + 2_000)
    store.conversations.finish(question, completion, ended)
    rated = replace(rating(question, ended.metadata, "satisfaction", 3), time_ms=asked_ms + 5_000)
    assert store.conversations.rate("a1", "satisfaction", rated).wait(SOON)
    life = store.events.life("a1")
    assert life is not None
    order = [station.what for station in stations(life)]
    assert sorted(order[:2]) == ["asked", "exposure"]
    assert order[2:] == ["first_token", "chat_completion", "satisfaction"]
    assert [line.event.event_id for line in life.lines if line.event.name == events.EXPOSURE] == [met.event_id]
    assert store.outbox.acknowledge([line.event.event_id for line in life.lines]).wait(SOON)
    life = store.events.life("a1")
    assert life is not None and "delivered" in [station.what for station in stations(life)]


def test_an_answer_whose_text_was_deleted_has_a_life_and_an_unknown_one_has_none(store: Store) -> None:
    assignment = Assignment("e", None, "", "ann", {"userID": "ann"}, {})
    question = Question("a1", "c1", "s1", 1, "m", assignment)
    completion = Completion("Because.", "error", 1.5, error="APIConnectionError")
    store.conversations.ask(Conversation("c1", "ann", assignment), question, "Why?")
    ended = chat_completion(question, completion)
    store.conversations.finish(question, completion, ended)
    assert store.conversations.delete("ann").wait(SOON)
    life = store.events.life("a1")
    assert life is not None
    asked, end = stations(life)
    assert (asked.what, end.detail) == ("asked", "error, APIConnectionError")
    assert end.time_ms - asked.time_ms == 1_500
    assert store.events.life("unknown") is None


def test_an_older_database_learns_the_group_of_every_event(database_url: str) -> None:
    with closing(Store.open(database_url)) as store:
        keep(store, invent_events(20))
        row = {
            "answer_id": "a1", "conversation_id": "c", "session_id": "s", "turn": 1, "experiment": "e", "grp": "Test",
            "user_id": "u", "model": "m", "simulated": False,
        }  # fmt: skip
        back = [
            "DROP INDEX event_by_name", "DROP INDEX event_by_group", "DROP INDEX event_failed",
            "DROP INDEX outbox_by_age", "ALTER TABLE event DROP COLUMN grp",
            "DELETE FROM migration WHERE name = '4 ledger'",
        ]  # fmt: skip
        assert store.write(lambda connection: connection.execute(insert(answer), row)).wait(SOON)
        assert store.write(lambda connection: [connection.execute(text(one)) for one in back] and None).wait(SOON)
    with closing(Store.open(database_url)) as store:
        lines = {line.event.event_id: line for line in all_pages(store, Search())}
        assert len(lines) == 20
        assert {line.group for line in lines.values() if line.event.metadata["answer_id"] == "a1"} == {"Test"}
