"""The status of an experiment in Statsig, and its archive, for every shape that the console produces."""

import json
from typing import Any

import pytest

from lib.domain.models import CONTROL_MODEL
from lib.experiments.archive import Archive
from lib.experiments.definitions import Status
from lib.experiments.served import state_of, unit_type
from tests.support.statsig_specs import (
    NAME,
    NAMED,
    PUBLIC,
    buckets,
    condition,
    experiment,
    groups,
    layer,
    override,
    rule,
    specs,
)

SPLIT = {"Control": 0.5, "Test": 0.5}


def archive_after(*shapes: Any, tier: str = "") -> Archive:
    """Return the archive after Statsig has served these shapes, one per second."""
    archive = Archive("o")
    for number, shape in enumerate(shapes, 1):
        served = NAMED[shape]() if isinstance(shape, str) else shape
        archive = Archive.read(archive.after(json.dumps(served), tier, number * 1000).text(), "o")
    return archive


@pytest.mark.parametrize(
    ("shape", "state"),
    [("shipped", "decided"), ("abandoned", "abandoned"), ("stopped", "stopped"), ("disabled", "disabled"),
     ("archived", "archived"), ("paused", "paused"), ("not_started", "not_started")],
)  # fmt: skip
def test_the_last_definition_that_ran_stays_with_its_outcome(shape: str, state: Any) -> None:
    archive = archive_after("running", shape)
    definition = archive.definition(NAME)
    assert definition is not None and definition.shares == SPLIT
    assert definition.status == Status(state, 2000, "Test" if shape == "shipped" else None)
    assert archive.status(NAME) == definition.status
    # whatever Statsig does afterwards, the first end remains the end
    later = archive_after("running", shape, "archived", "archived")
    assert later.definition(NAME) == definition


def test_an_experiment_that_runs_again_is_as_it_is_served() -> None:
    archive = archive_after("running", "shipped", specs(experiment(rules=groups(A="a", B="b", C="c", D="d"))))
    definition = archive.definition(NAME)
    assert definition is not None and list(definition.shares.values()) == [0.25] * 4
    assert definition.status == Status()


@pytest.mark.parametrize("shape", ["shipped", "abandoned", "stopped", "not_started"])
def test_an_experiment_that_never_ran_here_has_its_state_and_no_groups(shape: str) -> None:
    archive = archive_after(shape)
    assert archive.definition(NAME) is None
    assert archive.status(NAME).state != "running"
    assert archive.status(NAME).since_ms is None
    assert archive.status("of nobody") == Status()


def test_an_ended_experiment_stays_known_with_the_key_of_another_project() -> None:
    archive = Archive.read(archive_after("running", "shipped").text(), "another")
    assert archive.specs == ""
    definition = archive.definition(NAME)
    assert definition is not None and definition.status.state == "decided"


def test_a_start_in_one_tier_only_is_a_start_there() -> None:
    early = rule("prestart", {}, condition("environment_field", ["development"], "none", "tier"))
    spec = experiment(rules=[early, *groups()], isActive=False)
    assert (state_of(spec, "development"), state_of(spec, "production")) == ("running", "not_started")


def test_a_group_of_weight_0_gets_nothing() -> None:
    rules = groups(A="a", B="b")
    rules.insert(2, rule("none", {}, buckets("lt", 500, f"{NAME}-grp"), groupName="None", isExperimentGroup=True))
    definition = archive_after(specs(experiment(rules=rules))).definition(NAME)
    assert definition is not None and definition.shares == {"A": 0.5, "None": 0.0, "B": 0.5}


def test_an_override_is_not_a_group_before_or_after_the_start() -> None:
    for shape in ("running_override", "not_started"):
        definition = archive_after("running", shape).definition(NAME)
        assert definition is not None and definition.shares == SPLIT


def test_a_disabled_group_keeps_its_place_and_the_time_of_its_end() -> None:
    archive = archive_after("running", "disabled_group", "disabled_group")
    definition = archive.definition(NAME)
    assert definition is not None and definition.shares == SPLIT and definition.status == Status()
    assert [group.ended_ms for group in definition.groups] == [2000, None]
    assert definition.groups[0].parameters == {"model": CONTROL_MODEL}  # as its users got it
    again = archive_after("running", "disabled_group", "running").definition(NAME)
    assert again is not None and [group.ended_ms for group in again.groups] == [None, None]


@pytest.mark.parametrize("unit", ["companyID", "random_id", "stableid"])
def test_a_unit_that_parley_does_not_send_is_noticed_wherever_it_stands(unit: str) -> None:
    for spec in (experiment(rules=groups(unit=unit)), experiment(idType=unit)):
        assert unit_type(spec) == unit
    assert unit_type(experiment(rules=groups(unit="stableID"), idType="stableID")) == "stableID"


# Layers


def two(**temperature: Any) -> dict[str, Any]:
    spec = NAMED["layer_two"]()
    spec["dynamic_configs"][1] |= temperature
    return spec


def test_groups_of_two_experiments_are_four_groups_and_share_the_layer() -> None:
    definition = archive_after(two()).definition("chat_layer")
    assert definition is not None
    assert definition.shares == pytest.approx(
        {"exp_model: Control": 0.3125, "exp_model: Test": 0.3125, "exp_temp: Control": 0.1875, "exp_temp: Test": 0.1875}
    )
    assert definition.allocation == 80


def test_an_experiment_that_has_not_started_changes_nothing() -> None:
    unstarted = two(rules=[override("Test", "op2"), rule("prestart", {}, PUBLIC)], isActive=False)
    archive = archive_after(unstarted)
    definition = archive.definition("chat_layer")
    assert definition is not None and definition.shares == SPLIT and definition.allocation == 50
    # its groups get names of their own once it starts; those of the first keep theirs
    later = archive_after(unstarted, two()).definition("chat_layer")
    assert later is not None and list(later.shares) == ["Control", "Test", "exp_temp: Control", "exp_temp: Test"]


def test_the_groups_of_an_ended_experiment_stay_in_the_layer() -> None:
    ended = two(rules=[rule("launchedGroup", {}, PUBLIC, groupName="Test")], isActive=False)
    ended["layer_configs"][0] = layer("chat_layer", {"exp_model": range(500)})
    ended["layers"] = {"chat_layer": ["exp_model"]}
    definition = archive_after(two(), ended).definition("chat_layer")
    assert definition is not None and definition.status == Status()
    assert {group.name: group.ended_ms for group in definition.groups} == {
        "exp_model: Control": None, "exp_model: Test": None, "exp_temp: Control": 2000, "exp_temp: Test": 2000,
    }  # fmt: skip
    assert definition.allocation == 50


def test_a_layer_whose_experiments_all_ended_has_ended() -> None:
    spec = specs(experiment("exp", rules=groups("exp")), layers=[layer("chat_layer", {"exp": range(1000)})])
    launch = rule("launchedGroup", {}, PUBLIC, groupName="Test")
    shipped = specs(experiment("exp", rules=[launch], isActive=False), layers=[layer("chat_layer", {})])
    definition = archive_after(spec, shipped).definition("chat_layer")
    assert definition is not None and definition.shares == SPLIT and definition.allocation == 100
    assert definition.status == Status("decided", 2000, "Test")
    assert {group.ended_ms for group in definition.groups} == {None}


def test_specs_that_cannot_be_read_end_nothing_else() -> None:
    odd: dict[str, Any] = {"name": "odd", "rules": [{"id": "x", "groupName": "g", "conditions": [{"type": 3}, {}]}]}
    archive = archive_after(specs(experiment(rules=groups()), odd), specs(experiment(rules=groups()), odd, time=2))
    definition = archive.definition(NAME)
    assert definition is not None and definition.status == Status()
