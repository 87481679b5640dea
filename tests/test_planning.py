"""The plan before the start: the fewest testers of each way, the source of its figures, and its recommendation."""

from dataclasses import replace

import pytest

from lib.experiments.definitions import Definition, Effect, Group
from lib.planning.plans import PlanError, curve, plan, setting_of
from lib.planning.power import (
    MODERATE,
    POWER,
    STRONG,
    ABTest,
    ab_power,
    comparison_power,
    fewest,
    planned_power,
    win_share,
)
from lib.planning.recommendation import assumptions, difference, recommendation, recommended, rows
from lib.statistics.sums import Sums
from tests.support.invented_readouts import readout_of_ratings, shares

TWO = Definition("e", (Group("A", 1), Group("B", 1)), "A")
TEST = ABTest(baseline=0.65, lift=0.1, mde=0.1, alpha=0.05)


@pytest.mark.parametrize(("users", "found"), [(1_000, 0.754), (3_000, 1.0)])
def test_the_power_of_a_watched_a_b_test_is_the_simulations(users: int, found: float) -> None:
    """The figures of docs/understand/statistics.md: visitors who rate 60 % of their answers, 10 points, 50/50."""
    assert abs(ab_power(users, TEST) - found) < 0.05


@pytest.mark.parametrize(("users", "found"), [(300, 0.367), (1_000, 0.916), (3_000, 1.0)])
def test_the_power_with_planned_users_is_the_simulations(users: int, found: float) -> None:
    assert abs(planned_power(users, TEST) - found) < 0.05


@pytest.mark.parametrize(
    ("people", "votes", "tastes", "found"),
    [(20, 10, MODERATE, 0.55), (20, 20, MODERATE, 0.78), (30, 10, MODERATE, 0.80), (30, 20, MODERATE, 0.95),
     (50, 10, MODERATE, 0.98), (90, 10, STRONG, 0.75), (120, 10, STRONG, 0.86)],
)  # fmt: skip
def test_the_power_of_comparisons_is_the_simulations(people: int, votes: int, tastes: float, found: float) -> None:
    """Figures of docs/understand/statistics.md, at a win share of 65 %."""
    assert abs(comparison_power(people, votes, 0.65, 0.2, 0.05, tastes=tastes) - found) < 0.06


def test_more_testers_more_votes_and_larger_differences_find_more() -> None:
    chance = [comparison_power(n, 10, 0.65, 0.2, 0.05, tastes=MODERATE) for n in range(2, 80)]
    assert chance == sorted(chance)
    assert comparison_power(30, 20, 0.65, 0.2, 0.05, tastes=MODERATE) > chance[28]
    assert comparison_power(30, 10, 0.7, 0.2, 0.05, tastes=MODERATE) > chance[28]
    assert comparison_power(30, 10, 0.35, 0.2, 0.05, tastes=MODERATE) == pytest.approx(chance[28])


def test_the_fewest_testers_are_the_first_with_that_power() -> None:
    def power(people: int) -> float:
        return comparison_power(people, 10, 0.65, 0.2, 0.05, tastes=MODERATE)

    people = fewest(power)
    assert people is not None and power(people) >= POWER > power(people - 1)


def test_a_win_share_is_that_of_the_odds() -> None:
    assert win_share(0.6, 0.1) + win_share(0.7, -0.1) == pytest.approx(1)
    assert win_share(0.5, 0.15) == pytest.approx(0.65)


def test_a_plan_has_testers_and_days_for_each_way() -> None:
    result = plan(setting_of(TWO, lift=0.1, testers_per_day=30, votes_per_tester=10))
    assert [name for name, *_ in rows(result)] == [
        "A/B test", "A/B test, planned users", "Comparisons", "Comparisons, differing tastes",
    ]  # fmt: skip
    assert result.testers["ab"] == 1_200 and result.days("ab") == 40
    compared, strong, planned, ab = (result.testers[way] or 0 for way in ("compared", "strong", "planned", "ab"))
    assert 0 < compared < strong < planned < ab


def test_a_comparison_is_recommended_where_it_is_quicker() -> None:
    planned = plan(setting_of(TWO))
    assert recommended(planned) == "compared"
    assert recommendation(planned).startswith("Let testers compare: that takes ")


def test_the_a_b_test_is_recommended_where_comparisons_need_as_many() -> None:
    planned = plan(replace(setting_of(TWO), spread=0.05))
    assert recommended(planned) == "planned"
    assert recommendation(planned).startswith("Run the A/B test with planned users: it takes ")


def test_a_difference_too_small_to_find_has_no_days() -> None:
    planned = plan(setting_of(TWO, lift=1e-5))
    assert rows(planned)[0][1:] == ("over 10,000,000", "–")
    assert "days" in recommendation(planned)


def test_what_is_not_given_comes_from_the_table() -> None:
    three = Definition(
        "e", (Group("A", 6), Group("B", 3), Group("C", 1)), "A",
        mde={"satisfaction": Effect(0.2, relative=True), "preference": Effect(0.3)},
    )  # fmt: skip
    setting = setting_of(three, baseline=0.5)
    assert (setting.mde, setting.lift, setting.preference_mde) == (0.1, 0.1, 0.3)
    assert setting.shares == pytest.approx((0.6, 0.1)) and setting.alpha == 0.025
    assert plan(setting).testers["ab"] > plan(setting_of(TWO, baseline=0.5)).testers["ab"]  # type: ignore[operator]


def test_what_an_experiment_has_measured_goes_before_assumptions() -> None:
    busy = Sums(100, 160, 200, 400, 400, 320, 100)  # each of 100 users rates twice, all alike
    readout = readout_of_ratings({"Control": busy, "Test": shares(100, 0.8)})
    setting = setting_of(TWO, readout)
    assert setting.baseline == 0.8 and setting.measured
    assert "counts for" in assumptions(setting)[1] and "as measured" in assumptions(setting)[1]
    assert setting_of(TWO, readout_of_ratings({"Control": shares(10, 0.8), "Test": shares(10, 0.8)})).baseline == 0.65
    assert setting_of(TWO, readout, baseline=0.4).baseline == 0.4


def test_where_control_satisfies_nearly_all_the_usual_lift_is_the_rest() -> None:
    readout = readout_of_ratings({"Control": shares(200, 0.96), "Test": shares(200, 0.97)})
    setting = setting_of(TWO, readout)
    assert setting.baseline == 0.96 and setting.lift == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baseline": 1.0}, "A baseline is a share between 0 and 1"),
        ({"baseline": 0.65, "lift": 0.5}, "a lift is between -0.65 and 0.35 and not 0; it is 0.5"),
        ({"lift": 0.0}, "and not 0"),
        ({"testers_per_day": 0}, "Testers a day must be above 0"),
        ({"votes_per_tester": 0.5}, "votes of a tester at least 1"),
        ({"baseline": float("nan")}, "A baseline is a share"),
    ],
)  # fmt: skip
def test_figures_that_no_experiment_can_have_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(PlanError, match=message.replace("(", "\\(")):
        setting_of(TWO, None, **given)


def test_a_curve_rises_to_certainty() -> None:
    setting = setting_of(TWO)
    points = curve(setting, "compared", 400)
    assert points == sorted(points) and points[0][0] == 5 and points[-1][0] == 400
    assert points[0][1] < 0.05 and points[-1][1] > 0.99


def test_the_difference_is_reported_in_both_ways_words() -> None:
    assert difference(setting_of(TWO)) == (
        "Looked for: satisfaction 65 % against 75 %, which is a win share of 62 % side by side."
    )
