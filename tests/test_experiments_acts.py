"""The acts of operators: the file's seed, versions, Statsig's part, the audit log; two replicas on both databases."""

import json
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.experiments.acts import ActError, Acts, Conflict
from lib.experiments.book import of_run
from lib.experiments.definitions import DefinitionError, Group, read_definitions
from lib.experiments.versions import to_toml
from lib.store import Store, StoreError, audit, states
from tests.support.experiment_acts import (
    ANN,
    BOB,
    DEFINED,
    NAME,
    Replica,
    decide,
    definition,
    heavier,
    log,
    newest_version,
    runs,
    save,
)
from tests.support.experiment_acts import acts as acts
from tests.support.experiment_acts import replica as replica
from tests.support.waiting import ENOUGH_S

# The file


def test_the_file_seeds_the_record_and_the_configured_experiment_runs(acts: Acts) -> None:
    assert acts.book[NAME].state.stage == "running" and acts.book[NAME].state.live
    assert acts.book["other"].state.stage == "draft" and not acts.book["other"].state.live
    assert definition(acts) == DEFINED[NAME]
    (first,) = runs(acts)
    assert (first.number, first.version, first.ended_ms) == (1, 1, None)
    assert definition(acts, "other").allocation == 0  # a draft: no unit takes part


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
    assert authors == ["the experiments file", ANN, "the experiments file"]  # the operator's version stays readable


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


def test_an_operator_who_saves_second_reads_the_first_version_and_loses_no_text(replica: Replica) -> None:
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
def test_every_definition_of_statsig_can_be_recorded_and_decided_on(replica: Replica, change: dict[str, Any]) -> None:
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


def test_a_changed_file_begins_no_run_of_an_experiment_at_statsig(replica: Replica) -> None:
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


# The audit log, and an unavailable store


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
