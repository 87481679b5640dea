"""The readout's SQL returns the sums of plain counting, on SQLite and on PostgreSQL."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from lib.experiments.definitions import METRICS as DEFINED
from lib.statistics.sums import Delivery, Scope
from lib.store import ranks
from lib.store.ingest import imported
from lib.store.schema import answer, event, exposure, outbox
from lib.store.splits import keep_weights, weights_over_time
from lib.store.sums import METRICS
from lib.store.tallies import delivery, only_simulated, tally
from tests.support import invented_events
from tests.support.invented_events import EXPERIMENT, ORIGIN_MS, Line, answered, counted, exposed, plainly, rated, same
from tests.support.postgres_server import Postgres

SCOPE = Scope(EXPERIMENT)


def by_unit(events: list[Line]) -> list[Line]:
    """Return the events with every answer under the group of its unit, as in a store."""
    units, *_ = invented_events.units_of(events, SCOPE)

    def with_group(one: Line) -> Line:
        group = units.get(one["user_id"], (one["metadata"].get("group"), 0))[0]
        return {**one, "metadata": {**one["metadata"], "group": group}}

    return [with_group(one) if one["name"] == "chat_completion" else one for one in events]


def busy() -> list[Line]:
    """Return two groups of 30 units with different response times, one crossover, and one forced unit."""
    events = [exposed(f"x{unit}", f"u{unit}", "b" if unit % 2 else "control") for unit in range(60)]
    events += [exposed("x60", "u59", "control", 5), exposed("x61", "u58", "control", 5, forced=True)]
    for unit in range(60):
        for turn in range(unit % 7 + 1):
            name, seconds = f"{unit}-{turn}", 1 + unit % 5 + turn / 8
            events.append(
                answered(name, f"u{unit}", 3 + turn, response_time=seconds, group="b" if unit % 2 else "control")
            )
            if (unit + turn) % 3 == 0:
                vote = "satisfaction" if (unit + turn) % 2 else "dissatisfaction"
                events.append(rated(f"r{name}", name, f"u{unit}", 9, vote))
    return events


def test_every_metric_of_a_definition_has_its_sums() -> None:
    assert tuple(METRICS) == DEFINED


@given(invented_events.histories())
@settings(max_examples=25, deadline=None)
def test_any_history_is_counted_as_by_hand(events: list[Line]) -> None:
    same(counted(events), plainly(events))


@given(invented_events.histories())
@settings(max_examples=12, deadline=None)
def test_a_history_whose_answers_go_by_their_units_group_is_counted_as_by_hand(events: list[Line]) -> None:
    tidy = by_unit(events)
    same(counted(tidy), plainly(tidy))


@given(invented_events.histories())
@settings(max_examples=10, deadline=None)
def test_a_part_of_the_time_is_counted_as_by_hand(events: list[Line]) -> None:
    for scope in (replace(SCOPE, since_ms=ORIGIN_MS + 4), replace(SCOPE, until_ms=ORIGIN_MS + 8)):
        same(counted(events, scope), plainly(events, scope))
        same(counted(by_unit(events), scope), plainly(by_unit(events), scope))


@given(invented_events.histories())
@settings(max_examples=10, deadline=None)
def test_simulated_events_are_counted_by_themselves(events: list[Line]) -> None:
    scope = replace(SCOPE, simulated=True)
    same(counted(events, scope), plainly(events, scope))


@given(events=invented_events.histories())
@settings(max_examples=4, deadline=None)
def test_postgresql_counts_the_same(events: list[Line], postgres: Postgres) -> None:
    with invented_events.stored(events, postgres.database()) as database:
        same(tally(database.read, SCOPE), plainly(events))


def test_a_busy_history_is_counted_as_by_hand(database_url: str) -> None:
    with invented_events.stored(busy(), database_url) as database:
        same(tally(database.read, SCOPE), plainly(busy()))


@given(events=invented_events.histories(), elsewhere=st.sets(st.integers(0, 19)))
@settings(max_examples=10, deadline=None)
def test_a_tier_is_counted_as_if_nothing_else_had_happened(
    events: list[Line], elsewhere: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Events whose number is in `elsewhere` happened in another tier."""

    def is_elsewhere(event_id: str) -> bool:
        return int(event_id[1:].split("-")[0]) % 20 in elsewhere

    url = f"sqlite:///{tmp_path_factory.mktemp('tier')}/parley.db"
    with invented_events.stored(events, url) as database:
        with database.begin() as connection:
            for table, key in ((exposure, exposure.c.event_id), (answer, answer.c.answer_id)):
                for one in connection.scalars(select(key)).all():
                    tier = "development" if is_elsewhere(one) else "production"
                    connection.execute(update(table).where(key == one).values(tier=tier))
        for ours in (False, True):
            ours_only = [
                one for one in events if is_elsewhere(one["metadata"].get("answer_id", one["event_id"])) == ours
            ]
            scope = replace(SCOPE, tier="development" if ours else "production")
            same(tally(database.read, scope), plainly(ours_only))


def test_an_invitation_is_counted_by_its_units_whichever_id_they_have(database_url: str) -> None:
    guests = {f"u{unit}" for unit in range(0, 60, 3)}
    with invented_events.stored(busy(), database_url) as database:
        with database.begin() as connection:
            came = exposure.c.user_id.in_(guests)
            connection.execute(update(exposure).where(came).values(invitation="friends"))
        counts = tally(database.read, replace(SCOPE, invitation="friends"))
        same(counts, plainly([one for one in busy() if one["user_id"] in guests]))


@pytest.mark.parametrize("near", [0, 1_000], ids=["sorted", "walked"])
def test_a_quantile_far_from_that_of_all_answers_is_found(
    near: int, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guests' answers are the quickest of all."""
    monkeypatch.setattr(ranks, "NEAR", near)
    many = [exposed(f"x{unit}", f"u{unit}", "control") for unit in range(50)]
    many += [
        answered(f"{unit}-{turn}", f"u{unit}", response_time=turn + (1000 if unit > 10 else 0), group="control")
        for unit in range(50)
        for turn in range(60)
    ]
    guests = {f"u{unit}" for unit in range(11)}
    with invented_events.stored(many, database_url) as database:
        with database.begin() as connection:
            came = exposure.c.user_id.in_(guests)
            connection.execute(update(exposure).where(came).values(invitation="friends"))
        counts = tally(database.read, replace(SCOPE, invitation="friends"))
        same(counts, plainly([one for one in many if one["user_id"] in guests]))


def test_where_answers_were_given_in_another_group_than_their_units_all_are_sorted(database_url: str) -> None:
    events = [
        one | {"metadata": one["metadata"] | {"group": "old"}} if one["event_id"] == "c-3-1" else one for one in busy()
    ]
    with invented_events.stored(events, database_url) as database:
        same(tally(database.read, SCOPE), plainly(events))


def test_an_answer_in_the_millisecond_of_its_exposure_counts_and_one_before_does_not() -> None:
    events = [exposed("x", "u", "b", 5), answered("early", "u", 4), answered("same", "u", 5)]
    assert counted(events).sums["answers_per_user"]["b"].sx == 1


def test_the_first_exposure_counts_and_not_the_first_line() -> None:
    events = [exposed("x2", "u", "b", 5), exposed("x1", "u", "b", 2), answered("a", "u", 3)]
    assert counted(events).sums["answers_per_user"]["b"].sx == 1


def test_of_two_ratings_in_one_moment_the_later_event_id_holds() -> None:
    events = [exposed("x", "u", "b"), answered("a", "u")]
    votes = [rated("r2", "a", "u", 3, "dissatisfaction"), rated("r1", "a", "u", 3, "satisfaction")]
    assert counted(events + votes).sums["satisfaction"]["b"][1:3] == (0, 1)


def test_a_rating_that_was_taken_back_does_not_count() -> None:
    events = [exposed("x", "u", "b"), answered("a", "u"), rated("r1", "a", "u", 3)]
    assert counted([*events, rated("r2", "a", "u", 4, "rating_withdrawn")]).sums["rating_rate"]["b"][1:3] == (0, 1)


def test_a_rating_of_the_moment_at_which_the_time_ends_is_not_given_yet() -> None:
    events = [exposed("x", "u", "b"), answered("a", "u", 1), answered("c", "u", 2)]
    events += [rated("r1", "a", "u", 4), rated("r2", "c", "u", 5)]
    assert counted(events, replace(SCOPE, until_ms=ORIGIN_MS + 5)).sums["rating_rate"]["b"][1:3] == (1, 2)


def test_an_answer_that_met_a_budget_does_not_count_and_an_interrupted_one_is_an_error() -> None:
    reasons = ["limited", "error", "interrupted", "stopped", "refusal"]
    events = [answered(reason, "u", 1, reason, cost_usd=1.0, completion_tokens=3) for reason in reasons]
    counts = counted([exposed("x", "u", "b"), *events]).sums
    assert counts["error_rate"]["b"][1:3] == (2, 4)
    assert counts["cost_per_answer"]["b"][1:3] == (2, 2)
    assert counts["completion_tokens"]["b"][1:3] == (6, 2)


def test_a_unit_that_is_forced_and_met_two_groups_is_reported_as_forced() -> None:
    events = [exposed("x1", "u", "b"), exposed("x2", "u", "control", 1), exposed("x3", "u", "b", 2, forced=True)]
    counts = counted(events)
    assert (counts.forced, counts.crossover, counts.sums["answers_per_user"]) == (1, 0, {})


def test_an_exposure_without_a_group_counts_for_nothing() -> None:
    events = [exposed("x1", "u", None, 0, forced=True), exposed("x2", "u", "b", 3), answered("a", "u", 2)]
    counts = counted(events)
    assert (counts.forced, counts.crossover) == (0, 0)
    assert counts.sums["answers_per_user"]["b"][:2] == (1, 0)


def test_nothing_at_all_is_an_empty_tally(database_url: str) -> None:
    with invented_events.stored([], database_url) as database:
        counts = tally(database.read, SCOPE)
    assert (counts.forced, counts.crossover, counts.first_ms) == (0, 0, None)
    assert set(counts.sums) == set(DEFINED)
    assert not any(counts.sums.values()) and not any(counts.quantiles.values())


def test_delivery_counts_real_events_only(database_url: str) -> None:
    row = {"name": "copied", "time_ms": 1, "user_id": "u", "metadata": "{}", "ids": "{}"}
    deliveries = [
        row | {"event_id": "1", "simulated": False, "acknowledged_ms": 5},
        row | {"event_id": "2", "simulated": False, "acknowledged_ms": None},
        row | {"event_id": "3", "simulated": True, "acknowledged_ms": None},
    ]
    waiting = {"event_id": "2", "created_ms": 1, "due_ms": 1, "attempts": 0}
    with invented_events.stored([], database_url) as database:
        with database.begin() as connection:
            connection.execute(insert(event), deliveries)
            connection.execute(insert(outbox), waiting)
        with database.read() as connection:
            assert delivery(connection, SCOPE) == Delivery(2, 1, 1)
            assert delivery(connection, replace(SCOPE, simulated=True)) == Delivery(1, 0, 0)


@pytest.mark.parametrize(("marks", "only"), [([], False), ([True], True), ([False], False), ([True, False], False)])
def test_an_experiment_is_simulated_when_all_its_exposures_are(marks: list[bool], only: bool) -> None:
    events = [exposed(f"x{number}", "u", "b", simulated=mark) for number, mark in enumerate(marks)]
    with imported(invented_events.encoded(events)) as database, database.read() as connection:
        assert only_simulated(connection, EXPERIMENT) is only


def test_weights_are_kept_once_until_they_change(database_url: str) -> None:
    with invented_events.stored([], database_url) as database:
        for time_ms, share in ((3, 0.5), (5, 0.5), (9, 0.7), (12, 0.7)):
            with database.begin() as connection:
                keep_weights(connection, EXPERIMENT, {"a": share, "b": 1 - share}, time_ms)
        with database.read() as connection:
            assert [one.since_ms for one in weights_over_time(connection, EXPERIMENT)] == [3, 9]
            assert weights_over_time(connection, "another") == ()
