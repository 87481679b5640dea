"""The check of the readout: it decides as the readout does, and its figures are those of the simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from lib.commands.simulate import summarize
from lib.demo.behaviour import SATISFIED
from lib.demo.drawn_visitors import FAILS, DrawnVisitors
from lib.demo.soundness import (
    SPLITS,
    Judged,
    Soundness,
    Watched,
    check,
    played_metrics,
    smallest_effect,
    watch,
)
from lib.experiments.definitions import METRICS, Definition, Effect, Group

TWO = Definition("e", (Group("Control", 1), Group("Test", 1)), "Control")


def test_the_same_seed_draws_the_same_visitors() -> None:
    assert DrawnVisitors.draw(50, "1 2") == DrawnVisitors.draw(50, "1 2") != DrawnVisitors.draw(50, "1 3")


def test_drawn_visitors_have_the_rates_of_the_demos_visitors() -> None:
    answers = DrawnVisitors.draw(3_000, "4").answers
    liked = sum(one.mood < one.share for one in answers if one.rates) / sum(one.rates for one in answers)
    assert liked == pytest.approx(SATISFIED, abs=0.02)
    assert sum(one.rates for one in answers) / len(answers) == pytest.approx(0.6, abs=0.03)
    assert sum(one.luck < FAILS for one in answers) / len(answers) == pytest.approx(FAILS, abs=0.01)
    fewer = DrawnVisitors.draw(3_000, "4", rated=1 / 3).answers
    assert sum(one.rates for one in fewer) / len(fewer) == pytest.approx(0.2, abs=0.02)


def test_the_primary_metric_and_the_guardrails_are_played() -> None:
    assert played_metrics(TWO) == ("satisfaction", "error_rate", "response_time")
    every = replace(TWO, primary="cost_per_answer", guardrails=METRICS)
    assert played_metrics(every) == METRICS
    watched = watch(every, DrawnVisitors.draw(300, "1"), 0.5, 0.3)
    assert set(watched.metrics) == set(METRICS)


def test_watched_all_the_time_the_readout_is_rarely_wrong_where_a_naive_test_often_is() -> None:
    soundness = check(TWO, users=120, seed=1, lift=0.3, runs=25)
    for share in SPLITS:
        for name in played_metrics(TWO):
            assert sum(one.metrics[name].watched is not None for one in soundness.without[share]) <= 3
    even = soundness.without[0.5]
    assert sum(one.metrics["satisfaction"].naive is not None for one in even) >= 4
    assert sum(one.metrics["satisfaction"].watched == "more" for one in soundness.lifted[0.5]) >= 15
    assert soundness == check(TWO, users=120, seed=1, lift=0.3, runs=25)


def test_a_guardrail_that_acts_by_the_interval_spares_groups_that_a_p_value_would_switch_off() -> None:
    watched = [watch(TWO, DrawnVisitors.draw(250, f"guard {number}"), 0.5, None).metrics for number in range(60)]
    guards = ("error_rate", "response_time")
    assert sum(any(one[name].harmed(name) for name in guards) for one in watched) <= 3
    assert sum(any(one[name].harmed_p for name in guards) for one in watched) >= 6


def test_rare_slow_answers_make_no_small_group_faster() -> None:
    """At 95/5 a group without its rare slow answers looked faster in 43 of 100 experiments."""
    watched = [watch(TWO, DrawnVisitors.draw(400, f"slow {number}"), 0.05, None) for number in range(40)]
    assert sum(one.metrics["response_time"].watched is not None for one in watched) <= 2


def test_a_planned_readout_finds_more_than_a_watched_one() -> None:
    experiments = [watch(TWO, DrawnVisitors.draw(250, f"plan {number}"), 0.5, 0.13) for number in range(60)]
    planned, watched = (
        sum(getattr(one.metrics["satisfaction"], way) == "more" for one in experiments)
        for way in ("planned", "watched")
    )
    assert planned > watched


def test_progress_is_reported_after_every_pair() -> None:
    heard: list[int] = []
    check(TWO, users=5, seed=1, lift=0.1, runs=3, progress=heard.append)
    assert heard == [1, 2, 3]


def test_the_smallest_effect_is_that_of_the_definition() -> None:
    assert smallest_effect(TWO) == 0.10
    assert smallest_effect(replace(TWO, mde={"satisfaction": Effect(0.05)})) == 0.05
    assert smallest_effect(replace(TWO, mde={"satisfaction": Effect(0.2, relative=True)})) == 0.2 * SATISFIED


def experiment(watched: str | None = None, naive: str | None = None, broken: bool = False) -> Watched:
    metrics = {name: Judged() for name in played_metrics(TWO)}
    return Watched(metrics | {"satisfaction": Judged(watched, None, naive)}, broken, looks=10)


def everywhere(runs: Sequence[Watched]) -> Mapping[float, Sequence[Watched]]:
    return {share: tuple(runs) for share in SPLITS}


def test_the_figures_come_with_their_standard_errors() -> None:
    without = [*[experiment(None, "less")] * 48, experiment("more"), experiment("less", broken=True)]
    lifted = [*[experiment("more")] * 20, experiment("less"), *[experiment(None, "more")] * 29]
    text = summarize(Soundness(everywhere(without), everywhere(lifted)), users=300, lift=0.1, seconds=61.7)
    assert text.well
    rows = [" ".join(line.split()) for line in text.lines]
    assert rows[0].startswith("50 experiments without a difference and 50 with one (+10 points of satisfaction;")
    assert "no difference, yet a winner or loser 50/50 watched 50/50 planned 90/10 watched" in rows[2]
    assert rows[3].startswith("satisfaction 4.0 % ± 2.8 0.0 % ± 0.0 4.0 % ± 2.8")
    assert rows[6].startswith("satisfaction, naive z-test 96.0 % ± 2.8 –")
    assert rows[9].startswith("satisfaction 40.0 % ± 6.9")
    assert "The split was called broken in 1.0 % ± 0.6 of them." in rows


def test_the_guardrails_that_act_are_counted_each_and_together() -> None:
    def acted(metric: str, by: str) -> Watched:
        judged = Judged("more") if by == "interval" else Judged(harmed_p=True)
        return replace(experiment(), metrics={**experiment().metrics, metric: judged})

    without = [experiment()] * 7 + [acted("error_rate", "p"), acted("response_time", "p"), acted("error_rate", "p")]
    lifted = [experiment()] * 5 + [acted("response_time", "interval")] * 3 + [acted("error_rate", "interval")] * 2
    text = summarize(Soundness(everywhere(without), everywhere(lifted)), users=300, lift=0.1, seconds=1)
    rows = [" ".join(line.split()) for line in text.lines]
    assert any(row.startswith("a harmless group, errors 0.0 % ± 0.0 20.0 %") for row in rows)
    assert any(row.startswith("a harmless group, any of them 0.0 % ± 0.0 30.0 %") for row in rows)
    assert any(row.startswith("a harmful group, any of them 50.0 %") for row in rows)


def test_a_negative_lift_is_found_as_less() -> None:
    soundness = Soundness(everywhere([experiment()]), everywhere([experiment("less")]))
    text = summarize(soundness, users=300, lift=-0.1, seconds=1)
    assert "-10 points" in text.lines[0]
    assert " ".join(text.lines[9].split()).startswith("satisfaction 100.0 %")


@pytest.mark.parametrize("wrong, well", [(0, True), (16, True), (17, False), (60, False)])
def test_more_wrong_verdicts_than_chance_explains_fail_the_check(wrong: int, well: bool) -> None:
    without = everywhere([experiment("more" if number < wrong else None) for number in range(200)])
    assert summarize(Soundness(without, without), users=300, lift=0.1, seconds=1).well is well
