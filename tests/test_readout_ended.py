"""The readout of an experiment that Statsig ended, or of a group that it disabled, stays as it was at that moment."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lib.domain.assignment import Assignment
from lib.domain.completion import Completion
from lib.domain.conversation import Conversation, Question
from lib.domain.events import chat_completion, exposure
from lib.experiments.archive import Archive
from lib.experiments.definitions import Definition
from lib.readout.results import Window, gather
from lib.readout.verdicts import read, scope_of
from lib.store import Store
from lib.store.tallies import tally
from tests.support.statsig_specs import NAME, NAMED
from tests.support.waiting import ENOUGH_S

BEGAN_MS, ENDED_MS = 1_790_000_000_000, 1_790_000_100_000
Ask = Callable[[str, str | None, int], None]


def definition_after(*shapes: str) -> Definition:
    """Return the definition after Statsig has served these two shapes, the second one at `ENDED_MS`."""
    archive = Archive("o")
    for shape, now_ms in zip(shapes, (BEGAN_MS - 1_000, ENDED_MS), strict=True):
        archive = archive.after(json.dumps(NAMED[shape]()), "", now_ms)
    definition = archive.definition(NAME)
    assert definition is not None
    return definition


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as opened:
        yield opened


@pytest.fixture
def ask(store: Store) -> Ask:
    """Return a function that records a unit which meets a group (None: not taking part) and gets an answer."""
    count = 0

    def ask(unit: str, group: str | None, time_ms: int) -> None:
        nonlocal count
        count += 1
        assignment = Assignment(NAME, group, f"{group}", unit, {"userID": unit}, {})
        conversation, completion = Conversation(f"c{count}", unit, assignment), Completion("Yes.", "stop", 1.0)
        question = Question(f"a{count}", conversation.id, "s", 1, "m", assignment)
        met = exposure(assignment, "s", time_ms=time_ms)
        store.conversations.ask(conversation, question, "Why?", met)
        store.conversations.finish(question, completion, chat_completion(question, completion, time_ms=time_ms + 1))
        assert store.events.record([]).wait(ENOUGH_S)

    return ask


def count_units(store: Store, definition: Definition) -> tuple[dict[str, int], dict[str, float], int, float | None]:
    """Return units and answers by group, the number of units in two groups, and the evidence against the split."""
    tallied = read(tally(store.read, scope_of(definition)), definition, ENDED_MS + 10_000)
    answers = {group: one.sx for group, one in tallied.metrics["answers_per_user"].sums.items()}
    return dict(tallied.counts), answers, tallied.crossover, tallied.split.log_e


@pytest.mark.parametrize("shape", ["shipped", "abandoned", "stopped", "paused", "disabled", "archived", "not_started"])
def test_events_after_the_end_change_nothing(store: Store, ask: Ask, shape: str) -> None:
    for number in range(8):
        ask(f"u{number}", ("Control", "Test")[number % 2], BEGAN_MS + number)
    running, ended = replace(definition_after("running", "running")), definition_after("running", shape)
    before = count_units(store, running)
    assert before[:3] == ({"Control": 4, "Test": 4}, {"Control": 4, "Test": 4}, 0)
    ask("u0", None, ENDED_MS + 1)  # a new conversation of a unit that had a group
    ask("u1", "Test", ENDED_MS + 2)  # an earlier conversation keeps its group
    ask("new", None, ENDED_MS + 3)
    assert count_units(store, ended) == before
    results = gather(store, ended, Window(NAME), ENDED_MS + 10_000)
    assert dict(results.readout.counts) == before[0]
    narrowed = gather(store, ended, Window(NAME, since_ms=BEGAN_MS), ENDED_MS + 10_000)
    assert dict(narrowed.readout.counts) == before[0]
    assert count_units(store, running)[1] == {"Control": 5, "Test": 5}  # as it would be without the end


def test_a_disabled_group_stays_and_the_others_go_on(store: Store, ask: Ask) -> None:
    for number in range(8):
        ask(f"u{number}", ("Control", "Test")[number % 2], BEGAN_MS + number)
    for number in range(8, 60):
        ask(f"u{number}", ("Control", "Test")[number % 2], ENDED_MS + number)
    units, answers, crossover, evidence = count_units(store, definition_after("running", "disabled_group"))
    assert (units, answers, crossover) == ({"Control": 4, "Test": 30}, {"Control": 4, "Test": 30}, 0)
    assert evidence is None or evidence < 1  # nothing is wrong with that split
