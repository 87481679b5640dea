"""Intervals are held over the looks of a run: stored, narrowed by every readout, and empty where the effect changed."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import select

from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.experiments.definitions import PREFERENCE, Definition, Effect, Group
from lib.readout.report import as_json
from lib.readout.results import Window, current, gather
from lib.readout.runs import run_of, terms_of
from lib.readout.sentences import sentence
from lib.readout.side_by_side import comparison_heading, preference_sentence
from lib.readout.verdicts import Readout, read, scope_of
from lib.statistics.intervals import Interval
from lib.store import Store
from lib.store.bounds import held_intervals, hold
from lib.store.schema import held
from lib.store.simulated import remove_simulated
from lib.store.tallies import tally
from tests.support import invented_events, invented_traffic
from tests.support.invented_traffic import EXPERIMENT, Traffic
from tests.support.invented_traffic import Group as Users
from tests.support.waiting import ENOUGH_S

TWO = Definition(EXPERIMENT, (Group("Control", 1), Group("Test", 1)), "Control")
LOOK = ("satisfaction", "Test")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as opened:
        yield opened


def add_users(url: str, control: float, test: float, users: int = 200, seed: int = 1) -> None:
    """Add users of both groups with these shares of thumbs up."""
    groups = {"Control": Users(users, control, rates=1.0), "Test": Users(users, test, rates=1.0)}
    invented_traffic.fill(url, Traffic(groups, seed=seed))


def look(store: Store, definition: Definition = TWO) -> Readout:
    readout = current(store, definition, False, now_ms())
    assert store.write(lambda connection: None).wait(ENOUGH_S)  # waits until earlier facts are written, too
    return readout


def test_a_verdict_stays_at_a_later_look(store: Store, database_url: str) -> None:
    add_users(database_url, 0.45, 0.75)
    first = look(store)
    assert first.verdict == "better" and first.held is not None
    add_users(database_url, 0.75, 0.62, users=90, seed=2)  # a bad day for Test
    definition_alone = read(tally(store.read, scope_of(TWO)), TWO, now_ms())
    assert definition_alone.main.versus["Test"].numbers.cs_low is not None
    second = look(store)
    assert second.held is not None
    assert second.held[LOOK].low == max(first.held[LOOK].low, definition_alone.main.versus["Test"].numbers.cs_low)
    assert second.held[LOOK].high <= first.held[LOOK].high
    assert as_json(second)["held"]["satisfaction"]["Test"]["low"] == second.held[LOOK].low


def hold_interval(store: Store, interval: Interval) -> None:
    """Store an interval as an earlier readout of the run would."""
    store.written(lambda c: hold(c, EXPERIMENT, False, terms_of(TWO), {LOOK: interval}), 10)


def test_a_held_verdict_is_reported_with_its_day(store: Store, database_url: str) -> None:
    add_users(database_url, 0.6, 0.66, users=150)
    hold_interval(store, Interval(0.01, 1_790_000_000_000, 0.3, 1_790_000_000_000))
    readout = look(store)
    versus = readout.main.versus["Test"]
    assert versus.numbers.cs_low is not None and versus.numbers.cs_low < 0
    assert (readout.verdict, versus.low) == ("better", 0.01)
    assert "held since 21 September 2026)" in sentence(readout)


def test_an_effect_that_changed_has_no_verdict(store: Store, database_url: str) -> None:
    add_users(database_url, 0.45, 0.8)
    hold_interval(store, Interval(-0.3, 1_790_000_000_000, -0.05, 1_790_000_000_000))
    readout = look(store)
    assert readout.main.versus["Test"].changed
    assert readout.verdict == "no_difference_yet"
    assert sentence(readout).startswith("The effect of Test on satisfaction has changed over time:")


def test_two_replicas_keep_the_narrower_of_both(store: Store) -> None:
    for interval in (Interval(0.1, 5, 0.5, 5), Interval(0.0, 6, 0.4, 6), Interval(0.2, 7, 0.6, 7)):
        hold_interval(store, interval)
    with store.read() as connection:
        assert held_intervals(connection, EXPERIMENT, False, terms_of(TWO)) == {LOOK: Interval(0.2, 7, 0.4, 6)}


def test_another_run_or_other_terms_start_from_nothing(store: Store, database_url: str) -> None:
    add_users(database_url, 0.45, 0.75)
    look(store)
    other = replace(TWO, groups=(Group("Control", 1, {"model": "b"}), Group("Test", 1)))
    assert run_of(other) != run_of(TWO)
    assert terms_of(replace(TWO, planned_users=300)) != terms_of(TWO)
    with store.read() as connection:
        assert held_intervals(connection, EXPERIMENT, False, terms_of(other)) == {}


def test_a_readout_of_a_part_holds_no_interval(store: Store, database_url: str) -> None:
    add_users(database_url, 0.45, 0.75)
    results = gather(store, TWO, Window(EXPERIMENT, since_ms=now_ms() - 3 * 86_400_000), now_ms())
    assert results.readout.held is None
    assert store.write(lambda connection: None).wait(ENOUGH_S)
    with store.read() as connection:
        assert connection.execute(select(held)).all() == []


def test_the_intervals_of_simulated_data_are_removed_with_it(store: Store, database_url: str) -> None:
    groups = {"Control": Users(60, 0.5, rates=1.0), "Test": Users(60, 0.9, rates=1.0)}
    invented_traffic.fill(database_url, Traffic(groups, simulated=True))
    current(store, TWO, True, now_ms())
    assert store.write(lambda connection: None).wait(ENOUGH_S)
    remove_simulated(store)
    with store.read() as connection:
        assert connection.execute(select(held)).all() == []


# Comparisons


COMPARED = Definition(invented_events.EXPERIMENT, (Group("control", 1), Group("b", 1)), "control")
PREFERRED = (PREFERENCE, "b")


def vote(store: Store, testers: str, people: int, wins: int, losses: int) -> None:
    """Record `people` testers of this name, each with `wins` votes for b and `losses` for control."""
    lines = [
        invented_events.preferred(
            f"{testers}{who}-{which}", f"c-{testers}{who}-{which}", f"{testers}{who}", value=value
        )
        for who in range(people)
        for which, value in enumerate(["b"] * wins + ["control"] * losses)
    ]
    events = [
        Event(one["event_id"], one["name"], one["time"], one["user_id"], one["value"], one["metadata"]) for one in lines
    ]
    assert store.events.record(events).wait(ENOUGH_S)


def test_a_preference_once_found_stays_and_its_interval_never_widens(store: Store) -> None:
    vote(store, "early", 30, 7, 3)
    first = look(store, COMPARED)
    assert first.held is not None and first.comparisons is not None and first.comparisons.verdict == "better"
    vote(store, "late", 7, 1, 9)
    alone = read(tally(store.read, scope_of(COMPARED)), COMPARED, now_ms()).comparisons
    assert alone is not None and alone.verdict == "no_difference_yet"
    second = look(store, COMPARED)
    assert second.held is not None and second.comparisons is not None
    reading = second.comparisons.treatments["b"]
    assert second.held[PREFERRED].low == reading.low == first.held[PREFERRED].low
    assert second.held[PREFERRED].high <= first.held[PREFERRED].high
    report = as_json(second)
    assert report["comparisons"]["verdict"] == report["comparisons"]["treatments"]["b"]["verdict"] == "better"
    assert report["held"][PREFERENCE]["b"]["low"] == reading.low
    assert report["comparisons"]["treatments"]["b"]["cs_low"] == alone.treatments["b"].numbers.cs_low
    assert report["comparisons"]["sentence"] == preference_sentence(second, second.comparisons)
    assert re.search(
        r"^Testers prefer b: it wins .* interval .*, held since \d+ \w+ \d{4}\)\.$", report["comparisons"]["sentence"]
    )


def test_a_preference_that_changed_has_no_verdict(store: Store) -> None:
    vote(store, "early", 30, 7, 3)
    earlier = {PREFERRED: Interval(-0.4, 5, -0.1, 6)}
    store.written(lambda c: hold(c, COMPARED.name, False, terms_of(COMPARED), earlier), 10)
    compared = look(store, COMPARED).comparisons
    assert compared is not None and compared.treatments["b"].changed
    assert (compared.verdict, compared.treatments["b"].state, comparison_heading(compared)) == (
        "no_difference_yet",
        "changed",
        "Undecided",
    )
    assert preference_sentence(look(store, COMPARED), compared).startswith(
        "The preference for b has changed over time:"
    )


def test_another_smallest_preference_that_matters_starts_from_nothing(store: Store) -> None:
    vote(store, "early", 30, 7, 3)
    look(store, COMPARED)
    other = replace(COMPARED, mde={PREFERENCE: Effect(0.3)})
    with store.read() as connection:
        assert held_intervals(connection, COMPARED.name, False, terms_of(other)) == {}
