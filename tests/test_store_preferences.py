"""Votes on comparisons: the last vote on each one counts, with and without the ledger, on both databases."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, inspect, select, text

from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.statistics.sums import Scope, Sums, VoteSums
from lib.store import Store, purge
from lib.store.database import Database
from lib.store.ingest import imported
from lib.store.preferences import votes_by_pair
from lib.store.schema import vote
from lib.store.simulated import remove_simulated, spread
from lib.store.tallies import last_run, tally
from tests.support.invented_events import EXPERIMENT, ORIGIN_MS, Line, encoded, preferred, stored
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
SCOPE = Scope(EXPERIMENT)
PAIR = ("b", "control")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url, tier="production")) as opened:
        yield opened


def event(line: Line) -> Event:
    """Return the event of a line of an export."""
    return Event(line["event_id"], line["name"], line["time"], line["user_id"], line["value"], line["metadata"])


def keep(store: Store, *lines: Line) -> None:
    for line in lines:
        assert store.events.record([event(line)]).wait(SOON)


def stored_votes(store: Store, scope: Scope = SCOPE) -> dict[tuple[str, str], VoteSums]:
    with store.read() as connection:
        return votes_by_pair(connection, scope)


def won(store: Store, scope: Scope = SCOPE) -> tuple[int, int]:
    """Return the number of votes, and votes for control minus votes for b."""
    votes = stored_votes(store, scope).get(PAIR, VoteSums(Sums(), 0, 0, 0))
    return round(votes.sums.sy), round(votes.sums.sx)


def by_hand(lines: Sequence[Line], scope: Scope) -> dict[tuple[str, str], VoteSums]:
    """Count the votes unit by unit, without SQL."""
    last: dict[str, Line] = {}
    for line in sorted(lines, key=lambda one: (one["time"], one["event_id"])):
        about = line["metadata"]
        if about["experiment"] == scope.experiment and bool(about.get("simulated")) == scope.simulated:
            last[about["comparison_id"]] = line
    units: dict[tuple[str, str], dict[str, list[int]]] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for line in last.values():
        left, right = line["metadata"]["left"], line["metadata"]["right"]
        first, second = sorted((left, right))
        worth = {first: -1, second: 1, "tie": 0, "both_bad": 0}.get(line["value"])
        if worth is None:
            continue
        unit = units.setdefault((first, second), {}).setdefault(line["user_id"], [0, 0])
        unit[0], unit[1] = unit[0] + worth, unit[1] + 1
        count = counts.setdefault((first, second), [0, 0, 0])
        for place, is_so in enumerate((worth != 0, line["value"] == "both_bad", line["value"] == left)):
            count[place] += is_so
    return {pair: VoteSums(sums_of(list(of.values())), *counts[pair]) for pair, of in units.items()}


def sums_of(pairs: Sequence[Sequence[int]]) -> Sums:
    def total(power: Any) -> int:
        return sum(power(x, y) for x, y in pairs)

    return Sums(
        len(pairs),
        total(lambda x, _: x),
        total(lambda _, y: y),
        total(lambda x, _: x * x),
        total(lambda _, y: y * y),
        total(lambda x, y: x * y),
        len(pairs),
    )


@st.composite
def ballots(draw: st.DrawFn) -> list[Line]:
    """Draw votes of a few testers on a few comparisons: changed, repeated, of other pairs and values, in any order."""
    users, values = st.sampled_from(["u0", "u1", "u2"]), st.sampled_from(["b", "control", "c", "tie", "both_bad"])
    sides = st.sampled_from([("control", "b"), ("b", "control"), ("c", "control"), ("b", "c")])
    flags: st.SearchStrategy[Line] = st.sampled_from([{}, {}, {}, {"simulated": True}, {"experiment": "another"}])
    lines = []
    for number in draw(st.permutations(range(draw(st.integers(0, 16))))):
        left, right = draw(sides)
        about = {"left": left, "right": right, **draw(flags)}
        comparison = f"c{draw(st.integers(0, 7))}"
        lines.append(
            preferred(f"e{number:02}", comparison, draw(users), draw(st.integers(0, 5)), draw(values), **about)
        )
    twice = draw(st.lists(st.sampled_from(lines), max_size=3)) if lines else []
    return draw(st.permutations([*lines, *twice]))


@given(ballots())
@settings(max_examples=40)
def test_any_votes_are_counted_as_by_hand(lines: list[Line]) -> None:
    with imported(encoded(lines)) as database:
        for scope in (SCOPE, replace(SCOPE, simulated=True)):
            assert tally(database.read, scope).votes == by_hand(lines, scope)


def test_both_databases_count_alike(database_url: str) -> None:
    lines = [
        preferred(f"e{n:03}", f"c{n % 90}", f"u{n % 11}", n % 7, ("b", "control", "tie", "both_bad", "b")[n % 5])
        for n in range(200)
    ]
    with stored(lines, database_url) as database, database.read() as connection:
        assert votes_by_pair(connection, SCOPE) == by_hand(lines, SCOPE) != {}


def test_the_last_vote_counts_in_any_order_of_writes(store: Store, database_url: str) -> None:
    first, second = preferred("e1", "c", "u", 5, "b"), preferred("e2", "c", "u", 9, "control")
    keep(store, second, first, second)
    assert won(store) == (1, 1)
    with closing(Store.open(database_url)) as other:
        keep(other, preferred("e3", "c", "u", 9, "b"))  # at the same moment, the later event id counts
    keep(store, second)
    assert won(store) == (1, -1)


def test_a_purge_of_the_ledger_loses_no_vote(store: Store) -> None:
    keep(store, preferred("e1", "c1", "u"), preferred("e2", "c2", "u", value="tie"))
    assert sum(purge.purge(store, ORIGIN_MS + 1_000)) == 2
    assert won(store) == (2, -1)


def test_a_narrowed_scope_has_its_own_votes(store: Store, database_url: str) -> None:
    keep(store, preferred("e1", "c1", "ann", 1, invitation="friday"), preferred("e2", "c2", "ann", 5))
    with closing(Store.open(database_url, tier="staging")) as other:
        keep(other, preferred("e3", "c3", "bob", 9))
    counts = [
        won(store, replace(SCOPE, **part))[0]
        for part in (
            {"since_ms": ORIGIN_MS + 5},
            {"until_ms": ORIGIN_MS + 5},
            {"tier": "staging"},
            {"tier": "production"},
            {"invitation": "friday"},
            {"invitation": "monday"},
        )
    ]
    assert counts == [2, 1, 1, 2, 2, 0]


def test_the_votes_of_each_run_count_by_themselves(store: Store) -> None:
    keep(store, preferred("e1", "c1", "u"), preferred("e2", "c2", "u", run=2), preferred("e3", "c3", "v", run=2))
    assert [won(store, replace(SCOPE, run=run)) for run in (1, 2, 3)] == [(1, -1), (2, -2), (0, 0)]
    with store.read() as connection:
        assert last_run(connection, EXPERIMENT) == 2


def test_erasure_takes_one_units_votes_alone(store: Store) -> None:
    keep(store, preferred("e1", "c1", "ann"), preferred("e2", "c2", "bob"))
    assert sum(purge.purge(store, ORIGIN_MS + 1_000)) == 2
    erased = store.erase("ann")
    assert erased.votes == 1 and not erased.nothing
    assert won(store) == (1, -1)


def test_simulated_votes_are_removed_with_the_simulated_data(store: Store) -> None:
    keep(store, preferred("e1", "c1", "u"), preferred("e2", "c2", "v", simulated=True))
    assert won(store, replace(SCOPE, simulated=True)) == (1, -1)
    assert remove_simulated(store) == 2  # the vote and its event
    assert (won(store), stored_votes(store, replace(SCOPE, simulated=True))) == ((1, -1), {})


def test_simulated_comparers_are_spread_over_days_like_other_visitors(store: Store) -> None:
    keep(store, *(preferred(f"e{n}", f"c{n}", f"u{n}", n, simulated=True) for n in range(4)))
    spread(store, 4, ORIGIN_MS)
    with store.read() as connection:
        times = connection.scalars(select(vote.c.time_ms).order_by(vote.c.comparison_id)).all()
    assert [ORIGIN_MS // 86_400_000 - time // 86_400_000 for time in times] == [3, 2, 1, 0]


def test_an_event_without_a_comparison_is_kept_and_not_counted_as_a_vote(store: Store) -> None:
    keep(store, preferred("e1", "", "u"), preferred("e2", "c", "u", right=7))
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(vote)) == 0
    assert len(list(store.events.export())) == 2


def shape(database: Database) -> object:
    """Return the columns, key and indexes of the table of votes."""
    known = inspect(database.writer)
    return (
        {(one["name"], str(one["type"]), one["nullable"]) for one in known.get_columns("vote")},
        known.get_pk_constraint("vote")["constrained_columns"],
        {(one["name"], *one["column_names"]) for one in known.get_indexes("vote")},
    )


def test_a_ledger_from_before_the_table_keeps_its_votes(database_url: str) -> None:
    lines = [preferred(new_id(), f"c{n % 3}", f"u{n % 2}", n, "control" if n > 2 else "b") for n in range(5)]
    lines += [preferred("s", "s", "u0", simulated=True), preferred("bad", "", "u0")]
    with closing(Store.open(database_url)) as store:
        keep(store, *reversed(lines))
        before = [stored_votes(store, replace(SCOPE, simulated=simulated)) for simulated in (False, True)]
    with closing(Database.open(database_url)) as database:
        fresh = shape(database)
        with database.begin() as connection:
            connection.execute(text("DROP TABLE vote"))
            connection.execute(text("DELETE FROM migration WHERE name = '14 votes'"))
    with closing(Database.open(database_url)) as database:
        assert shape(database) == fresh
    with closing(Store.open(database_url)) as store:
        after = [stored_votes(store, replace(SCOPE, simulated=simulated)) for simulated in (False, True)]
        assert after == before and before[0][PAIR].sums.sx == 1 and before[1][PAIR].sums.n == 1
