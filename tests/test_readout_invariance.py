"""Transformations of the events that must not change the readout, and numbers that cannot be computed."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.experiments.definitions import Definition
from lib.readout.report import as_json
from lib.readout.verdicts import read, scope_of
from lib.store.ingest import imported
from lib.store.tallies import tally
from tests.support.invented_events import Line, answered, encoded, exposed, rated
from tests.support.invented_readouts import TWO, agree


def traffic(seed: int, users: int = 60, lift: float = 0.1) -> list[Line]:
    """Users of two groups with ratings and response times of their own."""
    rng = random.Random(seed)
    events = []
    for user in range(users):
        group = rng.choice(["Control", "Test"])
        taste = rng.betavariate(4, 3) + (lift if group == "Test" else 0)
        events.append(exposed(f"x{user}", f"u{user}", group))
        for turn in range(rng.randint(1, 6)):
            name = f"{user}-{turn}"
            reason = "error" if rng.random() < 0.05 else "stop"
            seconds = round(rng.lognormvariate(1, 0.5), 3)
            events.append(answered(name, f"u{user}", 1 + turn, reason, response_time=seconds, cost_usd=seconds / 1000))
            if rng.random() < 0.6:
                vote = "satisfaction" if rng.random() < taste else "dissatisfaction"
                events.append(rated(f"r{name}", name, f"u{user}", 9, vote))
    return events


def readout_of(events: list[Line], definition: Definition = TWO) -> dict[str, Any]:
    with imported(encoded(events)) as database:
        readout = read(tally(database.read, scope_of(definition)), definition, database.last_ms)
    report: dict[str, Any] = json.loads(json.dumps(as_json(readout), allow_nan=False))
    return report


@given(st.integers(0, 10_000))
@settings(max_examples=3, deadline=None)
def test_neither_order_nor_repetition_changes_anything(seed: int) -> None:
    events = traffic(seed)
    mixed = events + random.Random(seed).sample(events, 20)
    random.Random(seed + 1).shuffle(mixed)
    before, after = readout_of(events), readout_of(mixed)
    assert after["sentence"] == before["sentence"]
    agree(after, before, "")


@given(st.integers(0, 10_000))
@settings(max_examples=3, deadline=None)
def test_exchanged_names_mirror_the_readout(seed: int) -> None:
    names = {"Control": "Test", "Test": "Control"}

    def rename_group(one: Line) -> Line:
        group = one["metadata"].get("group")
        return one | {"metadata": one["metadata"] | {"group": names.get(group, group)}}

    events = traffic(seed)
    mirrored = [rename_group(one) for one in events]
    one, other = readout_of(events), readout_of(mirrored)
    opposite = {"better": "worse", "worse": "better"}
    for metric, there in one["metrics"].items():
        back = other["metrics"][metric]
        assert back["groups"]["Test"] == there["groups"]["Control"]
        diffs = [each["vs_control"]["Test"]["diff"] for each in (there, back)]
        assert diffs == [None, None] or diffs[0] == -diffs[1]
    there, back = (each["metrics"]["satisfaction"]["vs_control"]["Test"] for each in (one, other))
    assert (back["cs_low"], back["cs_high"]) == pytest.approx((-there["cs_high"], -there["cs_low"]))
    assert back["verdict"] == opposite.get(there["verdict"], there["verdict"])


@given(st.integers(0, 10_000))
@settings(max_examples=2, deadline=None)
def test_more_users_of_the_same_kind_only_narrow(seed: int) -> None:
    def again(events: list[Line], times: int) -> list[Line]:
        copies = []
        for copy in range(times):
            for one in events:
                about = dict(one["metadata"])
                if "answer_id" in about:
                    about["answer_id"] += f"-{copy}"
                ids = {"event_id": f"{one['event_id']}-{copy}", "user_id": f"{one['user_id']}-{copy}"}
                copies.append(one | ids | {"metadata": about})
        return copies

    events = traffic(seed, 100)
    versus = [readout_of(again(events, times))["metrics"]["satisfaction"]["vs_control"]["Test"] for times in (1, 2, 4)]
    widths = [one["cs_high"] - one["cs_low"] for one in versus]
    assert widths == sorted(widths, reverse=True) and widths[2] < 0.75 * widths[0]
    assert [one["diff"] for one in versus] == pytest.approx([versus[0]["diff"]] * 3)


def test_numbers_that_cannot_be_computed_are_null_in_the_object() -> None:
    events = [exposed("x1", "u1", "Control"), exposed("x2", "u2", "Test"), answered("a", "u1", response_time=1.0)]
    report = readout_of(events)
    test = report["metrics"]["satisfaction"]["groups"]["Test"]
    assert (test["n"], test["active"], test["sx"], test["value"], test["ci_low"]) == (1, 0, 0.0, None, None)
    versus = report["metrics"]["satisfaction"]["vs_control"]["Test"]
    assert versus.pop("mde") == 0.1
    assert versus.pop("verdict") == "not_enough_data"
    assert set(versus.values()) == {None}
    nothing = {"value": None, "ci_low": None, "ci_high": None, "se": None, "events": 0, "users": 0}
    assert report["quantiles"]["response_time"]["p50"]["groups"]["Test"] == nothing
    assert report["quantiles"]["response_time"]["p50"]["groups"]["Control"]["value"] == 1.0
