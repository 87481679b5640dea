"""The formulas against scipy, statsmodels and numpy, and the identities that they must hold."""

import math
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from lib.statistics import differences, formulas, quantiles, splits
from lib.statistics.differences import compare
from lib.statistics.formulas import Estimate, estimate
from lib.statistics.sums import Sums


def given(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return Hypothesis' `given` without its deadline, which a busy machine would miss."""
    return lambda test: settings(deadline=None)(examples(*strategies)(test))


POSITIVE = st.floats(1e-6, 1e6)
ALPHAS = st.sampled_from([0.05, 0.025, 0.05 / 3])


@cache
def stats() -> Any:
    """Return SciPy's statistics, imported late: every worker imports all test files, and SciPy takes a second."""
    from scipy import stats as theirs

    return theirs


def sums_of(x: np.ndarray, y: np.ndarray) -> Sums:
    sx, sy, sxx, syy, sxy = (float(one.sum()) for one in (x, y, x * x, y * y, x * y))
    return Sums(len(x), sx, sy, sxx, syy, sxy, int((y > 0).sum()))


def units(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return users who rate between one and nine answers, each with a taste of their own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(1, 10, n)
    return rng.binomial(y, rng.beta(4, 3, n)).astype(float), y.astype(float)


@pytest.mark.parametrize("seed", range(8))
def test_the_delta_method_is_least_squares_with_errors_clustered_by_user(seed: int) -> None:
    x, y = units(seed)
    of_unit = np.repeat(np.arange(len(y)), y.astype(int))
    up = np.concatenate([np.repeat([1.0, 0.0], [int(a), int(b - a)]) for a, b in zip(x, y, strict=True)])
    import statsmodels.api as sm

    fitted = sm.OLS(up, np.ones(len(up))).fit()
    clustered = fitted.get_robustcov_results("cluster", groups=of_unit, use_correction=False)
    n = len(y)
    assert formulas.ratio_variance(sums_of(x, y)) == pytest.approx(clustered.bse[0] ** 2 * n / (n - 1), rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_mean_has_the_standard_error_of_a_mean(seed: int) -> None:
    x = np.random.default_rng(seed).gamma(2.0, 3.0, 40)
    estimated = estimate(sums_of(x, np.ones(40)), rate=False)
    assert (estimated.value, estimated.se) == (pytest.approx(x.mean()), pytest.approx(stats().sem(x)))


@pytest.mark.parametrize("seed", range(4))
def test_degrees_of_freedom_of_two_means_are_welchs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.gamma(2.0, 3.0, 25), rng.gamma(2.0, 5.0, 40)
    one, other = (estimate(sums_of(x, np.ones(len(x))), rate=False) for x in (a, b))
    test = stats().ttest_ind(b, a, equal_var=False)
    assert differences.welch(one, other) == pytest.approx(test.df)
    difference = compare(one, other, 1.0, 0.05, pooled=False)
    assert difference.diff is not None and difference.se is not None
    assert difference.diff / difference.se == pytest.approx(test.statistic)


@given(st.floats(0, 3_000), st.integers(1, 12))
def test_the_tail_of_chi_square_is_scipys(x: float, df: int) -> None:
    assert splits.chi2_tail(x, df) == pytest.approx(stats().chi2.sf(x, df), rel=1e-10, abs=1e-300)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=6).filter(any), st.data())
def test_the_split_check_is_pearsons(counts: list[int], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 50), min_size=len(counts), max_size=len(counts)))
    expected = np.array(weights) / sum(weights) * sum(counts)
    theirs = stats().chisquare(counts, expected)
    names = [str(number) for number in range(len(counts))]
    ours = splits.split(dict(zip(names, counts, strict=True)), dict(zip(names, weights, strict=True)))
    assert (ours.chi2, ours.df) == (pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9), len(counts) - 1)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-8, abs=1e-300)


def test_a_split_without_users_has_no_p() -> None:
    assert splits.split({}, {"a": 1.0, "b": 1.0}) == splits.Split(None, 1, None)
    assert astuple(splits.split({"a": 9}, {"a": 1.0})) == (0.0, 0, None, pytest.approx(0.0))
    assert splits.split({"a": 9, "b": 1}, {"a": 1.0, "b": 0.0}).p == 0.0


@given(st.integers(0, 80), st.integers(1, 80))
def test_wilsons_interval_is_statsmodels(up: int, of: int) -> None:
    up = min(up, of)
    from statsmodels.stats.proportion import proportion_confint

    theirs = proportion_confint(up, of, alpha=0.05, method="wilson")
    assert formulas.wilson(up / of, of, formulas.Z95) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_normal_quantiles_are_scipys_to_the_last_digit() -> None:
    assert pytest.approx(stats().norm.ppf(0.975), rel=1e-15) == formulas.Z95
    assert pytest.approx(stats().norm.ppf(0.8), rel=1e-15) == formulas.Z80


@given(st.floats(0.1, 6), st.floats(3, 1e6))
def test_wallace_is_near_student_and_its_own_inverse(z: float, df: float) -> None:
    t = formulas.student(z, df)
    assert formulas.normal(t, df) == pytest.approx(z, rel=1e-9)
    if z < 2.5 and df > 5:
        assert t == pytest.approx(stats().t.isf(stats().norm.sf(z), df), rel=0.01)


def test_a_multiplier_beyond_floating_point_is_infinite() -> None:
    assert formulas.student(60.0, 0.5) == math.inf


@given(st.lists(st.sampled_from([0.1, 0.2, 0.2, 0.5, 3.0]), min_size=1, max_size=60), st.sampled_from([0.5, 0.95, 0.1]))
def test_a_quantiles_rank_is_numpys_inverted_cdf(values: list[float], p: float) -> None:
    ours = sorted(values)[quantiles.rank(p, len(values)) - 1]
    assert ours == np.quantile(values, p, method="inverted_cdf")


@given(st.floats(-2, 3), st.integers(1, 1000))
def test_a_rank_is_never_outside(p: float, n: int) -> None:
    assert 1 <= quantiles.rank(p, n) <= n


def test_the_interval_is_the_mixtures_own() -> None:
    """Zero is at the edge exactly where the mixture's likelihood ratio is 1/alpha."""
    variance, tau, alpha = 0.0004, 0.02, 0.05
    edge = differences.multiplier(variance, tau, alpha) * math.sqrt(variance)
    ratio = math.sqrt(variance / (variance + tau)) * math.exp(edge**2 * tau / (2 * variance * (variance + tau)))
    assert ratio == pytest.approx(1 / alpha)


def two_estimates(seed: int) -> tuple[Estimate, Estimate]:
    one, other = (estimate(sums_of(*units(each, 30 + each % 40)), rate=True) for each in (seed, seed + 1_000))
    return one, other


@given(st.integers(0, 900), ALPHAS, st.floats(0.01, 0.5))
def test_zero_is_outside_exactly_when_p_is_below_alpha(seed: int, alpha: float, mde: float) -> None:
    difference = compare(*two_estimates(seed), mde, alpha)
    assert difference.cs_low is not None and difference.cs_high is not None and difference.p_seq is not None
    assert (difference.cs_low > 0 or difference.cs_high < 0) == (difference.p_seq < alpha)


@given(st.integers(0, 900))
def test_exchanged_groups_mirror(seed: int) -> None:
    one, other = two_estimates(seed)
    there, back = compare(one, other, 0.1, 0.05), compare(other, one, 0.1, 0.05)
    assert there.diff is not None and there.cs_low is not None and there.cs_high is not None
    assert (back.diff, back.cs_low, back.cs_high) == pytest.approx((-there.diff, -there.cs_high, -there.cs_low))
    assert (back.se, back.df, back.p_seq) == pytest.approx((there.se, there.df, there.p_seq))


@given(st.integers(0, 900))
def test_more_users_of_the_same_kind_only_narrow(seed: int) -> None:
    x, y = units(seed, 25)
    halves = [compare(estimate(sums_of(np.tile(x, k), np.tile(y, k)), rate=True), two_estimates(seed)[1], 0.1, 0.05)
              for k in (1, 2, 4, 8)]  # fmt: skip
    widths = [one.cs_high - one.cs_low for one in halves if one.cs_high is not None and one.cs_low is not None]
    assert len(widths) == 4 and all(later < earlier for earlier, later in pairwise(widths))


@given(POSITIVE, POSITIVE, ALPHAS)
def test_after_the_growth_needed_the_difference_is_detectable(variance: float, mde: float, alpha: float) -> None:
    factor = differences.growth(variance, mde, alpha)
    assert differences.detectable(variance / factor, mde, alpha) == pytest.approx(mde, rel=1e-9)


def test_the_relative_error_is_that_of_the_ratio() -> None:
    a, b = Estimate(2.0, 0.1, 0.1, kish=50.0), Estimate(3.0, 0.2, 0.2, kish=50.0)
    difference = compare(a, b, 0.1, 0.05)
    assert (difference.rel, difference.rel_se) == (
        pytest.approx(0.5),
        pytest.approx(1.5 * math.hypot(0.1 / 2, 0.2 / 3)),
    )


def test_a_treatment_of_0_has_a_relative_error() -> None:
    difference = compare(Estimate(2.0, 0.1, 0.1, kish=50.0), Estimate(0.0, 0.2, 0.2, kish=50.0), 0.1, 0.05)
    assert (difference.rel, difference.rel_se) == (-1.0, pytest.approx(0.1))


def test_one_busy_user_leaves_half_a_degree_of_freedom_to_a_comparison() -> None:
    """Kish's size is 1, as with a single user; the weight in Welch's formula has a floor."""
    lonely, many = Estimate(1.0, 1.0, 1.0, kish=1.0), Estimate(1.0, 1.0, 1.0, kish=101.0)
    assert differences.welch(lonely, lonely) == pytest.approx(4 / (1 / 0.5 + 1 / 0.5))
    assert differences.welch(lonely, many) == pytest.approx(4 / (1 / 0.5 + 1 / 100))


def test_one_busy_user_leaves_one_degree_of_freedom_to_a_groups_own_bar() -> None:
    x, y = np.array([500.0, 3.0, 1.0]), np.array([1000.0, 1.0, 1.0])
    estimated = estimate(sums_of(x, y), rate=False)
    assert estimated.kish == pytest.approx(1.004, abs=0.001)
    assert estimated.value is not None and estimated.se is not None and estimated.ci_high is not None
    assert (estimated.ci_high - estimated.value) / estimated.se == pytest.approx(formulas.student(formulas.Z95, 1.0))


# The pair's pooled spread


def test_a_small_group_that_looks_certain_has_at_least_the_pooled_spread() -> None:
    """29 users with the same response time beside 300 of whom a few waited for a minute."""
    rng = np.random.default_rng(4)
    many, few = np.where(rng.random(300) < 0.02, 60.0, 3.0), np.full(29, 3.0)
    one, other = (estimate(sums_of(x, np.ones(len(x))), rate=False) for x in (many, few))
    assert one.se is not None and other.se == 0.0
    spread = (one.se**2 * 300**2) / (300 + 29)
    difference = compare(one, other, 0.3, 0.05)
    assert difference.se == pytest.approx(math.sqrt(one.se**2 + spread / 29))
    assert difference.se_delta == pytest.approx(one.se)


@given(st.integers(0, 900))
def test_pooling_never_narrows(seed: int) -> None:
    one, other = two_estimates(seed)
    wide, narrow = compare(one, other, 0.1, 0.05), compare(one, other, 0.1, 0.05, pooled=False)
    assert wide.se is not None and narrow.se is not None
    assert wide.se >= narrow.se * (1 - 1e-12)


def test_groups_of_one_kind_and_size_are_not_changed_by_pooling() -> None:
    same = estimate(sums_of(*units(3)), rate=True)
    pooled, alone = compare(same, same, 0.1, 0.05), compare(same, same, 0.1, 0.05, pooled=False)
    assert pooled.se == pytest.approx(alone.se)


# The planned look


@given(st.integers(0, 900))
def test_one_look_has_the_interval_of_welchs_test(seed: int) -> None:
    numbers = compare(*two_estimates(seed), 0.1, 0.025)
    once = differences.look_once(numbers, 0.025)
    assert numbers.df is not None and numbers.se is not None and numbers.diff is not None
    t = stats().t.isf(0.0125, numbers.df)
    assert once.cs_high == pytest.approx(numbers.diff + t * numbers.se, rel=0.01)
    assert once.cs_low is not None and numbers.cs_low is not None and once.cs_low > numbers.cs_low


# The split, watched


@given(st.lists(st.integers(0, 400), min_size=2, max_size=4).filter(any), st.data())
def test_the_evidence_is_the_dirichlet_multinomials(counts: list[int], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.5, 50), min_size=len(counts), max_size=len(counts)))
    shares = np.array(weights) / sum(weights)
    theirs = stats().dirichlet_multinomial.logpmf(counts, 100 * shares, sum(counts))
    theirs -= stats().multinomial.logpmf(counts, sum(counts), shares)
    names = [str(number) for number in range(len(counts))]
    ours = splits.split(dict(zip(names, counts, strict=True)), dict(zip(names, weights, strict=True)))
    assert ours.log_e == pytest.approx(theirs, rel=1e-7, abs=1e-7)


def test_a_sound_split_that_is_watched_after_every_user_is_hardly_ever_broken() -> None:
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(300):
        counts = {"a": 0, "b": 0}
        for group in rng.choice(["a", "b"], 400, p=[0.9, 0.1]):
            counts[str(group)] += 1
            if splits.log_evidence(counts, {"a": 0.9, "b": 0.1}) > splits.LIMIT:
                broken += 1
                break
    assert broken <= 2  # the true rate is at most one in a thousand


def test_three_users_of_a_99_to_1_split_in_the_small_group_do_not_break_it() -> None:
    assert not splits.split({"a": 0, "b": 3}, {"a": 99.0, "b": 1.0}).broken
    assert splits.split({"a": 400, "b": 600}, {"a": 1.0, "b": 1.0}).broken
    assert splits.split({"a": 9, "b": 1}, {"a": 1.0, "b": 0.0}).broken


def test_stretches_are_found_where_shares_changed() -> None:
    ramp = [{"a": 19, "b": 1}] * 20 + [{"a": 15, "b": 5}] * 20 + [{"a": 10, "b": 10}] * 20
    assert splits.stretches(ramp) == [(0, 20), (20, 40), (40, 60)]
    assert splits.stretches([]) == []


# What cannot be computed


def test_without_data_there_is_nothing() -> None:
    assert estimate(Sums(5, 0, 0, 0, 0, 0, 0), rate=True) == Estimate()


def test_one_unit_has_a_value_and_no_spread() -> None:
    estimated = estimate(Sums(1, 2, 3, 4, 9, 6, 1), rate=True)
    assert (estimated.value, estimated.se, estimated.ci_low) == (2 / 3, None, None)
    beside = compare(estimated, estimate(Sums(20, 10, 20, 10, 20, 10, 20), rate=True), 0.1, 0.05)
    assert beside.diff == pytest.approx(0.5 - 2 / 3)
    assert (beside.se, beside.df, beside.cs_low, beside.p_seq, beside.growth_needed) == (None,) * 5


@pytest.mark.parametrize("value", [0.0, 2.1, 0.3, 1e-5, 123456.789])
def test_identical_users_have_no_spread_despite_rounding(value: float) -> None:
    x = np.full(37, value * 3)
    estimated = estimate(sums_of(x, np.full(37, 3.0)), rate=False)
    assert (estimated.se, estimated.ci_low) == (0.0, estimated.value)
    beside = compare(estimated, estimated, 0.1, 0.05)
    assert (beside.diff, beside.se) == (0.0, 0.0)
    assert (beside.df, beside.cs_low, beside.p_seq, beside.detectable_now) == (None,) * 4


def test_a_rate_always_has_some_spread() -> None:
    estimated = estimate(Sums(30, 90, 90, 270, 270, 270, 30), rate=True)
    assert estimated.se_delta == 0.0
    assert estimated.se == pytest.approx(math.sqrt(92 / 94 * 2 / 94 / 90))
    assert estimated.ci_low is not None and estimated.ci_low < 1.0 and estimated.ci_high == pytest.approx(1.0)


def test_where_nothing_matters_nothing_is_compared() -> None:
    one, other = two_estimates(3)
    difference = compare(one, other, 0.0, 0.05)
    assert difference.se is not None and difference.df is not None
    assert (
        difference.mde,
        difference.cs_low,
        difference.p_seq,
        difference.detectable_now,
        difference.growth_needed,
    ) == (0.0, *(None,) * 4)


def test_a_control_of_zero_has_no_relative_difference() -> None:
    difference = compare(Estimate(0.0, 0.1, 0.1, kish=9.0), Estimate(1.0, 0.1, 0.1, kish=9.0), 0.1, 0.05)
    assert (difference.rel, difference.rel_se) == (None, None)


def test_an_interval_beyond_floating_point_is_missing() -> None:
    """One user gave nearly all answers of each group: the effective size is one."""
    difference = compare(Estimate(1.0, 9.0, 9.0, kish=1.0), Estimate(2.0, 9.0, 9.0, kish=1.0), 0.001, 0.05)
    assert (difference.cs_low, difference.cs_high) == (None, None)
    assert difference.p_seq == 1.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.booleans(), ALPHAS, st.floats(0, 1))
def test_no_number_is_ever_nan_or_infinite(pairs: list[tuple[int, int]], rate: bool, alpha: float, mde: float) -> None:
    y = np.array([max(pair) for pair in pairs], dtype=float)
    x = np.array([min(pair) for pair in pairs], dtype=float)
    one = estimate(sums_of(x, y), rate=rate)
    other = estimate(Sums(20, 10, 20, 10, 20, 10, 20), rate=rate)
    for result in (one, compare(one, other, mde, alpha), compare(other, one, mde, alpha)):
        numbers = [getattr(result, name) for name in result.__slots__]
        assert all(number is None or math.isfinite(number) for number in numbers)
