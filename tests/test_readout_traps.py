"""Misleading events: the readout draws no wrong conclusion, and its sentence names the cause."""

import json
from dataclasses import replace

import pytest

from lib.experiments.definitions import Definition, Group
from lib.readout.advice import advice
from lib.readout.report import as_json
from lib.readout.sentences import sentence
from lib.readout.verdicts import Readout, plan_of, read, scope_of
from lib.store.ingest import imported
from lib.store.tallies import tally
from tests.support.invented_events import EXPERIMENT, Line, encoded, exposed
from tests.support.misleading_events import busy, on_both_sides, rare_minutes, stopped_when_slow, uneven_raters

TWO = Definition(EXPERIMENT, (Group("Control", 1), Group("Test", 1)), "Control")
DAY_MS = 86_400_000


def readout_of(events: list[Line], definition: Definition = TWO) -> Readout:
    with imported(encoded(events)) as database:
        readout = read(tally(database.read, scope_of(definition), plan_of(definition)), definition, database.last_ms)
    json.dumps(as_json(readout), allow_nan=False)
    return readout


# Selection


@pytest.mark.parametrize(
    ("unhappy", "word"), [({"Control": 0.5, "Test": 0.15}, "less"), ({"Control": 0.15, "Test": 0.5}, "more")]
)
def test_raters_that_differ_are_named_in_the_verdict(unhappy: dict[str, float], word: str) -> None:
    readout = readout_of(uneven_raters(lambda group, up: 0.5 if up else unhappy[group]))
    assert readout.verdict in ("better", "worse")
    text = sentence(readout)
    assert f"Test's answers are rated {word} often (" in text
    assert "its raters may not be like Control's." in text
    assert "thumbs up and thumbs down per answer" in advice(readout)[0]


def test_groups_that_rate_alike_raise_no_doubt() -> None:
    readout = readout_of(uneven_raters(lambda group, up: 0.32, 300))
    assert readout.selection == {}


def test_the_same_thumbs_everywhere_raise_no_doubt() -> None:
    readout = readout_of(on_both_sides({"Control": 0.5, "Test": 0.7}))
    assert (readout.verdict, readout.selection) == ("better", {})
    assert "raters" not in sentence(readout)


def test_more_ratings_are_more_and_not_better() -> None:
    readout = readout_of(
        uneven_raters(lambda group, up: 0.5 if group == "Test" else 0.2), replace(TWO, primary="rating_rate")
    )
    assert readout.verdict == "better"
    assert sentence(readout).startswith("Test is higher on answers rated: +")


# Busy units


@pytest.mark.parametrize("units", [1, 3])
def test_a_busy_tester_makes_no_result_and_is_named(units: int) -> None:
    readout = readout_of(busy(2_000, units))
    versus = readout.metrics["satisfaction"].versus["Test"]
    assert (readout.verdict, versus.verdict) == ("not_enough_data", "not_enough_data")
    text = sentence(readout)
    assert f"a few users give most of the data, so that Test's {50 + units} users count as" in text
    assert all(f"(bot{number})" in text for number in range(units))


def test_among_a_few_users_none_is_called_busy() -> None:
    readout = readout_of(busy(200)[:16])
    assert readout.busy == {}


# Small groups and heavy tails


@pytest.mark.parametrize(("large", "small"), [(9, 1), (19, 1)])
def test_a_small_group_that_has_not_met_its_slow_answers_is_not_faster(large: int, small: int) -> None:
    definition = replace(TWO, groups=(Group("Control", large), Group("Test", small)))
    readout = readout_of(rare_minutes(30 * small, 30 * large, 5), definition)
    times = readout.metrics["response_time"].versus["Test"]
    assert times.numbers.diff is not None and times.numbers.diff < 0
    assert (times.verdict, times.guardrail) == ("no_difference_yet", "not_ruled_out")


# Several groups


def test_every_treatment_has_its_own_verdict_and_advice() -> None:
    three = replace(TWO, groups=(Group("Control", 1), Group("B", 1), Group("C", 1)))
    readout = readout_of(on_both_sides({"Control": 0.6, "B": 0.8, "C": 0.4}), three)
    assert sentence(readout).startswith("B is better than Control on satisfaction, C is worse. ")
    steps = advice(readout)
    assert steps[0].startswith("B: ") and "allocation" not in " ".join(steps)
    assert steps[1].startswith("C: Control serves testers better. To stop giving it to anybody")
    between = readout.main.compared("B", "C")
    assert between is not None and between.verdict == "better" and between.low is not None and between.low > 0.2


def test_the_best_treatment_is_compared_with_the_second_best() -> None:
    four = replace(TWO, groups=tuple(Group(name, 1) for name in ("Control", "B", "C", "D")))
    readout = readout_of(on_both_sides({"Control": 0.4, "B": 0.8, "C": 0.78, "D": 0.45}), four)
    assert (readout.alpha, readout.between_alpha) == (pytest.approx(0.05 / 3), pytest.approx(0.05 / 3))
    text = sentence(readout)
    assert text.startswith("B and C are better than Control on satisfaction, D is undecided.")
    assert "B is not shown to be better than C" in text


# Stopped answers


def test_stopped_answers_understate_the_slower_group() -> None:
    readout = readout_of(stopped_when_slow())
    text = sentence(readout)
    assert "The response time of Test is understated: its testers stopped" in text
    assert readout.quantiles["p95"].versus["Test"].state == "cut_short"


def test_stopped_answers_of_control_make_no_treatment_look_slow() -> None:
    readout = readout_of(stopped_when_slow("Control"), replace(TWO, primary="response_time", guardrails=()))
    assert "The response time of Control is understated" in sentence(readout)
    assert readout.quantiles["p95"].versus["Test"].state == "cut_short"


def test_failed_answers_have_no_response_time() -> None:
    events = stopped_when_slow("nobody", 40)
    for one in events:
        if one["name"] == "chat_completion" and one["user_id"].startswith("Test"):
            one["value"] = "error" if one["event_id"].endswith("-0") else one["value"]
            one["metadata"]["response_time"] = 0.01 if one["event_id"].endswith("-0") else 5.0
    times = readout_of(events).metrics["response_time"]
    assert times.groups["Test"].value == 5.0


# Weights that changed


def shares(*stretches: tuple[int, float]) -> list[Line]:
    """Return the exposures of consecutive stretches (units, Test's share), 40 units an hour."""
    events, number = [], 0
    for units, share in stretches:
        for place in range(units):
            group = "Test" if int((place + 1) * share) > int(place * share) else "Control"
            events.append(exposed(f"x{number}", f"u{number}", group, number * 90_000))
            number += 1
    return events


@pytest.mark.parametrize("before", [[(1_000, 0.1)], [(600, 0.05), (600, 0.25)]])
def test_exposures_of_changed_weights_are_not_called_broken(before: list[tuple[int, float]]) -> None:
    readout = readout_of(shares(*before, (1_000, 0.5)))
    assert readout.verdict == "not_enough_data"
    text = sentence(readout)
    assert text.startswith("The weights changed while it ran (") and "50 : 50 since" in text
    assert 'Set since = "' in text and len(readout.stretches) == len(before) + 1


def test_a_split_that_breaks_while_it_runs_is_broken() -> None:
    assert readout_of(shares((800, 0.5), (800, 0.3))).verdict == "broken"


def test_a_split_that_was_never_right_is_broken() -> None:
    assert readout_of(shares((1_500, 0.4))).verdict == "broken"


# The planned look


def test_the_planned_look_comes_at_the_midnight_after_the_last_planned_unit() -> None:
    events = on_both_sides({"Control": 0.5, "Test": 0.63}, 220)
    plan = replace(TWO, planned_users=300)
    waiting = readout_of(events, plan)
    assert waiting.planned is not None and not waiting.planned.reached
    later = [*events, exposed("x-late", "late", "Control", 2 * DAY_MS)]
    readout = readout_of(later, plan)
    assert readout.planned is not None and readout.planned.reached and readout.planned.versus is not None
    assert readout.planned.at_ms is not None and readout.planned.at_ms % DAY_MS == 0
    numbers, verdict = readout.planned.versus["Test"]
    assert verdict == "better" and numbers.cs_low is not None and numbers.cs_low > 0
    sequence = readout.main.versus["Test"].numbers
    assert sequence.cs_low is not None and sequence.cs_low < numbers.cs_low
    assert readout.verdict == "better"
    if sequence.cs_low <= 0:
        assert "at the planned look" in sentence(readout)


def test_a_thumb_counts_as_it_was_at_the_planned_look() -> None:
    events = on_both_sides({"Control": 0.5, "Test": 0.63}, 220)
    plan = replace(TWO, planned_users=300)
    late = exposed("x-late", "late", "Control", 2 * DAY_MS)
    taken_back = [
        one | {"event_id": f"w-{one['event_id']}", "name": "rating_withdrawn", "time": one["time"] + 2 * DAY_MS}
        for one in events
        if one["name"] == "satisfaction" and one["user_id"].startswith("Test")
    ]
    before, after = readout_of([*events, late], plan), readout_of([*events, late, *taken_back], plan)
    assert before.planned is not None and after.planned is not None
    assert before.planned == after.planned
    assert before.main.groups != after.main.groups


def test_before_the_planned_units_have_come_the_missing_ones_are_the_advice() -> None:
    readout = readout_of(on_both_sides({"Control": 0.6, "Test": 0.62}, 60), replace(TWO, planned_users=500))
    assert advice(readout, {"Control": 10.0, "Test": 10.0}) == [
        "380 more users until the planned look; at the last 7 days' pace 19 days."
    ]
