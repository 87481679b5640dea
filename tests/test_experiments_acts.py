"""The acts of operators: versions, runs, groups switched off, decisions; two replicas on both databases."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.domain.clock import now_ms
from lib.domain.operations import Entry, Run, stretch
from lib.experiments.acts import ActError, Acts, Conflict
from lib.experiments.book import of_run
from lib.experiments.definitions import Definition, DefinitionError, Group, read_definitions
from lib.experiments.versions import to_toml
from lib.store import Store, StoreError, audit, states
from lib.store.splits import weights_over_time
from tests.support.waiting import ENOUGH_S

NAME = "greeting"
FILE = """
[greeting]
allocation = 40
default = { model = "small" }
[greeting.groups]
Control = { weight = 50, parameters = { model = "small" } }
Test = { weight = 50, parameters = { model = "large", system_prompt = "Be brief." } }
[other.groups]
A = { weight = 1 }
"""
DEFINED = read_definitions(FILE)
ANN, BOB = "ann@example.org", "bob@example.org"
Replica = Callable[..., Acts]


@pytest.fixture
def replica(database_url: str) -> Iterator[Replica]:
    """Open processes that share one database, each seeded by a file."""
    stores: list[Store] = []

    def open_one(file: dict[str, Definition] = DEFINED, setting: str = NAME, **more: Any) -> Acts:
        stores.append(Store.open(database_url))
        one = Acts(stores[-1], ["openai"], **more)
        one.seed(file, setting)
        return one

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def acts(replica: Replica) -> Acts:
    return replica()


def definition(acts: Acts, name: str = NAME) -> Definition:
    """The experiment as it is in force."""
    acts.refresh()
    found = acts.book[name].definition
    assert found is not None
    return found


def newest_version(acts: Acts, name: str = NAME) -> Definition:
    """Return the newest version."""
    found = acts.book[name].written
    assert found is not None
    return found


def runs(acts: Acts, name: str = NAME) -> list[Run]:
    with acts._store.read() as connection:
        return list(reversed(states.runs(connection, name)))


def log(acts: Acts) -> list[Entry]:
    """The audit log, oldest first."""
    with acts._store.read() as connection:
        return list(reversed(list(audit.entries(connection, limit=None))))


def save(acts: Acts, author: str = ANN, reason: str = "", **changes: Any) -> None:
    """Save a new version on top of the newest one."""
    base = acts.book[NAME].state.version
    acts.save(NAME, to_toml(replace(newest_version(acts), **changes)), base, author, reason)


def heavier(acts: Acts) -> tuple[Group, ...]:
    control, test = newest_version(acts).groups
    return control, replace(test, weight=150)


def decide(acts: Acts, group: str | None, reason: str = "It won.") -> None:
    acts.decide(NAME, group, {"verdict": "better", "sentence": "Test is better."}, ANN, reason)


# The file


def test_the_file_seeds_the_record_and_the_configured_experiment_runs(acts: Acts) -> None:
    assert acts.book[NAME].state.stage == "running" and acts.book[NAME].state.live
    assert acts.book["other"].state.stage == "draft" and not acts.book["other"].state.live
    assert definition(acts) == DEFINED[NAME]
    (first,) = runs(acts)
    assert (first.number, first.version, first.ended_ms) == (1, 1, None)
    assert definition(acts, "other").allocation == 0  # a draft: nobody takes part


def test_a_second_start_with_the_same_file_changes_nothing(replica: Replica) -> None:
    before = log(replica())
    assert log(replica()) == before


def test_what_an_operator_saved_wins_until_the_file_changes(replica: Replica) -> None:
    first = replica()
    save(first, primary="error_rate")
    assert definition(replica()).primary == "error_rate"
    changed = {NAME: replace(DEFINED[NAME], allocation=60.0)}
    later = replica(changed)
    assert definition(later).primary == "satisfaction" and definition(later).allocation == 60
    with later._store.read() as connection:
        authors = [one.author for one in states.versions(connection, NAME)]
    assert authors == ["the experiments file", ANN, "the experiments file"]  # the operator's stays readable


def test_a_file_that_equals_the_record_makes_no_new_version(replica: Replica) -> None:
    first = replica()
    save(first, planned_users=300)
    exported = read_definitions(to_toml(newest_version(first)))
    assert replica(exported).book[NAME].state.version == 2


def test_the_setting_chooses_the_live_experiment_until_an_operator_does(replica: Replica) -> None:
    first = replica()
    first.start("other", ANN)
    assert first.book["other"].state.live and not first.book[NAME].state.live
    assert replica().book["other"].state.live  # the setting is the same: the operator's choice stays
    assert replica(setting=NAME).book["other"].state.live
    chosen = replica({**DEFINED, "third": replace(DEFINED["other"], name="third")}, setting="third")
    assert chosen.book["third"].state.live and chosen.book["third"].state.stage == "running"


# Versions


def test_every_replica_applies_a_new_version(replica: Replica) -> None:
    heard: list[float] = []
    here, there = (
        replica(),
        replica(changed=lambda book: heard.append(book[NAME].definition.allocation if NAME in book else 0)),
    )
    here.ramp(NAME, 80, ANN)
    assert heard[-1] == 40 and there.refresh()
    assert heard[-1] == 80 and not there.refresh()


def test_of_two_operators_the_second_learns_of_the_first_and_loses_nothing(replica: Replica) -> None:
    here, there = replica(), replica()
    text = to_toml(replace(newest_version(there), primary="response_time"))
    save(here, reason="errors matter", primary="error_rate")
    with pytest.raises(Conflict, match=r"ann@example.org saved version 2 meanwhile \(errors matter\)") as told:
        there.save(NAME, text, 1, BOB, "")
    assert 'primary = "error_rate"' in told.value.newest.text
    there.save(NAME, text, told.value.newest.number, BOB, "both seen")
    assert definition(here).primary == "response_time"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[greeting]\nallocation = 110\n[greeting.groups]\nA = { weight = 1 }", "line 2: [greeting] allocation"),
        ("[greeting]\n[greeting.groups]\nA = { weight = 0 }\nB = { weight = 0 }", "line 3: [greeting] groups.A.weight"),
        ("[greeting]\n[greeting.groups]\noverride = { weight = 1 }", "line 3: [greeting] groups.override"),
        ('[greeting.groups.A]\nweight = 1\nparameters = { provider = "x" }', "no such provider: 'x'"),
        ("[other.groups.A]\nweight = 1", "expected one table, [greeting]; there is other"),
        ("[greeting", "not valid TOML"),
    ],
)
def test_a_broken_version_is_refused_with_what_is_wrong(replica: Replica, text: str, problem: str) -> None:
    acts = replica()
    with pytest.raises(DefinitionError) as told:
        acts.save(NAME, text, 1, ANN, "")
    assert problem in str(told.value) and acts.book[NAME].state.version == 1


def test_a_version_that_changes_nothing_is_refused(acts: Acts) -> None:
    with pytest.raises(ActError, match="Nothing was changed"):
        save(acts)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "x" * 65])
def test_a_new_experiment_needs_a_name_that_statsig_takes(acts: Acts, name: str) -> None:
    with pytest.raises(ActError, match="at most 64 letters"):
        acts.create(name, to_toml(replace(DEFINED["other"], name=name or "x")), ANN, "")


def test_a_new_experiment_is_a_draft_until_it_starts(acts: Acts) -> None:
    acts.create("third", to_toml(replace(DEFINED[NAME], name="third")), ANN, "try")
    assert acts.book["third"].state.stage == "draft" and runs(acts, "third") == []
    with pytest.raises(ActError, match="There is an experiment third already"):
        acts.create("third", to_toml(replace(DEFINED[NAME], name="third")), ANN, "again")
    acts.start("third", ANN, percent=10)
    assert acts.book["third"].state.live and definition(acts, "third").allocation == 10


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


def test_the_order_of_the_groups_decides_who_gets_which_and_begins_a_new_run(acts: Acts) -> None:
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


def test_a_pause_by_the_allocation_hides_no_smaller_one(acts: Acts) -> None:
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


def test_to_undo_a_decision_is_another_decision(acts: Acts) -> None:
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


# Statsig


def test_with_statsig_only_what_stays_local_can_be_changed(replica: Replica) -> None:
    acts = replica(served=True)
    acts.note(NAME, DEFINED[NAME], "")
    save(acts, primary="error_rate")
    for act in (
        lambda: save(acts, allocation=90.0),
        lambda: acts.ramp(NAME, 90, ANN),
        lambda: acts.pause(NAME, ANN),
        lambda: acts.disable(NAME, "Test", ANN),
        lambda: acts.end(NAME, ANN),
    ):
        with pytest.raises(ActError, match="Statsig decides who gets what"):
            act()
    decide(acts, "Test")
    assert definition(acts).default == {"model": "small"} and runs(acts)[-1].ended_ms is None


@pytest.mark.parametrize(
    "change",
    [
        {"groups": (Group("Control (old)", 1, {"model": "m"}), Group("Größe: v2", 1)), "control": "Control (old)"},
        {"groups": (Group("Control", 1), Group("default", 0, {"provider": "gone"}), Group("C", 1))},
        {"unit": "companyID"},
    ],
)
def test_whatever_statsig_serves_can_be_read_again_and_decided_on(replica: Replica, change: dict[str, Any]) -> None:
    here = replica(served=True)
    served = replace(DEFINED[NAME], **change)
    here.note(NAME, served, "")
    recorded = replica(served=True).book[NAME]
    assert recorded.written == served
    here.save(NAME, to_toml(replace(served, primary="error_rate")), recorded.state.version, ANN, "matters more")
    decide(here, served.groups[1].name)
    with here._store.read() as connection:
        assert of_run(connection, NAME, 1) is not None
        assert [made.group for made in states.decisions(connection, NAME)] == [served.groups[1].name]


def test_a_changed_file_begins_no_run_of_what_statsig_serves(replica: Replica) -> None:
    replica(served=True).note(NAME, DEFINED[NAME], "")
    changed = {NAME: replace(DEFINED[NAME], groups=(Group("Control", 9), Group("Test", 1)), primary="error_rate")}
    later = replica(changed, served=True)
    assert [one.number for one in runs(later)] == [1] and newest_version(later).primary == "error_rate"


def test_what_changes_at_statsig_begins_a_new_run_once(replica: Replica) -> None:
    here, there = replica(served=True), replica(served=True)
    for one in (here, there):
        one.note(NAME, DEFINED[NAME], "")
    changed = replace(DEFINED[NAME], groups=heavier(here))
    for one in (here, there):
        one.note(NAME, changed, "")
    assert [(one.number, one.author) for one in runs(here)] == [(1, "Statsig"), (2, "Statsig")]
    over = replace(changed, status=replace(changed.status, state="decided", shipped="Test"))
    for one in (here, there):
        one.note(NAME, over, "A decision was made at Statsig.")
    assert runs(here)[-1].end_reason == "A decision was made at Statsig." and len(runs(here)) == 2
    here.note(NAME, changed, "")
    assert [one.number for one in runs(here)] == [1, 2, 3]


# The audit log, and a store that is away


def test_every_act_is_a_line_of_the_audit_log(acts: Acts) -> None:
    save(acts, reason="errors matter", primary="error_rate")
    acts.ramp(NAME, 50, BOB)
    acts.disable(NAME, "Test", ANN, "too rude")
    decide(acts, None)
    lines = [(one.operator, one.act, one.subject) for one in log(acts)]
    assert lines[-4:] == [(ANN, "version", NAME), (BOB, "ramp", NAME), (ANN, "disable", NAME), (ANN, "decide", NAME)]
    assert log(acts)[-3].details == {"from": 40, "to": 50, "reason": ""}
    json.dumps([dict(one.details) for one in log(acts)])
    with acts._store.read() as connection:
        assert audit.acts(connection) == sorted({one.act for one in log(acts)})


def test_a_refused_act_leaves_no_line(acts: Acts) -> None:
    before = log(acts)
    with pytest.raises(ActError):
        acts.ramp(NAME, 1, ANN)
    assert log(acts) == before


def test_while_the_store_is_away_nothing_changes_and_it_is_reported(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as store:
        acts = Acts(store)
        acts.seed(DEFINED, NAME)
        (tmp_path / "parley.db").rename(tmp_path / "away.db")
        with pytest.raises(StoreError):
            acts.ramp(NAME, 80, ANN)
        (tmp_path / "away.db").rename(tmp_path / "parley.db")
        assert definition(acts).allocation == 40


@pytest.mark.slow
def test_a_commit_that_is_held_up_for_some_seconds_is_waited_for(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as store:
        acts = Acts(store)
        acts.seed(DEFINED, NAME)
        gate = threading.Event()
        store.write(lambda _: gate.wait(ENOUGH_S))
        opened = threading.Timer(6, gate.set)
        opened.start()
        acts.ramp(NAME, 80, ANN)
        assert definition(acts).allocation == 80
