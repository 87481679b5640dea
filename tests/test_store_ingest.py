"""An export read back: every readable line counts once, in any order; the others are reported."""

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

import pytest

from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.completion import Completion, FinishReason, Usage
from lib.domain.conversation import Conversation, Question
from lib.domain.rating import Rating
from lib.domain.record import Receipt
from lib.statistics.sums import Scope, Tally
from lib.store import Store
from lib.store.ingest import MAX_PROBLEMS, Imported, imported
from lib.store.tallies import tally
from tests.support.invented_events import EXPERIMENT, Line, answered, counted, encoded, exposed, rated, same
from tests.support.waiting import ENOUGH_S

SCOPE = Scope(EXPERIMENT)
READABLE = [exposed("x", "u", "b"), answered("a", "u"), rated("r", "a", "u")]


def read(lines: Iterable[bytes]) -> tuple[Imported, Tally]:
    with imported(lines) as database:
        return database, tally(database.read, SCOPE)


def changed(line: Line, **fields: object) -> bytes:
    """Return the line with other fields; `metadata__x` is field x of its metadata."""
    about = {name.removeprefix("metadata__"): value for name, value in fields.items() if "__" in name}
    plain = {name: value for name, value in fields.items() if "__" not in name}
    return json.dumps(line | {"metadata": line["metadata"] | about} | plain).encode()


EXPOSED, ANSWERED, RATED = READABLE


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "not an event: expected an object with metadata"),
        (b'{"event_id": "e", "name": "copied", "time": 1}', "not an event: expected an object with metadata"),
        (changed(EXPOSED, event_id=None), "event_id is missing"),
        (changed(EXPOSED, user_id=7), "user_id is not a text"),
        (changed(EXPOSED, name=""), "name is not a text"),
        (changed(EXPOSED, time="2026-11-01"), "time is not a number of milliseconds"),
        (changed(EXPOSED, time=None), "time is missing"),
        (changed(EXPOSED, time=True), "time is not a number of milliseconds"),
        (changed(EXPOSED, time=2**70), "time is not a number of milliseconds"),
        (changed(EXPOSED, metadata__experiment=None), "experiment is missing"),
        (changed(EXPOSED, metadata__group=3), "group is not a text"),
        (changed(ANSWERED, metadata__answer_id=None), "answer_id is missing"),
        (changed(ANSWERED, value=None), "value is missing"),
        (changed(ANSWERED, metadata__response_time="fast"), "response_time is not a number"),
        (changed(ANSWERED, metadata__cost_usd=float("nan")), "cost_usd is not a number"),
        (changed(ANSWERED, metadata__completion_tokens=10**30), "completion_tokens is not a number"),
        (changed(RATED, metadata__answer_id=""), "answer_id is not a text"),
    ],
)  # fmt: skip
def test_an_unreadable_line_is_reported_and_the_others_count(line: bytes, why: str) -> None:
    database, counts = read([encoded(READABLE)[0], line, *encoded(READABLE)[1:]])
    assert database.problems == [f"line 2: {why}"]
    assert (database.events, database.unreadable) == (3, 1)
    assert counts.sums["satisfaction"]["b"][:3] == (1, 1, 1)


def test_of_many_unreadable_lines_the_first_are_reported_and_all_counted() -> None:
    database, _ = read([b"?"] * 100)
    assert (len(database.problems), database.unreadable) == (MAX_PROBLEMS, 100)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_no_problem() -> None:
    first, *others = [line.rstrip() + b"\r\n" for line in encoded(READABLE)]
    database, _ = read([b"\xef\xbb\xbf" + first, b"\r\n", b"", b"  \n", *others])
    assert (database.events, database.problems) == (3, [])


def test_an_empty_file_has_no_events() -> None:
    database, counts = read([])
    assert (database.events, database.last_ms) == (0, None)
    assert counts.sums["satisfaction"] == {}


def test_the_last_moment_is_the_last_events() -> None:
    database, _ = read(encoded([*READABLE, exposed("y", "v", "b", 77)]))
    assert database.last_ms == exposed("y", "v", "b", 77)["time"]


def test_an_answer_that_ended_twice_counts_as_it_ended_first() -> None:
    ends = [answered("a", "u", 4, "error", response_time=9.0), answered("a", "u", 3, "stop", response_time=1.0)]
    ends[0]["event_id"] = "again"
    sums = counted([EXPOSED, *ends]).sums
    assert sums["error_rate"]["b"][1:3] == (0, 1)
    assert sums["response_time"]["b"].sx == 1.0


def test_a_rating_of_an_answer_that_is_not_there_counts_for_nothing() -> None:
    sums = counted([EXPOSED, ANSWERED, rated("r", "another", "u")]).sums
    assert sums["satisfaction"]["b"].sy == 0


def test_the_group_is_that_of_the_exposure_not_of_an_answer() -> None:
    answers = [answered(name, "u", group="control", response_time=1.0 + number) for number, name in enumerate("abc")]
    counts = counted([EXPOSED, *answers])
    assert counts.sums["response_time"].keys() == {"b"}
    assert counts.quantiles["p50"]["b"].value == 2.0


@pytest.mark.parametrize("simulated", [{"simulated": True}, {"metadata": EXPOSED["metadata"] | {"simulated": True}}])
def test_a_simulated_event_may_say_so_in_either_place(simulated: Line) -> None:
    events = [EXPOSED | simulated]
    assert counted(events).sums["answers_per_user"] == {}
    assert counted(events, replace(SCOPE, simulated=True)).sums["answers_per_user"]["b"].n == 1


def test_ids_that_no_database_takes_are_cleaned() -> None:
    database, counts = read(encoded([exposed("x\ud800", "u\x00", "b\udfff"), answered("a", "u")]))
    assert (database.problems, counts.sums["answers_per_user"]["b"].sx) == ([], 1)


def test_unknown_events_are_counted_as_events_and_nothing_else() -> None:
    database, counts = read(encoded([*READABLE, {**RATED, "event_id": "z", "name": "copied"}]))
    assert (database.events, counts.sums["rating_rate"]["b"].sx) == (4, 1)


VOTES: list[list[Rating | None]] = [
    ["satisfaction"],
    ["satisfaction", "dissatisfaction"],
    ["satisfaction", None],
    ["dissatisfaction", None, "dissatisfaction"],
]


def converse(store: Store, number: int, began_ms: int) -> Receipt:
    """Record one conversation as the app does: asked, ended, rated, the vote changed or withdrawn."""
    user = f"u{number % 5}"
    group = "Control" if user in ("u0", "u3") else "Test"
    assigned = Assignment(EXPERIMENT, group, "rule", user, {"userID": user}, {})
    conversation = Conversation(f"c{number}", user, assigned)
    question = Question(f"a{number}", conversation.id, "s", 1, "large-model", assigned)
    reason: FinishReason = ("stop", "error", "limited")[number % 7 % 3]
    ended = Completion("text", reason, 0.1 + number / 7, 0.05, Usage(1, 2 + number, 3), cost_usd=number / 7e5)
    end = events.chat_completion(question, ended, time_ms=began_ms)
    store.conversations.ask(conversation, question, "Why?", events.exposure(assigned, "s", time_ms=began_ms))
    receipt = store.conversations.finish(question, ended, end)
    for step, vote in enumerate(VOTES[number % 4], 1):
        recorded = (
            events.rating(question, end.metadata, vote, 1.0)
            if vote
            else events.rating_withdrawn(question, end.metadata, "satisfaction", 1.0)
        )
        receipt = store.conversations.rate(question.answer_id, vote, replace(recorded, time_ms=began_ms + step))
    return receipt


def test_a_stores_own_export_reads_as_the_store_does(database_url: str) -> None:
    with closing(Store.open(database_url)) as store:
        receipts = [converse(store, number, 1_790_000_000_000 + 10 * number) for number in range(24)]
        assert all(receipt.wait(ENOUGH_S) for receipt in receipts)
        exported = [json.dumps(line).encode() for line in store.events.export()]
        here = tally(store.read, SCOPE)
    _, there = read(exported)
    same(there, here)
    assert {grp: one.n for grp, one in here.sums["satisfaction"].items()} == {"Control": 2, "Test": 3}
    assert here.sums["satisfaction"]["Test"].sy > 0 and here.sums["error_rate"]["Test"].sx > 0
