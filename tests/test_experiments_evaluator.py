"""Assignments, their definitions, and the requests for them: the real SDK over real HTTP."""

import hashlib
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.domain.assignment import Assignment
from lib.domain.models import TEST_MODEL
from lib.domain.visitor import Visitor
from lib.experiments import evaluator
from lib.experiments.evaluator import DefinitionError, Experiments, compile_definitions, last_known
from lib.experiments.sdk import start as start_sdk
from lib.experiments.versions import read_version, to_toml
from tests.support.ports import free_port
from tests.support.statsig_server import id_of, serve
from tests.support.statsig_specs import NAME, NAMED, experiment, specs
from tests.support.statsig_specs import groups as group_rules
from tests.support.waiting import ENOUGH_S, until

KEY = "secret-Ab12_cd-34"
TOML = """
[models]
default = { model = "large-model" }
[models.groups]
Control = { weight = 50, parameters = { model = "small-model" } }
Test = { weight = 50, parameters = { model = "large-model" } }
[thirds]
unit = "sessionID"
allocation = 40
control = "b"
primary = "rating_rate"
[thirds.groups]
a = { weight = 1 }
b = { weight = 2, parameters = { temperature = 0.5 } }
c = { weight = 1 }
[paused]
allocation = 0
default = { model = "rest" }
[paused.groups]
A = { weight = 1, parameters = { model = "other" } }
"""
SPEC, DEFINITIONS = compile_definitions(TOML)
SERVED: dict[str, Any] = compile_definitions(TOML.replace("small-model", "served-model"))[0] | {
    "time": 1_700_000_000_000
}
GROUPS = ("Control", "Test")
GARBAGE: list[Any] = [401, 403, 500, "reset", "garbage", "empty"]

Open = Callable[..., Experiments]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiments.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def start(file: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open experiments. Except in a test of time, a question waits for Statsig as long as a busy machine needs."""
    opened: list[Experiments] = []
    if not request.node.get_closest_marker("alone"):
        monkeypatch.setattr(evaluator, "FIRST_ANSWER_S", ENOUGH_S)

    def begin(**more: Any) -> Experiments:
        opened.append(Experiments.open(file, **more))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def visitor(name: str = "u1") -> Visitor:
    return Visitor(f"{name}-visitor", name, f"{name}-stable", f"{name}-session")


def model(experiments: Experiments) -> Any:
    """Return a model that identifies the source of the definitions: only the served ones have `served-model`."""
    names = (visitor(f"u{number}") for number in range(10))
    return {experiments.assign(each, "models").parameters["model"] for each in names}


OURS, THEIRS = {"small-model", "large-model"}, {"served-model", "large-model"}


# Without a key


def test_a_unit_keeps_its_group_on_any_machine(start: Open) -> None:
    experiments = start()
    for unit in (f"user-{number}" for number in range(100)):
        # Statsig's own arithmetic. Another salt or bucket would move every tester of every running experiment.
        bucket = int.from_bytes(hashlib.sha256(f"models.{unit}".encode()).digest()[:8]) % 1000
        assert experiments.assign(visitor(unit), "models").group == ("Control" if bucket < 500 else "Test")


def test_an_assignment_says_everything_about_itself(start: Open) -> None:
    assignment = start().assign(visitor("user-1"), "models")
    assert (assignment.experiment, assignment.group, assignment.rule_id) == ("models", "Control", "Control")
    assert assignment.parameters == {"model": "small-model"}
    assert assignment.defaults == {"model": "large-model"}
    assert (assignment.user_id, assignment.ids["stableID"], assignment.forced, assignment.layer) == (
        "user-1",
        "user-1-stable",
        False,
        False,
    )


def test_groups_and_allocation_get_their_shares(start: Open) -> None:
    experiments = start()
    counts = Counter(experiments.assign(visitor(f"u{number}"), "thirds").group for number in range(8000))
    # four standard deviations of 8000 draws are at most 0.022
    assert {group: pytest.approx(count / 8000, abs=0.022) for group, count in counts.items()} == {
        None: 0.6, "a": 0.1, "b": 0.2, "c": 0.1,
    }  # fmt: skip


def test_the_unit_of_the_experiment_is_the_one_that_counts(start: Open) -> None:
    experiments = start()
    many = [Visitor("v", f"u{number}", f"s{number}", "one-session") for number in range(50)]
    assignments = [experiments.assign(each, "thirds") for each in many]
    assert len({each.group for each in assignments}) == 1
    assert {each.user_id for each in assignments} == {"one-session"}


def test_a_paused_experiment_takes_no_unit_in(start: Open) -> None:
    experiments = start()
    assignments = [experiments.assign(visitor(f"u{number}"), "paused") for number in range(200)]
    assert {(each.group, each.parameters["model"]) for each in assignments} == {(None, "rest")}
    definition = experiments.definition("paused")
    assert definition is not None and [group.name for group in definition.groups] == ["A"]


def test_an_unknown_experiment_is_reported_once_and_assigns_nothing(
    start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    experiments = start()
    assignments = [experiments.assign(visitor(), "nope") for _ in range(3)]
    assert {(each.group, len(each.parameters)) for each in assignments} == {(None, 0)}
    assert len([record for record in caplog.records if "no such experiment" in record.message]) == 1
    assert experiments.definition("nope") is None


def test_a_group_that_can_be_forced_is_marked(start: Open) -> None:
    experiments = start()
    forced = experiments.force(visitor("user-1"), "models", "Test")
    assert (forced.group, forced.forced, forced.rule_id, forced.parameters) == (
        "Test",
        True,
        "override",
        {"model": "large-model"},
    )
    with pytest.raises(ValueError, match="models has no group Tset; it has Control, Test"):
        experiments.force(visitor(), "models", "Tset")


def test_an_assignment_never_raises(start: Open) -> None:
    experiments = start()
    nobody = Visitor("", "", "", "")
    assert experiments.assign(nobody, "models").parameters
    experiments.close()
    assignment = experiments.assign(visitor(), "models")
    assert (assignment.group, assignment.rule_id) == (None, "error")


def test_without_a_key_decisions_are_bundled_and_nothing_can_be_sent(start: Open) -> None:
    experiments = start()
    assert (experiments.source.name, experiments.source.error, experiments.server) == ("bundled", None, None)


def test_a_broken_file_is_reported_with_its_name(file: Path) -> None:
    file.write_text("[models]\nunit = 'x'\n")
    with pytest.raises(DefinitionError) as raised:
        Experiments.open(file)
    assert raised.value.problems[0].startswith(f"{file}: line 1: [models] groups: there are no groups")
    with pytest.raises(DefinitionError, match="No such file"):
        Experiments.open(file.with_name("other.toml"))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError, match="not UTF-8 text"):
        Experiments.open(file)


# With a key


def test_buckets_are_those_of_a_server_with_the_same_spec(start: Open) -> None:
    with serve(SPEC) as statsig:
        ours, theirs = start(), start(key=KEY, api_url=statsig.url)
        for number in range(300):
            for name in ("models", "thirds", "paused"):
                assert ours.assign(visitor(f"u{number}"), name) == theirs.assign(visitor(f"u{number}"), name)
        assert theirs.source.name == "network"


def test_statsig_decides_and_its_definitions_are_stored(start: Open) -> None:
    stored: list[str] = []
    with serve(SERVED) as statsig:
        assert model(start(key=KEY, api_url=statsig.url, keep=stored.append)) == THEIRS
    assert len(stored) == 1
    later = start(key=KEY, api_url=statsig.url, cached=stored[0])
    assert model(later) == THEIRS
    assert later.source.name == "cached"


def test_stored_definitions_of_another_project_are_not_used(start: Open) -> None:
    stored: list[str] = []
    with serve(SERVED) as statsig:
        model(start(key=KEY, api_url=statsig.url, keep=stored.append))
    assert model(start(key="secret-another", api_url=statsig.url, cached=stored[0])) == OURS


@pytest.mark.parametrize("cached", ["", "{", "[]", '{"origin": 1}', '{"origin": "x", "specs": "{}"}'])
def test_damaged_stored_definitions_are_not_used(start: Open, cached: str) -> None:
    with serve() as statsig:
        statsig.specs_fault = 500
        assert model(start(key=KEY, api_url=statsig.url, cached=cached)) == OURS


@pytest.mark.alone
@pytest.mark.parametrize("fault", GARBAGE)
def test_a_server_that_fails_costs_no_time(start: Open, fault: Any) -> None:
    with serve(SERVED) as statsig:
        statsig.specs_fault = statsig.lists_fault = fault
        began = time.monotonic()
        experiments = start(key=KEY, api_url=statsig.url)
        assert model(experiments) == OURS
        assert time.monotonic() - began < 2
        assert experiments.source.name == "bundled"
        assert experiments.source.error


@pytest.mark.alone
def test_events_without_a_listener_cost_no_time(start: Open) -> None:
    began = time.monotonic()
    experiments = start(key=KEY, api_url=f"http://127.0.0.1:{free_port()}/v1")
    assert model(experiments) == OURS
    assert time.monotonic() - began < 2
    assert KEY not in str(experiments.source.error)


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_server_that_hangs_costs_one_question_two_seconds(start: Open, fault: str) -> None:
    with serve(SERVED) as statsig:
        statsig.specs_fault = statsig.lists_fault = fault
        began = time.monotonic()
        experiments = start(key=KEY, api_url=statsig.url)
        assert time.monotonic() - began < 1.9
        assert model(experiments) == OURS
        assert 1.9 < time.monotonic() - began < 8
        assert experiments.server is None
        began = time.monotonic()
        experiments.close()
        experiments.close()
        assert time.monotonic() - began < 3


@pytest.mark.alone
def test_a_question_waits_for_a_server_that_takes_a_second(start: Open) -> None:
    def slow() -> None:
        time.sleep(1)

    with serve(SERVED) as statsig:
        statsig.specs_fault = slow
        assert model(start(key=KEY, api_url=statsig.url)) == THEIRS


def test_it_goes_back_to_the_network_by_itself(start: Open) -> None:
    stored: list[str] = []
    with serve(SERVED) as statsig:
        statsig.specs_fault = 401
        experiments = start(key=KEY, api_url=statsig.url, keep=stored.append)
        assert model(experiments) == OURS
        assert "401" in str(experiments.source.error)
        statsig.specs_fault = None
        until(lambda: experiments.source.name == "network" and stored)
        assert model(experiments) == THEIRS
        assert (experiments.source.error, len(stored)) == (None, 1)
        statsig.specs_fault = 503
        until(lambda: experiments.source.error)
        assert model(experiments) == THEIRS
        assert experiments.source.name == "network"


def test_assigning_a_unit_does_not_expose_it(start: Open) -> None:
    with serve(SERVED) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        model(experiments)
        experiments.server.flush()
        experiments.close()
        assert not [request for request in statsig.requests if request.path.endswith("log_event")]


def test_an_end_before_the_start_has_begun_ends_the_sdk_too(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    begins, go_on, earlier = threading.Event(), threading.Event(), set(threading.enumerate())

    def late(*more: Any) -> bool:
        begins.set()
        assert go_on.wait(ENOUGH_S)
        return start_sdk(*more)

    monkeypatch.setattr(evaluator, "start", late)
    with serve(SERVED) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        assert begins.wait(ENOUGH_S)
        experiments.close()
        go_on.set()
        statsig.wait(lambda: statsig.requests)
        until(lambda: not {thread.name for thread in set(threading.enumerate()) - earlier if "tatsig" in thread.name})
        assert experiments.server is None


def test_the_key_reaches_no_log_and_nothing_is_printed(
    start: Open, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "parley")
    broken = {"has_updates": True, "time": 5, "dynamic_configs": [{"name": "models", "rules": [{"conditions": 3}]}]}
    with serve(broken) as statsig:
        experiments = start(key=KEY, api_url=statsig.url)
        model(experiments)
        statsig.specs_fault = 401
        experiments.close()
    assert "parley.statsig" in {record.name for record in caplog.records}
    written = capfd.readouterr()
    assert KEY[7:] not in caplog.text + written.out + written.err
    assert written.out == ""


def test_only_the_configured_address_is_asked(start: Open) -> None:
    gate = {
        "name": "segment:testers", "type": "feature_gate", "salt": "s", "enabled": True, "defaultValue": False,
        "idType": "userID", "rules": [{
            "name": "list", "id": "list", "salt": "", "passPercentage": 100, "returnValue": True, "idType": "userID",
            "conditions": [{"type": "unit_id", "operator": "in_segment_list", "targetValue": "testers"}],
        }],
    }  # fmt: skip
    targeted = json.loads(json.dumps(SERVED)) | {"feature_gates": [gate]}
    for rule in targeted["dynamic_configs"][0]["rules"]:
        rule["conditions"].append({"type": "pass_gate", "targetValue": "segment:testers"})
    with serve(targeted) as statsig:
        statsig.id_lists = {"testers": [id_of("anna")]}  # whose file is said to lie on another machine
        experiments = start(key=KEY, api_url=statsig.url)
        assert experiments.assign(visitor("anna"), "models").group
        assert experiments.assign(visitor("otto"), "models").group is None
        assert [request.path.rpartition("/")[2] for request in statsig.requests] == [
            f"{KEY}.json", "get_id_lists", "testers",
        ]  # fmt: skip
        assert {request.headers["STATSIG-API-KEY"] for request in statsig.requests} == {KEY}


def layered() -> dict[str, Any]:
    """The spec with experiment `models` inside of a layer, as Statsig serves layers."""
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
    """Return the groups of testers and of the two users with an override."""
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
    """TOML has no null; a decision keeps it as a value of the wrong type."""
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
