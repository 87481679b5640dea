"""The counts beside the readout agree with it, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from sqlalchemy import Connection, insert, update

from lib.domain.clock import DAY_MS
from lib.experiments.definitions import METRICS
from lib.statistics.sums import Remark, Scope
from lib.store.database import Database
from lib.store.ingest import Imported, imported
from lib.store.schema import answer, message
from lib.store.snapshots import snapshots
from lib.store.tallies import tally
from lib.store.trends import exposed_per_day, reasons, remarks, response_times
from tests.support import invented_events
from tests.support.invented_events import EXPERIMENT, ORIGIN_MS, Line, alike, answered, exposed, rated
from tests.support.postgres_server import Postgres

SCOPE = Scope(EXPERIMENT)
FIRST_DAY = ORIGIN_MS // DAY_MS * DAY_MS


def spread(events: list[Line]) -> list[Line]:
    """Return the events with every millisecond stretched to eight hours."""
    return [{**one, "time": FIRST_DAY + (one["time"] - ORIGIN_MS) * DAY_MS // 3} for one in events]


def check_days(database: Imported | Database) -> None:
    """Check that the end of every day equals a readout up to that moment."""
    until = cache(lambda moment: tally(database.read, replace(SCOPE, until_ms=moment)).sums)
    for metric in METRICS:
        with database.read() as connection:
            days = snapshots(connection, SCOPE, metric)
        for day in days:
            then = until(day.until_ms)[metric]
            assert {grp for grp, one in day.sums.items() if one.n} == then.keys()
            for grp, one in then.items():
                alike(day.sums[grp], one)
        steps = [later.until_ms - earlier.until_ms for earlier, later in pairwise(days)]
        assert steps == [DAY_MS] * len(steps)


@given(invented_events.histories())
@settings(max_examples=8, deadline=None)
def test_each_day_is_reported_as_the_readout_reported_it_then(events: list[Line]) -> None:
    with imported(invented_events.encoded(spread(events))) as database:
        check_days(database)


@given(events=invented_events.histories())
@settings(max_examples=3, deadline=None)
def test_each_day_is_reported_as_the_readout_reported_it_then_on_postgresql(
    events: list[Line], postgres: Postgres
) -> None:
    with invented_events.stored(spread(events), postgres.database()) as database:
        check_days(database)


def test_an_empty_record_has_no_days(database_url: str) -> None:
    with invented_events.stored([], database_url) as database, database.read() as connection:
        assert snapshots(connection, SCOPE, "satisfaction") == []
        assert exposed_per_day(connection, SCOPE) == []


def test_exposures_are_reported_by_day_and_group(database_url: str) -> None:
    hours = [("u1", "b", 0), ("u1", "b", 5), ("u2", "control", 1), ("u3", "b", 2), ("u4", "b", 4), ("u4", "control", 5)]
    events = spread([exposed(f"x{n}", user, group, hour) for n, (user, group, hour) in enumerate(hours)])
    with invented_events.stored(events, database_url) as database, database.read() as connection:
        assert exposed_per_day(connection, SCOPE) == [
            (FIRST_DAY, "b", 2),
            (FIRST_DAY, "control", 1),
        ]


def test_response_times_fall_between_edges(database_url: str) -> None:
    seconds = [0.05, 0.1, 0.5, 0.99, 1.0, 7.0, None]
    events = [exposed("x", "u", "b")] + [
        answered(str(number), "u", response_time=one) for number, one in enumerate(seconds)
    ]
    with invented_events.stored(events, database_url) as database, database.read() as connection:
        assert response_times(connection, SCOPE, [0.1, 1.0, 5.0]) == {"b": [1, 3, 1, 1]}


@given(invented_events.histories())
@settings(max_examples=8, deadline=None)
def test_all_response_times_of_the_readout_fall_somewhere(events: list[Line]) -> None:
    with imported(invented_events.encoded(events)) as database:
        for scope in (SCOPE, replace(SCOPE, since_ms=ORIGIN_MS + 4)):
            timed = tally(database.read, scope).sums["response_time"]
            with database.read() as connection:
                counted = response_times(connection, scope, [0.5, 2.0])
            assert {grp: sum(places) for grp, places in counted.items()} == {
                grp: one.sy for grp, one in timed.items() if one.sy
            }


@pytest.fixture
def complaints(database_url: str) -> Iterator[Connection]:
    """Two groups whose testers gave reasons: answers a0 to a5, rated one after the other."""
    events = [
        exposed("x1", "u1", "control"),
        exposed("x2", "u2", "b"),
        exposed("x3", "u3", "b"),
        exposed("x4", "u3", "c"),
    ]
    for number, user in enumerate(["u1", "u2", "u2", "u1", "u2", "u3"]):
        vote = "satisfaction" if number == 3 else "dissatisfaction"
        events += [answered(f"a{number}", user), rated(f"r{number}", f"a{number}", user, 5 + number, vote)]
    reasons = {"a0": "wrong", "a1": "too_slow", "a2": "wrong", "a3": "other", "a5": "wrong"}
    with invented_events.stored(events, database_url) as database:
        with database.begin() as connection:
            for answer_id, reason in reasons.items():
                connection.execute(update(answer).where(answer.c.answer_id == answer_id).values(reason=reason))
            columns = {"conversation_id": "", "turn": 1, "asked_ms": 1, "replaced": False, "comment": "Too long."}
            connection.execute(insert(message), [columns | {"answer_id": one} for one in ("a2", "a4", "a3")])
        with database.read() as connection:
            yield connection


def test_reasons_are_counted_by_group_of_counted_users(complaints: Connection) -> None:
    assert reasons(complaints, SCOPE) == {"control": {"wrong": 1}, "b": {"too_slow": 1, "wrong": 1}}


def test_remarks_come_newest_first_from_dissatisfied_counted_testers(complaints: Connection) -> None:
    result = remarks(complaints, SCOPE)
    assert [(one.answer_id, one.group, one.reason, one.comment) for one in result] == [
        ("a4", "b", None, "Too long."),
        ("a2", "b", "wrong", "Too long."),
        ("a1", "b", "too_slow", None),
        ("a0", "control", "wrong", None),
    ]
    assert remarks(complaints, SCOPE, 1) == [Remark(ORIGIN_MS + 9, "b", None, "Too long.", "a4", "")]
