"""The runs of an experiment: new runs, pauses, schedules, groups switched off, decisions; on both databases."""

from dataclasses import replace
from typing import Any

import pytest

from lib.domain.clock import now_ms
from lib.domain.operations import stretch
from lib.experiments.acts import ActError, Acts
from lib.experiments.book import of_run
from lib.experiments.definitions import Group
from lib.store import states
from lib.store.splits import weights_over_time
from tests.support.experiment_acts import (
    ANN,
    BOB,
    NAME,
    Replica,
    decide,
    definition,
    heavier,
    newest_version,
    runs,
    save,
)
from tests.support.experiment_acts import acts as acts
from tests.support.experiment_acts import replica as replica

# Runs


def test_a_change_that_breaks_comparability_begins_a_new_run(acts: Acts) -> None:
    save(acts, groups=heavier(acts))
    first, second = runs(acts)
    assert first.ended_ms == second.begun_ms and first.end_reason == second.reason == "Version 2: weights"
    assert definition(acts).run == 2 and acts.book[NAME].state.run == 2
    with acts._store.read() as connection:
        assert [dict(one.shares) for one in weights_over_time(connection, stretch(NAME, 2))] == [
            {"Control": 0.25, "Test": 0.75}
        ]
        before = of_run(connection, NAME, 1)
    assert before is not None and before.shares == {"Control": 0.5, "Test": 0.5} and before.until_ms == first.ended_ms


@pytest.mark.parametrize(
    "changes", [{"primary": "error_rate"}, {"planned_users": 300}, {"allocation": 90.0}, {"allocation": 0.0}]
)
def test_other_changes_stay_in_the_run(acts: Acts, changes: dict[str, Any]) -> None:
    save(acts, **changes)
    (only,) = runs(acts)
    assert only.version == 2 and only.ended_ms is None


def test_a_new_order_of_the_groups_begins_a_new_run(acts: Acts) -> None:
    written = definition(acts)
    save(acts, groups=written.groups[::-1])
    assert [one.reason for one in runs(acts)][1:] == ["Version 2: order of the groups"]


def test_another_default_begins_a_new_run_where_a_group_takes_its_model_from_it(acts: Acts) -> None:
    save(acts, default={"model": "another"})
    assert len(runs(acts)) == 1  # every group names its model
    control, test = definition(acts).groups
    save(acts, groups=(replace(control, parameters={}), test))
    save(acts, default={"model": "a-third"})
    assert runs(acts)[-1].reason == "Version 4: model of Control"


def test_an_experiment_that_is_paused_by_its_allocation_starts_again_with_a_share(acts: Acts) -> None:
    save(acts, allocation=0.0)
    with pytest.raises(ActError, match="a percentage above 0"):
        acts.start(NAME, ANN)
    acts.start(NAME, ANN, percent=100)
    (only,) = runs(acts)
    assert definition(acts).allocation == 100 and only.ended_ms is None


def test_a_pause_by_the_allocation_does_not_hide_a_smaller_allocation(acts: Acts) -> None:
    save(acts, allocation=0.0)
    with pytest.raises(ActError, match="is 0 %, and was 40 % before"):
        acts.ramp(NAME, 20, ANN)
    acts.ramp(NAME, 40, ANN)
    save(acts, allocation=0.0)
    assert len(runs(acts)) == 1
    save(acts, allocation=20.0)
    assert runs(acts)[-1].reason == "Version 5: a smaller allocation"
    save(acts, allocation=0.0)
    acts.start(NAME, ANN, percent=20)
    assert [one.number for one in runs(acts)] == [1, 2]


def test_a_smaller_allocation_begins_a_new_run(acts: Acts) -> None:
    save(acts, allocation=10.0)
    assert [one.number for one in runs(acts)] == [1, 2]


def test_a_ramp_only_grows_and_stays_in_the_run(acts: Acts) -> None:
    acts.ramp(NAME, 80, ANN)
    assert definition(acts).allocation == 80 and len(runs(acts)) == 1
    for percent in (80, 20, 101):
        with pytest.raises(ActError, match="a ramp only makes it larger"):
            acts.ramp(NAME, percent, ANN)


def test_a_pause_keeps_the_run_and_a_start_goes_on_with_it(acts: Acts) -> None:
    acts.pause(NAME, ANN)
    assert definition(acts).allocation == 0 and definition(acts).until_ms is None
    with pytest.raises(ActError, match="does not run: it is paused"):
        acts.pause(NAME, ANN)
    acts.start(NAME, ANN)
    assert definition(acts).allocation == 40 and len(runs(acts)) == 1
    with pytest.raises(ActError, match="runs already"):
        acts.start(NAME, ANN)


def test_an_end_ends_the_run_and_the_next_start_begins_another(acts: Acts) -> None:
    acts.end(NAME, ANN, "enough")
    assert definition(acts).allocation == 0 and definition(acts).until_ms == runs(acts)[0].ended_ms
    with pytest.raises(ActError, match="has no open run"):
        acts.end(NAME, ANN)
    acts.start(NAME, BOB)
    assert [(one.number, one.end_reason) for one in runs(acts)] == [(1, "enough"), (2, "")]
    assert definition(acts).until_ms is None and definition(acts).run == 2


def test_a_version_that_breaks_a_paused_run_ends_it_and_waits(acts: Acts) -> None:
    acts.pause(NAME, ANN)
    save(acts, groups=heavier(acts))
    assert len(runs(acts)) == 1 and runs(acts)[0].ended_ms is not None
    acts.start(NAME, ANN)
    assert [one.number for one in runs(acts)] == [1, 2]


def test_an_experiment_without_users_is_not_started(acts: Acts) -> None:
    acts.end(NAME, ANN)
    save(acts, allocation=0.0)
    with pytest.raises(ActError, match="no unit takes part"):
        acts.start(NAME, ANN)
    acts.start(NAME, ANN, percent=5)
    assert definition(acts).allocation == 5


# A schedule


def test_a_schedule_is_kept_by_one_of_the_replicas(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = replica(), replica()
    here.end(NAME, ANN)
    now = now_ms()
    here.schedule(NAME, now + 60_000, now + 120_000, ANN)
    here.keep_schedule()
    assert here.book[NAME].state.stage == "ended"
    there.refresh()
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now + 61_000)
    here.keep_schedule()
    there.keep_schedule()
    assert [one.number for one in runs(here)] == [1, 2] and runs(here)[1].author == "Parley"
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now + 121_000)
    there.keep_schedule()
    assert runs(here)[1].end_reason == "As scheduled" and there.book[NAME].state.stage == "ended"
    assert there.book[NAME].state.start_ms is None and there.book[NAME].state.end_ms is None


def test_an_experiment_whose_whole_time_passed_is_not_started(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    acts.end(NAME, ANN)
    now = now_ms()
    acts.schedule(NAME, now + 60_000, now + 120_000, ANN)
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now + 121_000)
    acts.keep_schedule()
    assert (len(runs(acts)), acts.book[NAME].state.stage) == (1, "ended")
    assert (acts.book[NAME].state.start_ms, acts.book[NAME].state.end_ms) == (None, None)


def test_a_start_drops_a_scheduled_end_that_has_passed(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    acts.end(NAME, ANN)
    now = now_ms()
    acts.schedule(NAME, None, now + 60_000, ANN)
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now + 61_000)
    acts.keep_schedule()
    acts.start(NAME, ANN)
    acts.keep_schedule()
    assert (acts.book[NAME].state.stage, acts.book[NAME].state.end_ms) == ("running", None)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (None, -1, "end lies in the past"),
        (-1, None, "start lies in the past"),
        (9_000, 5_000, "not lie after the start"),
    ],
)
def test_a_schedule_lies_in_the_future(acts: Acts, start: int | None, end: int | None, problem: str) -> None:
    acts.end(NAME, ANN)
    now = now_ms()
    with pytest.raises(ActError, match=problem):
        acts.schedule(NAME, start and now + start, end and now + end, ANN)


# Groups that are switched off


def test_a_group_is_switched_off_at_once_and_its_data_stay(acts: Acts) -> None:
    acts.disable(NAME, "Test", ANN, "too rude")
    off = definition(acts).group("Test")
    assert off is not None and off.ended_ms is not None and len(runs(acts)) == 1
    with pytest.raises(ActError, match="switched off already"):
        acts.disable(NAME, "Test", ANN)
    with pytest.raises(ActError, match="no group Nope; it has Control, Test"):
        acts.disable(NAME, "Nope", ANN)


def test_a_group_that_is_switched_on_again_begins_a_new_run(acts: Acts) -> None:
    acts.disable(NAME, "Test", ANN)
    acts.enable(NAME, "Test", ANN)
    assert [one.number for one in runs(acts)] == [1, 2]
    on = definition(acts).group("Test")
    assert on is not None and on.ended_ms is None
    with pytest.raises(ActError, match="is not switched off"):
        acts.enable(NAME, "Test", ANN)


def test_a_group_stays_off_in_the_next_run_until_it_is_removed(acts: Acts) -> None:
    acts.disable(NAME, "Test", ANN)
    save(acts, groups=heavier(acts))
    assert acts.book[NAME].state.disabled.keys() == {"Test"} and definition(acts).run == 2
    save(acts, groups=(newest_version(acts).groups[0], Group("Third", 1)))
    assert acts.book[NAME].state.disabled == {}


# Decisions


def test_a_decision_makes_a_groups_parameters_the_default_and_ends_the_run(acts: Acts) -> None:
    decide(acts, "Test")
    assert definition(acts).default == {"model": "large", "system_prompt": "Be brief."}
    assert definition(acts).allocation == 0 and runs(acts)[0].end_reason == "Decided for Test"
    with acts._store.read() as connection:
        (made,) = states.decisions(connection, NAME)
    assert (made.run, made.author, made.reason, made.group) == (1, ANN, "It won.", "Test")
    assert made.readout == {"verdict": "better", "sentence": "Test is better."}
    assert dict(made.parameters) == definition(acts).default


def test_undoing_a_decision_is_another_decision(acts: Acts) -> None:
    decide(acts, "Test")
    decide(acts, "Control", "It was not so.")
    assert definition(acts).default == {"model": "small"}
    with acts._store.read() as connection:
        assert [one.group for one in states.decisions(connection, NAME)] == ["Control", "Test"]


def test_a_decision_needs_a_reason_and_a_run(acts: Acts) -> None:
    with pytest.raises(ActError, match="Say in a sentence why"):
        decide(acts, "Test", " ")
    with pytest.raises(ActError, match="has never run"):
        acts.decide("other", None, {}, ANN, "why not")


def test_a_decision_may_leave_the_default_as_it_is(acts: Acts) -> None:
    decide(acts, None)
    assert definition(acts).default == {"model": "small"} and acts.book[NAME].state.version == 1
