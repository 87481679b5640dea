"""The readout: known answers, every verdict, its sentences."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lib.commands.readout import Report, lines
from lib.experiments.definitions import METRICS, Definition, Effect, Group, read_definitions
from lib.readout.advice import advice
from lib.readout.report import as_json
from lib.readout.sentences import sentence, users_needed
from lib.readout.verdicts import read, scope_of
from lib.statistics.sums import Quantile, Scope, Sums, Tally, Weights
from lib.store.ingest import imported
from lib.store.tallies import tally
from tests.support.invented_events import EXPERIMENT, ORIGIN_MS, stored_lines
from tests.support.invented_readouts import TWO, agree, readout_of_ratings, shares, times

GOLDEN = Path(__file__).parent / "golden"
THREE = Definition(EXPERIMENT, (Group("Control", 1), Group("B", 1), Group("C", 1)), "Control")

# Known answers


@pytest.mark.parametrize(("case", "verdict"), [("small", "not_enough_data"), ("aa", "equivalent")])
def test_a_known_case_comes_out_in_every_number(case: str, verdict: str) -> None:
    definition = read_definitions((GOLDEN / f"{case}.toml").read_text())[f"golden_{case}"]
    with gzip.open(GOLDEN / f"{case}.jsonl.gz") as lines, imported(lines) as database:
        readout = read(tally(database.read, scope_of(definition)), definition, database.last_ms)
    report = json.loads(json.dumps(as_json(readout), allow_nan=False))
    expected = json.loads((GOLDEN / f"{case}.json").read_text())
    assert report.pop("verdict") == verdict
    assert {report.pop(name) is not None for name in ("sentence", "delivery", "as_of", "run")} == {True}
    assert [report.pop(name) for name in ("comparisons", "planned", "held", "unreadable")] == [None, None, None, 0]
    compared = agree(report, expected, "")
    assert compared > 250


@pytest.mark.parametrize("case", ["small", "aa", "compare-small"])
def test_a_known_case_comes_out_of_a_store(case: str, database_url: str) -> None:
    name = f"golden_{case.replace('-', '_')}"
    definition = read_definitions((GOLDEN / f"{case}.toml").read_text())[name]
    with gzip.open(GOLDEN / f"{case}.jsonl.gz") as lines, stored_lines(lines, database_url) as database:
        readout = read(tally(database.read, scope_of(definition)), definition, ORIGIN_MS)
    report = json.loads(json.dumps(as_json(readout), allow_nan=False))
    expected = json.loads((GOLDEN / f"{case}.json").read_text())
    relevant = {key: report[key] for key in expected}
    if case == "compare-small":
        assert relevant["comparisons"].pop("sentence").startswith("Testers prefer b: it wins 81 % of the comparisons")
    agree(relevant, expected, "")


# Verdicts, from sums made by hand


def test_better() -> None:
    readout = readout_of_ratings({"Control": shares(400, 0.55), "Test": shares(400, 0.75)})
    assert readout.verdict == "better"
    assert sentence(readout) == (
        "Test is better on satisfaction: +20 points (95 % interval +9 to +31, valid however often you look)."
    )
    assert advice(readout) == [
        "A difference that is found early looks larger than it is: count on the near end of the interval, +9 points."
    ]


def test_better_with_all_the_users_that_the_smallest_difference_needs() -> None:
    readout = readout_of_ratings({"Control": shares(1_000, 0.55), "Test": shares(1_000, 0.75)})
    assert advice(readout) == ["Stopping now is sound. Going on makes the interval narrower."]


def test_better_is_reported_with_the_harm_it_does() -> None:
    sums = {"response_time": {"Control": times(400, 3.0), "Test": times(400, 4.5)}}
    readout = readout_of_ratings({"Control": shares(400, 0.55), "Test": shares(400, 0.75)}, sums=sums)
    assert (readout.verdict, readout.metrics["response_time"].versus["Test"].guardrail) == ("better", "harmed")
    assert sentence(readout).endswith("valid however often you look), but slower: +1.50 s.")


def test_worse_is_reported_with_the_other_harms() -> None:
    sums = {"response_time": {"Control": times(400, 3.0), "Test": times(400, 4.5)}}
    readout = readout_of_ratings({"Control": shares(400, 0.75), "Test": shares(400, 0.55)}, sums=sums)
    assert sentence(readout).endswith("valid however often you look), and slower: +1.50 s.")


def test_a_harm_is_reported_where_nothing_else_is_decided() -> None:
    sums = {"response_time": {"Control": times(200, 3.0), "Test": times(200, 4.5)}}
    readout = readout_of_ratings({"Control": shares(200, 0.6), "Test": shares(200, 0.63)}, sums=sums)
    assert sentence(readout).endswith("to find 10 points four times in five. But Test is slower: +1.50 s.")


def test_worse() -> None:
    readout = readout_of_ratings({"Control": shares(400, 0.75), "Test": shares(400, 0.55)})
    assert readout.verdict == "worse"
    assert sentence(readout).startswith("Test is worse on satisfaction: −20 points (95 % interval −31 to −9,")


def test_less_is_better_where_less_is_better() -> None:
    definition = replace(TWO, primary="response_time")
    readout = readout_of_ratings(
        {"Control": shares(400, 0.5), "Test": shares(400, 0.5)}, definition,
        sums={"response_time": {"Control": times(400, 4.0), "Test": times(400, 3.0)}},
    )  # fmt: skip
    assert readout.verdict == "better"
    assert readout.metrics["satisfaction"].role == "secondary"
    assert readout.metrics["response_time"].versus["Test"].guardrail is None


def test_equivalent() -> None:
    readout = readout_of_ratings({"Control": shares(2_000, 0.6), "Test": shares(2_000, 0.61)})
    assert readout.verdict == "equivalent"
    assert "equivalent on satisfaction: the true difference lies between" in sentence(readout)
    assert "and less than 10 points does not matter." in sentence(readout)


def test_no_difference_yet_says_how_many_more_users() -> None:
    readout = readout_of_ratings({"Control": shares(200, 0.6), "Test": shares(200, 0.63)})
    assert readout.verdict == "no_difference_yet"
    assert sentence(readout) == (
        "Undecided: The true difference may be anywhere from −12 to +18 points. About 870 more users to find 10 points "
        "four times in five."
    )
    assert users_needed(readout, "Test") == 870
    assert advice(readout, {"Control": 60.0, "Test": 60.0, "Other": 500.0}) == [
        "About 870 more users; at the last 7 days' pace 8 days."
    ]


def test_no_difference_yet_with_enough_users_says_so() -> None:
    readout = readout_of_ratings({"Control": shares(900, 0.6), "Test": shares(900, 0.65)})
    assert readout.verdict == "no_difference_yet"
    assert sentence(readout).endswith("With this many users a true 10 points would be found four times in five.")
    assert advice(readout) == [
        "A difference of 10 points would probably have shown. Continue until the bar lies inside the band, or stop."
    ]


def test_too_few_users_are_not_judged_at_any_interval() -> None:
    definition = replace(TWO, groups=(Group("Control", 300), Group("Test", 19)))
    readout = readout_of_ratings({"Control": shares(300, 0.1), "Test": shares(19, 1.0)}, definition)
    numbers = readout.main.versus["Test"].numbers
    assert numbers.cs_low is not None and numbers.cs_low > 0
    assert readout.verdict == "not_enough_data"
    assert sentence(readout) == "Not enough data yet: Test has 19 users with a rating, and each group needs 20."


def test_an_interval_that_leaves_nothing_out_is_not_reported() -> None:
    """One user in a hundred has an extreme cost: the interval contains every difference, so its numbers mean
    nothing."""
    odd = Sums(100, 1000.0, 100, 1_000_000.0, 100, 1000.0, 100)
    definition = replace(TWO, primary="cost_per_answer", mde={"cost_per_answer": Effect(1.0)})
    sums = {"cost_per_answer": {"Control": times(100, 0.001), "Test": odd}}
    readout = readout_of_ratings({"Control": shares(100, 0.5), "Test": shares(100, 0.5)}, definition, sums=sums)
    versus = readout.main.versus["Test"]
    assert versus.numbers.cs_low is not None and versus.numbers.cs_low < -400
    assert (versus.verdict, versus.informative, versus.state) == ("no_difference_yet", False, "not_enough_data")
    assert sentence(readout) == ("Not enough data yet: the interval is too wide to say anything about cost per answer.")
    assert advice(readout) == []
    (row,) = [line for line in lines(Report(readout)) if line.startswith("cost per answer")]
    assert "  – not enough data" in row


def test_twenty_users_are_enough() -> None:
    assert readout_of_ratings({"Control": shares(20, 0.1), "Test": shares(20, 0.95)}).verdict == "better"


def test_a_broken_split_shows_no_winner() -> None:
    readout = readout_of_ratings({"Control": shares(400, 0.55), "Test": shares(550, 0.75)})
    assert {one.verdict for metric in readout.metrics.values() for one in metric.versus.values()} == {"broken"}
    assert readout.metrics["error_rate"].versus["Test"].guardrail == "broken"
    assert sentence(readout) == (
        "The split is broken: 400 in Control where 475 were meant, 550 in Test where 475 were meant. Chance "
        "does not do that. Winners are not shown."
    )
    assert "Find out why" in advice(readout)[0]


def test_a_split_is_held_against_its_weights() -> None:
    definition = replace(TWO, groups=(Group("Control", 3), Group("Test", 1)))
    readout = readout_of_ratings({"Control": shares(300, 0.5), "Test": shares(100, 0.5)}, definition)
    assert (readout.split.chi2, readout.split.p) == (0.0, 1.0)
    assert readout_of_ratings({"Control": shares(200, 0.5), "Test": shares(200, 0.5)}, definition).verdict == "broken"


def test_too_many_crossovers_break_the_readout() -> None:
    groups = {"Control": shares(90, 0.5), "Test": shares(90, 0.5)}
    assert readout_of_ratings(groups, crossover=20).verdict != "broken"  # exactly 10 % is still accepted
    readout = readout_of_ratings(groups, crossover=21)
    assert (readout.verdict, readout.crossover_share) == ("broken", 21 / 201)
    assert sentence(readout).startswith("Broken: over 10 % of the users met two groups (21 of 201).")


def test_forced_units_break_nothing() -> None:
    readout = readout_of_ratings({"Control": shares(90, 0.5), "Test": shares(90, 0.5)}, forced=80)
    assert (readout.crossover_share, readout.verdict) == (0.0, "no_difference_yet")


def test_three_groups_share_alpha_and_the_first_of_the_order_speaks() -> None:
    groups = {"Control": shares(400, 0.60), "B": shares(400, 0.80), "C": shares(400, 0.40)}
    readout = readout_of_ratings(groups, THREE)
    assert (readout.alpha, readout.verdict) == (0.025, "worse")
    text = sentence(readout)
    assert text.startswith("B is better than Control on satisfaction, C is worse. B is better on satisfaction: +20")
    assert "C is worse on satisfaction: −20 points (97.5 % interval" in text
    assert [step.split(":")[0] for step in advice(readout)] == ["B", "C"]


def test_an_undecided_group_among_several_is_named() -> None:
    readout = readout_of_ratings({"Control": shares(200, 0.6), "B": shares(200, 0.62), "C": shares(10, 0.6)},
                   replace(THREE, groups=(Group("Control", 20), Group("B", 20), Group("C", 1))))  # fmt: skip
    assert readout.verdict == "not_enough_data"
    assert "Undecided for B:" in sentence(readout)


def test_one_group_alone_is_compared_with_nothing() -> None:
    readout = readout_of_ratings({"Control": shares(100, 0.5)}, replace(TWO, groups=(Group("Control", 1),)))
    assert (readout.verdict, readout.alpha, readout.split.p) == ("not_enough_data", 0.05, None)
    assert sentence(readout) == "There is nothing to compare: it has one group."


def test_a_readout_without_users() -> None:
    readout = readout_of_ratings({})
    assert (readout.verdict, readout.crossover_share, readout.split.p) == ("not_enough_data", None, None)
    assert sentence(readout) == "Not enough data yet: nobody has met this experiment."
    assert as_json(readout)["metrics"]["satisfaction"]["groups"]["Test"]["n"] == 0


def test_groups_that_the_definition_does_not_know_are_reported_and_not_compared() -> None:
    readout = readout_of_ratings({"Control": shares(100, 0.5), "Test": shares(100, 0.5), "Old": shares(7, 1.0)})
    assert readout.counts == {"Control": 100, "Test": 100}
    assert sentence(readout).endswith("Not counted: 7 users in Old, which the definition does not know.")


def test_simulated_users_are_called_so() -> None:
    readout = readout_of_ratings({"Control": shares(400, 0.55), "Test": shares(400, 0.75)}, simulated=True)
    assert sentence(readout).startswith("In simulated data: Test is better")


def test_identical_users_cannot_be_compared() -> None:
    definition = replace(TWO, primary="completion_tokens")
    same = {group: Sums(30, 300.0, 30.0, 3000.0, 30.0, 300.0, 30) for group in ("Control", "Test")}
    readout = readout_of_ratings(
        {"Control": shares(30, 0.5), "Test": shares(30, 0.5)}, definition, sums={"completion_tokens": same}
    )
    assert readout.verdict == "not_enough_data"
    assert sentence(readout) == "Not enough data yet: answer length does not vary enough to be compared."


# Guardrails


@pytest.mark.parametrize(
    ("seconds", "guardrail"), [(3.0, "safe"), (2.0, "safe"), (3.15, "not_ruled_out"), (4.0, "harmed")]
)
def test_a_guardrail(seconds: float, guardrail: str) -> None:
    sums = {"response_time": {"Control": times(60, 3.0), "Test": times(60, seconds)}}
    readout = readout_of_ratings({"Control": shares(60, 0.5), "Test": shares(60, 0.5)}, sums=sums)
    assert readout.metrics["response_time"].versus["Test"].guardrail == guardrail


def test_a_guardrail_of_which_more_is_better_has_its_bad_side_below() -> None:
    definition = replace(TWO, primary="response_time", guardrails=("satisfaction",))
    readout = readout_of_ratings({"Control": shares(400, 0.75), "Test": shares(400, 0.55)}, definition)
    assert readout.metrics["satisfaction"].versus["Test"].guardrail == "harmed"


# The smallest difference that matters


def test_a_declared_difference_holds_absolute_or_relative_to_control() -> None:
    definition = replace(TWO, mde={"satisfaction": Effect(0.2, relative=True), "response_time": Effect(0.5)})
    sums = {"response_time": {"Control": times(60, 3.0), "Test": times(60, 3.0)}}
    readout = readout_of_ratings({"Control": shares(60, 0.5), "Test": shares(60, 0.6)}, definition, sums=sums)
    assert readout.metrics["satisfaction"].versus["Test"].numbers.mde == pytest.approx(0.1)
    assert readout.metrics["response_time"].versus["Test"].numbers.mde == 0.5


def test_differences_that_matter_by_default() -> None:
    sums = {name: {"Control": times(60, 0.3), "Test": times(60, 0.3)} for name in METRICS}
    readout = readout_of_ratings({}, sums=sums)
    mdes = {name: metric.versus["Test"].numbers.mde for name, metric in readout.metrics.items()}
    assert mdes == pytest.approx(dict.fromkeys(METRICS, 0.03) | {"satisfaction": 0.1, "error_rate": 0.02})


# Quantiles


def quantile(events: int, users: int, value: float = 3.0) -> Quantile:
    per = events / users
    return Quantile(
        value, value - 0.2, value + 0.2, Sums(users, events / 2, events, events, events * per, events, users)
    )


@pytest.mark.parametrize(
    ("events", "users", "p50", "p95"),
    [
        (400, 100, "better", "better"),
        (200, 100, "better", "better"),
        (199, 100, "better", "not_enough_data"),
        (400, 19, "not_enough_data", "not_enough_data"),
    ],
)
def test_a_quantile_needs_users_and_answers_beyond_it(events: int, users: int, p50: str, p95: str) -> None:
    quantiles = {name: {"Control": quantile(events, users, 6.0), "Test": quantile(900, 90)} for name in ("p50", "p95")}
    groups = {"Control": shares(100, 0.5), "Test": shares(100, 0.5)}
    readout = read(replace(_tally(groups), quantiles=quantiles), TWO, ORIGIN_MS)
    assert [readout.quantiles[name].versus["Test"].verdict for name in ("p50", "p95")] == [p50, p95]


def _tally(groups: Mapping[str, Sums]) -> Tally:
    sums = {metric: dict(groups) for metric in METRICS}
    return Tally(Scope(EXPERIMENT), sums, {})


# Weights that changed


def weights(*steps: tuple[int, float]) -> dict[str, Any]:
    """Return the weights of these steps (time in ms, Control's share), in order."""
    return {
        "weights": tuple(Weights(when, {"Control": share, "Test": 1 - share}) for when, share in steps),
        "first_ms": 100,
    }


SKEWED = {"Control": shares(400, 0.5), "Test": shares(600, 0.8)}


def test_weights_that_changed_while_it_ran_ask_for_a_since_instead_of_a_broken_split() -> None:
    day = 86_400_000
    readout = readout_of_ratings(SKEWED, **weights((50, 0.9), (3 * day, 0.5)))
    assert (readout.verdict, readout.split.p, readout.changed_ms) == ("not_enough_data", None, 3 * day)
    assert sentence(readout) == (
        "The weights changed while it ran (4 January 1970): users from before and after cannot be compared. "
        'Set since = "1970-01-05" in its table, or give the experiment a new name.'
    )


def test_weights_that_the_store_has_not_met_yet_have_changed_as_well() -> None:
    assert readout_of_ratings(SKEWED, **weights((50, 0.9))).changed_ms == ORIGIN_MS


@pytest.mark.parametrize("steps", [[], [(50, 0.5)], [(20, 0.9), (60, 0.5)], [(50, 0.5), (150, 0.5)], [(150, 0.5)]])
def test_weights_that_did_not_change_while_it_ran_are_no_excuse(steps: list[tuple[int, float]]) -> None:
    assert readout_of_ratings(SKEWED, **weights(*steps)).verdict == "broken"


def test_since_begins_at_midnight_utc() -> None:
    assert scope_of(replace(TWO, since=date(2026, 11, 1))) == Scope(EXPERIMENT, False, 1_793_491_200_000)
    assert scope_of(TWO, simulated=True) == Scope(EXPERIMENT, True)
