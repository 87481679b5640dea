"""Definitions in the shapes that Statsig serves: layers, overrides, decided experiments, targeting; the real SDK over
real HTTP."""

import json
from collections import Counter
from typing import Any

import pytest

from lib.domain.assignment import Assignment
from lib.domain.models import TEST_MODEL
from lib.domain.visitor import Visitor
from lib.experiments.evaluator import compile_definitions, last_known
from lib.experiments.versions import read_version, to_toml
from tests.support.served_experiments import KEY, SERVED, TOML, Open, model, visitor
from tests.support.served_experiments import file as file
from tests.support.served_experiments import start as start
from tests.support.statsig_server import serve
from tests.support.statsig_specs import NAME, NAMED, experiment, specs
from tests.support.statsig_specs import groups as group_rules
from tests.support.waiting import until

GROUPS = ("Control", "Test")


def layered() -> dict[str, Any]:
    """The spec with experiment `models` inside a layer, as Statsig serves layers."""
    spec = json.loads(json.dumps(SERVED))
    rule = {
        "name": "members", "id": "members", "salt": "", "passPercentage": 100, "idType": "userID", "returnValue": {},
        "conditions": [{"type": "public"}], "configDelegate": "models",
    }  # fmt: skip
    layer = {
        "name": "chat", "type": "dynamic_config", "entity": "layer", "salt": "chat", "enabled": True,
        "idType": "userID", "defaultValue": {"model": "layer-model", "temperature": 1}, "rules": [rule],
    }  # fmt: skip
    return {**spec, "layer_configs": [layer], "layers": {"chat": ["models"]}}


def test_a_layer_may_select_the_parameters(start: Open) -> None:
    with serve(layered()) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        for number in range(20):
            inside, layer = (experiments.assign(visitor(f"u{number}"), name) for name in ("models", "chat"))
            assert (layer.experiment, layer.layer, layer.allocated, layer.parameter) == (
                "chat",
                True,
                "models",
                "model",
            )
            assert (layer.group, layer.rule_id, layer.parameters) == (inside.group, inside.rule_id, inside.parameters)
            assert layer.defaults == {"model": "layer-model", "temperature": 1}
        definition = experiments.definition("chat")
        assert definition is not None and definition.shares == {"Control": 0.5, "Test": 0.5}
        forced = experiments.force(visitor(), "chat", "Control")
        assert (forced.layer, forced.forced, forced.parameters) == (True, True, {"model": "served-model"})


def test_a_layer_without_an_experiment_gives_its_defaults(start: Open) -> None:
    spec = layered()
    spec["layer_configs"][0]["rules"] = []
    with serve(spec) as statsig:
        assignment = start(key=KEY, api_url=statsig.url).assign(visitor(), "chat")
        assert (assignment.group, assignment.layer, assignment.allocated) == (None, True, None)
        assert assignment.parameters == {"model": "layer-model", "temperature": 1}


def test_an_override_of_the_console_counts_as_forced(start: Open) -> None:
    spec = json.loads(json.dumps(SERVED))
    rules = spec["dynamic_configs"][0]["rules"]
    override = rules[1] | {
        "id": "abc:userID:override", "isExperimentGroup": False,
        "conditions": [{"type": "unit_id", "operator": "any", "targetValue": ["anna"], "idType": "userID"}],
    }  # fmt: skip
    rules.insert(0, override)
    with serve(spec) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        assignment = experiments.assign(visitor("anna"), "models")
        assert (assignment.group, assignment.forced, assignment.parameters) == ("Test", True, {"model": "large-model"})
        assert not experiments.assign(visitor("otto"), "models").forced


# Real shapes


def assignments_under(start: Open, shape: str, name: str = NAME, units: int = 50) -> list[Assignment]:
    """Return the assignments of the two users with an override, then those of other testers."""
    with serve(NAMED[shape]()) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        return [experiments.assign(visitor(unit), name) for unit in ("op1", "op2", *(f"u{n}" for n in range(units)))]


def test_after_a_decision_every_unit_gets_the_shipped_parameters_and_no_group(start: Open) -> None:
    assignments = assignments_under(start, "shipped")
    assert {(each.group, each.forced, each.parameters["model"]) for each in assignments} == {(None, False, TEST_MODEL)}


@pytest.mark.parametrize("shape", ["running_override", "not_started"])
def test_an_override_by_id_is_forced_also_before_the_start(start: Open, shape: str) -> None:
    first, second, *others = assignments_under(start, shape)
    assert (second.group, second.forced) == ("Test", True)
    assert (first.group, first.forced) == (("Control", True) if shape == "running_override" else (None, False))
    assert not any(each.forced for each in others)


def test_a_configuration_that_stands_in_for_another_is_forced(start: Open) -> None:
    with serve(NAMED["mapped"]()) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        german = Visitor("v", "u1", "s", "x", {"locale": "de-DE"})
        assert experiments.assign(german, NAME).forced
        assert not experiments.assign(visitor("u1"), NAME).forced


def test_a_unit_that_parley_does_not_send_gets_the_default_and_no_group(start: Open) -> None:
    assignments = assignments_under(start, "company_unit")
    assert {(each.group, each.unknown_unit, each.parameters["model"]) for each in assignments} == {
        (None, "companyID", TEST_MODEL),
    }  # fmt: skip


def test_groups_of_the_same_name_in_a_layer_are_distinguished(start: Open) -> None:
    assignments = assignments_under(start, "layer_two", "chat_layer", 200)
    groups = Counter(each.group for each in assignments)
    assert groups.keys() == {None, *(f"{exp}: {each}" for exp in ("exp_model", "exp_temp") for each in GROUPS)}
    for each in assignments:
        assert each.group is None or each.group.startswith(f"{each.allocated}: ")


def test_an_ended_experiment_is_known_after_a_restart_and_without_statsig(start: Open) -> None:
    stored: list[str] = []
    with serve(NAMED["running"]()) as statsig:
        experiments = start(key=KEY, api_url=statsig.url, keep=stored.append)
        experiments.assign(visitor(), NAME)
        statsig.specs = NAMED["shipped"]()
        until(lambda: experiments.status(NAME).state == "decided")
        later = start(key=KEY, api_url=statsig.url, cached=stored[-1])
        later.assign(visitor(), NAME)
    alone = last_known({}, NAME, key=KEY, api_url=statsig.url, cached=stored[-1])
    for definition in (experiments.definition(NAME), later.definition(NAME), alone):
        assert definition is not None and definition.shares == {"Control": 0.5, "Test": 0.5}
        assert (definition.status.state, definition.status.shipped) == ("decided", "Test")
        assert definition.status.since_ms == experiments.status(NAME).since_ms is not None


def test_rules_that_are_not_groups_assign_no_group(start: Open) -> None:
    spec = json.loads(json.dumps(SERVED))
    spec["dynamic_configs"][0]["rules"].insert(
        0, {"id": "holdout", "groupName": "Held out", "passPercentage": 100, "returnValue": {"model": "rest"},
            "conditions": [{"type": "public"}]},
    )  # fmt: skip
    with serve(spec) as statsig:
        assignment = start(key=KEY, api_url=statsig.url).assign(visitor(), "models")
        assert (assignment.group, assignment.parameters) == (None, {"model": "rest"})


def test_groups_come_from_statsig_and_metrics_from_the_file(start: Open) -> None:
    changed = TOML.replace("c = { weight = 1 }", "d = { weight = 5 }").replace('control = "b"', "")
    with serve(compile_definitions(changed)[0] | {"time": 2}) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        model(experiments)
        definition = experiments.definition("thirds")
        assert definition is not None
        assert definition.shares == {"a": 0.125, "b": 0.25, "d": 0.625}
        assert (definition.control, definition.primary) == ("b", "rating_rate")


def test_an_experiment_that_only_statsig_knows_has_a_definition(start: Open) -> None:
    other = compile_definitions("[theirs.groups]\nX = { weight = 1 }\nY = { weight = 3 }\n")[0] | {"time": 2}
    with serve(other) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        assert experiments.assign(visitor(), "theirs").group in ("X", "Y")
        definition = experiments.definition("theirs")
        assert definition is not None
        assert (definition.control, definition.shares) == ("X", {"X": 0.25, "Y": 0.75})


def test_the_record_leaves_out_a_parameter_that_is_null(start: Open) -> None:
    """TOML has no null. An assignment keeps the null, as a value of the wrong type."""
    rules = [each | {"returnValue": {**each["returnValue"], "stop": None, "seed": [None]}} for each in group_rules()]
    with serve(specs(experiment(rules=rules))) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        decided, definition = experiments.assign(visitor(), NAME), experiments.definition(NAME)
    assert definition and decided.parameters["stop"] is None
    kept = read_version(NAME, to_toml(definition), served=True)
    assert [group.parameters.keys() for group in kept.groups] == [{"model", "seed"}] * 2
    assert to_toml(kept) == to_toml(definition)


def test_targeting_sees_the_tier_and_the_visitors_attributes(start: Open) -> None:
    spec = json.loads(json.dumps(SERVED))
    for rule in spec["dynamic_configs"][0]["rules"]:
        rule["conditions"] += [
            {"type": "environment_field", "field": "tier", "operator": "any", "targetValue": ["staging"]},
            {"type": "user_field", "field": "locale", "operator": "any", "targetValue": ["de-DE"]},
        ]
    german = Visitor("v", "u", "s", "x", {"locale": "de-DE"})
    with serve(spec) as statsig:
        staging = start(key=KEY, api_url=statsig.url, tier="staging")
        assert staging.assign(german, "models").group
        assert staging.assign(visitor(), "models").group is None
        assert start(key=KEY, api_url=statsig.url, tier="development").assign(german, "models").group is None
