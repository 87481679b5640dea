"""The reason for a unit's group: the buckets on the page are those by which the SDK decides."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.domain.visitor import Visitor
from lib.experiments.evaluator import Experiments
from lib.experiments.steps import bucket_of, steps

EXPERIMENTS = """
[greeting]
allocation = 60
unit = "stableID"
[greeting.groups]
Control = { weight = 1, parameters = { model = "a" } }
Test = { weight = 2, parameters = { model = "b" } }
[paused]
allocation = 0
[paused.groups]
Control = { weight = 1 }
"""
Open = Callable[..., Experiments]


@pytest.fixture
def open_experiments(tmp_path: Path) -> Iterator[Open]:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENTS, encoding="utf-8")
    opened: list[Experiments] = []

    def another(**options: Any) -> Experiments:
        opened.append(Experiments.open(file, **options))
        return opened[-1]

    yield another
    for one in opened:
        one.close()


def test_the_last_rule_is_the_one_that_decided_and_the_unit_is_in_its_buckets(open_experiments: Open) -> None:
    experiments, met = open_experiments(), set()
    for number in range(300):
        decided, steps = experiments.explain(f"unit-{number}", "greeting")
        met.add(decided.group)
        assert [step.decided for step in steps] == [False] * (len(steps) - 1) + [True]
        assert steps[-1].rule == (decided.group or "experimentSize")
        first = steps[0]
        assert first.wants == "buckets from 600 on" and first.bucket is not None
        assert (first.bucket >= 600) == (decided.group is None)
        if decided.group:
            assert steps[-1].bucket is not None
            assert (steps[-1].bucket < 333) == (decided.group == "Control")
    assert met == {"Control", "Test", None}


def test_the_explained_decision_is_the_one_that_the_unit_gets(open_experiments: Open) -> None:
    experiments = open_experiments()
    for number in range(50):
        unit = f"unit-{number}"
        assert experiments.explain(unit, "greeting")[0] == experiments.assign(
            Visitor(unit, unit, unit, unit), "greeting"
        )


def test_a_paused_and_an_unknown_experiment_have_no_group(open_experiments: Open) -> None:
    decided, steps = open_experiments().explain("ann", "paused")
    assert decided.group is None and steps[-1].rule == "experimentSize"
    decided, steps = open_experiments().explain("ann", "nothing")
    assert (decided.group, decided.rule_id, steps) == (None, "", [])


def test_statsigs_own_conditions_are_reported_as_they_are() -> None:
    conditions = [
        {"type": "pass_gate", "operator": None, "targetValue": "employees"},
        {"type": "user_bucket", "operator": "none", "targetValue": [1, 2, 3], "additionalValues": {"salt": "s"}},
    ]
    spec = {"rules": [{"id": "layerAssignment", "name": "layerAssignment", "conditions": conditions}, {"id": "other"}]}
    gate, chosen = steps(spec, "ann", "layerAssignment")
    assert (gate.rule, gate.wants, gate.bucket, gate.decided) == (
        "layerAssignment",
        "passes gate employees",
        None,
        True,
    )
    assert (chosen.wants, chosen.bucket) == ("all but 3 chosen buckets", bucket_of("s", "ann"))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"type": "public"}, "every unit"),
        ({"type": "fail_gate", "targetValue": "segment:phones"}, "fails segment phones"),
        ({"type": "multi_pass_gate", "targetValue": ["a", "b"]}, "passes gate a, b"),
        ({"type": "user_field", "field": "locale", "operator": "none", "targetValue": ["de-DE"]},
         "locale is none of de-DE"),
        ({"type": "environment_field", "field": "tier", "operator": "any", "targetValue": ["production"]},
         "tier is any of production"),
        ({"type": "unit_id", "idType": "userID", "operator": "any", "targetValue": ["ann"]}, "userID is any of ann"),
        ({"type": "user_bucket", "idType": "companyID", "operator": "lt", "targetValue": 500},
         "buckets below 500, by companyID, which Parley does not send"),
        ({"type": "current_time", "field": None, "operator": "after", "targetValue": 17}, "current time after 17"),
        ({"type": "user_field", "field": "age", "operator": "version_gt", "targetValue": "3.1"}, "age version gt 3.1"),
    ],
)  # fmt: skip
def test_a_rule_names_its_gate_or_its_field_and_the_values(condition: dict[str, object], words: str) -> None:
    (step,) = steps({"rules": [{"id": "r", "conditions": [condition]}]}, "ann", "r")
    assert (step.wants, step.bucket) == (words, None)
