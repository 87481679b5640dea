"""Assignments, the source of their definitions, and the requests for them: the real SDK over real HTTP."""

import hashlib
import json
import logging
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lib.domain.visitor import Visitor
from lib.experiments import evaluator
from lib.experiments.evaluator import DefinitionError, Experiments
from lib.experiments.sdk import start as start_sdk
from tests.support.ports import free_port
from tests.support.served_experiments import KEY, OURS, SERVED, SPEC, THEIRS, Open, model, visitor
from tests.support.served_experiments import file as file
from tests.support.served_experiments import start as start
from tests.support.statsig_server import id_of, serve
from tests.support.waiting import ENOUGH_S, slowness, until, within

GARBAGE: list[Any] = [401, 403, 500, "reset", "garbage", "empty"]

# Without a key


def test_a_unit_keeps_its_group_on_any_machine(start: Open) -> None:
    experiments = start()
    for unit in (f"user-{number}" for number in range(100)):
        # Statsig's own arithmetic. Another salt or bucket would move testers of running experiments to other groups.
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
        with within(2):
            experiments = start(key=KEY, api_url=statsig.url)
            assert model(experiments) == OURS
        assert experiments.source.name == "bundled"
        assert experiments.source.error


@pytest.mark.alone
def test_events_without_a_listener_cost_no_time(start: Open) -> None:
    with within(2):
        experiments = start(key=KEY, api_url=f"http://127.0.0.1:{free_port()}/v1")
        assert model(experiments) == OURS
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
        with within(3):
            experiments.close()
            experiments.close()


@pytest.mark.alone
def test_a_question_waits_for_a_server_that_takes_a_second(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "FIRST_ANSWER_S", evaluator.FIRST_ANSWER_S * slowness())

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
        statsig.id_lists = {"testers": [id_of("anna")]}  # the server gives this list an address on another machine
        experiments = start(key=KEY, api_url=statsig.url)
        assert experiments.assign(visitor("anna"), "models").group
        assert experiments.assign(visitor("otto"), "models").group is None
        assert [request.path.rpartition("/")[2] for request in statsig.requests] == [
            f"{KEY}.json", "get_id_lists", "testers",
        ]  # fmt: skip
        assert {request.headers["STATSIG-API-KEY"] for request in statsig.requests} == {KEY}
