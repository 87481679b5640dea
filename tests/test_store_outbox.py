"""The ledger and the outbox on both databases: exports, leases, acknowledgements."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from lib import store
from lib.domain import events
from lib.domain.clock import now_ms
from lib.store import Store, schema
from tests.support.stored_answers import (
    ASSIGNMENT,
    SOON,
    OpenStore,
    answer,
    ask,
    ask_and_answer,
    conversation,
    deliverable,
    event_names,
    question,
)


def test_everything_is_exported_in_order_and_page_by_page(parley: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.reads, "PAGE", 3)
    asked = ask_and_answer(parley)
    signals = [replace(events.signal(asked, "copied"), time_ms=now_ms() + n // 2) for n in range(8)]
    assert parley.events.record(list(reversed(signals))).wait(SOON)
    lines = list(parley.events.export())
    assert [(line["time"], line["event_id"]) for line in lines] == sorted(
        (line["time"], line["event_id"]) for line in lines
    )
    assert len(lines) == 9
    assert len(list(parley.events.export(since_ms=signals[4].time_ms))) == 4


def test_the_text_is_exported_only_when_asked(parley: Store) -> None:
    ask_and_answer(parley)
    ((plain,), (full,)) = list(parley.events.export()), list(parley.events.export(text=True))
    assert "text" not in plain
    assert full["text"] == {"question": "Why?", "answer": "The whole answer.", "comment": None, "reasoning": None}


def test_an_event_that_is_recorded_twice_is_one(parley: Store) -> None:
    event = events.signal(question(conversation()), "copied")
    assert parley.events.record([event]).wait(SOON) and parley.events.record([event]).wait(SOON)
    assert event_names(parley) == ["copied"] == deliverable(parley)


def test_a_leased_event_equals_the_recorded_one(parley: Store) -> None:
    met = events.exposure(ASSIGNMENT, "session")
    asked = ask(parley, conversation(), exposure=met)
    ended = answer(parley, asked)
    assert parley.outbox.lease(10, 60) == [met, ended]
    assert parley.outbox.lease(10, 60) == []


def test_replicas_share_the_outbox(parley: Store, open_store: OpenStore) -> None:
    signals = [events.signal(question(conversation()), "copied") for _ in range(40)]
    assert parley.events.record(signals).wait(SOON)
    replicas = [open_store(deliver=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        leased = [one.event_id for some in pool.map(lambda one: one.outbox.lease(10, 60), replicas) for one in some]
    assert len(leased) == len(set(leased)) and len(leased) + len(parley.outbox.lease(100, 60)) == 40


def test_an_acknowledged_event_leaves_the_outbox(parley: Store) -> None:
    ask_and_answer(parley)
    (event,) = parley.outbox.lease(10, 60)
    count, oldest = parley.outbox.pending()
    assert count == 1 and 0 <= oldest < 60
    assert parley.outbox.acknowledge([event.event_id]).wait(SOON)
    assert parley.outbox.pending() == (0, 0.0)
    with parley.read() as connection:
        assert connection.scalar(select(schema.event.c.acknowledged_ms)) is not None


def test_a_lease_that_ran_out_and_a_postponed_event_come_again_later(parley: Store) -> None:
    first, second = (events.signal(question(conversation()), "copied") for _ in range(2))
    assert parley.events.record([first, second]).wait(SOON)
    parley.outbox.lease(10, 0)
    assert parley.outbox.postpone([first.event_id], 60, "HTTP 500").wait(SOON)
    assert parley.outbox.lease(10, 60) == [second]
    assert parley.outbox.postpone([first.event_id], 0, None).wait(SOON)
    assert parley.outbox.lease(10, 60) == [first]


def test_what_waits_longest_goes_first(parley: Store) -> None:
    old, new = (events.signal(question(conversation()), "copied") for _ in range(2))
    assert parley.events.record([new]).wait(SOON) and parley.events.record([old]).wait(SOON)
    assert parley.outbox.postpone([old.event_id], -60, None).wait(SOON)
    assert parley.outbox.lease(1, 60) == [old]


def test_nothing_waits_for_statsig_where_it_is_not_connected(open_store: OpenStore) -> None:
    local = open_store(deliver=False)
    ask_and_answer(local)
    assert event_names(local) == ["chat_completion"] and local.outbox.pending() == (0, 0.0)


def test_simulated_events_never_leave(parley: Store) -> None:
    ask_and_answer(parley, conversation(simulated=True), exposure=events.exposure(ASSIGNMENT, "s", simulated=True))
    assert len(event_names(parley)) == 2 and deliverable(parley) == []


def test_definitions_are_kept_by_source(parley: Store) -> None:
    assert parley.definitions("statsig") is None
    parley.keep_definitions("statsig", '{"time": 1}')
    assert parley.keep_definitions("statsig", '{"time": 2}').wait(SOON)
    assert parley.definitions("statsig") == '{"time": 2}'
