"""The statistics of a readout: sums over units in, numbers out.

Owns every formula: the estimate of one group, the comparison of two, the interval that stays valid however often one
looks, quantiles, and the check of the split. Pure and of the standard library alone. Knows neither where the sums come
from nor what is said about the numbers. The unit is the user, never the answer: n counts units, and x and y are what
one unit adds to the numerator and the denominator of a metric. What cannot be computed is None.

Sources: delta method for a ratio of means over clusters: Deng, Knoblich, Lu, "Applying the Delta Method in Metric
Analytics", KDD 2018, arXiv 1803.06336; the interval: Robbins' normal mixture, eq. 9 of Waudby-Smith et al., arXiv
2103.06476, and its p-value (mSPRT): Johari et al., arXiv 1512.04922; small samples: Wallace, Annals of Mathematical
Statistics 30 (1959); effective size: Kish, "Survey Sampling", 1965; Wilson, JASA 22 (1927).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

ALPHA = 0.05
"""Chance of a wrong difference in one experiment, shared out among its treatments."""
Z95 = NormalDist().inv_cdf(0.975)
Z80 = NormalDist().inv_cdf(0.8)
_ROUNDING = 1e-13
"""A spread below this share of the terms that it is the difference of is what floating point leaves of zero."""


@dataclass(frozen=True, slots=True)
class Sums:
    """One group and metric, summed over units. `n` all units, `active` those with data (y > 0)."""

    n: int
    sx: float
    sy: float
    sxx: float
    syy: float
    sxy: float
    active: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A group's own value with its 95 % interval (for one look, at one group).

    `se_delta` is the delta method alone, `se` has the floor of a rate; `kish` is the number of units that would say as
    much if all were equally busy.
    """

    value: float | None = None
    se_delta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    kish: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A treatment minus control. `cs_low` to `cs_high` holds the truth at every look with confidence 1 − alpha.

    `detectable_now` is the difference that shows with 80 % power, `growth_needed` the factor by which users must grow
    until that is `mde`.
    """

    diff: float | None = None
    se_delta: float | None = None
    se: float | None = None
    df: float | None = None
    rel: float | None = None
    rel_se: float | None = None
    cs_low: float | None = None
    cs_high: float | None = None
    p_seq: float | None = None
    mde: float | None = None
    detectable_now: float | None = None
    growth_needed: float | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Pearson's test of the units per group against the configured weights (sample ratio mismatch)."""

    chi2: float | None
    df: int
    p: float | None


def estimate(sums: Sums, *, rate: bool) -> Estimate:
    """A group's value Σx/Σy. `rate`: x counts 0/1 events among y, so that no spread is below a binomial's.

    >>> e = estimate(Sums(n=10, sx=87, sy=10, sxx=1121, syy=10, sxy=87, active=10), rate=False)
    >>> round(e.value, 3), round(e.se, 6), round(e.ci_low, 6), round(e.ci_high, 6)
    (8.7, 2.011357, 4.147757, 13.252243)
    """
    if sums.sy <= 0:
        return Estimate()
    value, kish = sums.sx / sums.sy, sums.sy**2 / sums.syy
    delta = ratio_variance(sums)
    if delta is None:
        return Estimate(value=value, kish=kish)
    variance = max(delta, _smoothed(sums) / sums.sy) if rate else delta
    multiplier = student(Z95, max(kish - 1, 1.0))
    if rate:
        low, high = wilson(value, min(_smoothed(sums) / variance, sums.sy), multiplier)
    else:
        low, high = value - multiplier * math.sqrt(variance), value + multiplier * math.sqrt(variance)
    return Estimate(value, math.sqrt(delta), math.sqrt(variance), low, high, kish)


def ratio_variance(sums: Sums) -> float | None:
    """Variance of Σx/Σy over units, by the delta method; None below two units or without data.

    V = (Σx² − 2RΣxy + R²Σy²)/(Σy)² · n/(n−1). Deng et al., arXiv 1803.06336, eq. 3.

    >>> ratio_variance(Sums(n=4, sx=10, sy=4, sxx=30, syy=4, sxy=10, active=4))  # 1, 2, 3, 4: s² / n = (5/3) / 4
    0.4166666666666667
    """
    if sums.n < 2 or sums.sy <= 0:
        return None
    ratio = sums.sx / sums.sy
    terms = sums.sxx, 2 * ratio * sums.sxy, ratio * ratio * sums.syy
    spread = terms[0] - terms[1] + terms[2]
    if spread <= _ROUNDING * math.fsum(map(abs, terms)):
        return 0.0
    return spread / sums.sy**2 * sums.n / (sums.n - 1)


def _smoothed(sums: Sums) -> float:
    """p̃(1−p̃) with two more of each outcome, p̃ = (Σx+2)/(Σy+4): never 0. Agresti, Coull, Am. Stat. 52 (1998)."""
    share = (sums.sx + 2) / (sums.sy + 4)
    return share * (1 - share)


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share among `n` (which need not be whole) at `z` standard errors. Wilson 1927.

    It never leaves [0, 1], whatever floating point makes of its ends.

    >>> low, high = wilson(0.5, 100, Z95)
    >>> round(low, 6), round(high, 6)
    (0.403832, 0.596168)
    """
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def student(z: float, df: float) -> float:
    """The Student quantile that answers to the normal quantile `z`, by Wallace's transformation; inf beyond floats.

    t = √(ν·(exp((z·(8ν+3)/(8ν+1))²/ν) − 1)). Wallace 1959; inverse of `normal`.

    >>> round(student(Z95, 9), 4), round(student(Z95, 1e9), 6)
    (2.2633, 1.959964)
    """
    exponent = (z * (8 * df + 3) / (8 * df + 1)) ** 2 / df
    return math.sqrt(df * math.expm1(exponent)) if exponent < 700 else math.inf


def normal(t: float, df: float) -> float:
    """The normal quantile that answers to the Student quantile `t`. Wallace 1959.

    >>> round(normal(student(2.5, 7), 7), 12)
    2.5
    """
    return (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df))


def multiplier(variance: float, tau: float, alpha: float) -> float:
    """Standard errors on either side of an interval that holds at every look (Robbins' normal mixture).

    k = √((V+τ)/τ · ln((V+τ)/(V·α²))). Waudby-Smith et al., arXiv 2103.06476, eq. 9, with τ the mixture's variance.

    >>> round(multiplier(1.0, 2.0, 0.05), 4)
    3.2612
    """
    if tau == 0:  # also of an MDE whose square is none
        return math.inf
    return math.sqrt((variance + tau) / tau * (math.log1p(tau / variance) - 2 * math.log(alpha)))


def compare(control: Estimate, treatment: Estimate, mde: float | None, alpha: float) -> Comparison:
    """A treatment against control; `mde` is the smallest difference that matters, in the metric's own unit.

    >>> a = estimate(Sums(n=100, sx=50, sy=100, sxx=50, syy=100, sxy=50, active=100), rate=True)
    >>> b = estimate(Sums(n=100, sx=90, sy=100, sxx=90, syy=100, sxy=90, active=100), rate=True)
    >>> c = compare(a, b, 0.1, 0.05)
    >>> round(c.diff, 3), round(c.cs_low, 3), round(c.cs_high, 3), round(c.growth_needed, 2)
    (0.4, 0.216, 0.584, 5.58)
    """
    if control.value is None or treatment.value is None:
        return Comparison(mde=mde)
    diff = treatment.value - control.value
    rel = treatment.value / control.value - 1 if control.value else None
    if control.se is None or treatment.se is None or control.se_delta is None or treatment.se_delta is None:
        return Comparison(diff=diff, rel=rel, mde=mde)
    variance = control.se**2 + treatment.se**2
    df = welch(control, treatment)
    low, high, p = _sequential(diff, variance, df, mde, alpha)
    return Comparison(
        diff,
        math.hypot(control.se_delta, treatment.se_delta),
        math.sqrt(variance),
        df,
        rel,
        _relative_error(control, treatment),
        low,
        high,
        p,
        mde,
        _finite(detectable(variance, mde, alpha)) if mde and variance else None,
        _finite(growth(variance, mde, alpha)) if mde and variance else None,
    )


def welch(control: Estimate, treatment: Estimate) -> float | None:
    """Welch's degrees of freedom with Kish's effective sizes for n, each m−1 at least 0.5; None without any spread.

    ν = (V_A+V_B)² / (V_A²/(m_A−1) + V_B²/(m_B−1)). Welch, Biometrika 34 (1947).

    >>> a = Estimate(value=1.0, se=1.0, kish=11.0)
    >>> welch(a, a)
    20.0
    """
    parts = []
    for group in (control, treatment):
        if group.se is None or group.kish is None:
            return None
        parts.append((group.se**2, max(group.kish - 1, 0.5)))
    total = math.fsum(variance for variance, _ in parts)
    if total <= 0:
        return None
    return 1 / math.fsum((variance / total) ** 2 / df for variance, df in parts)


def _relative_error(control: Estimate, treatment: Estimate) -> float | None:
    """Standard error of R_B/R_A by the delta method: √(V_B + (R_B/R_A)²·V_A) / R_A."""
    if not control.value or treatment.value is None or control.se_delta is None or treatment.se_delta is None:
        return None
    ratio = treatment.value / control.value
    return math.hypot(treatment.se_delta, ratio * control.se_delta) / abs(control.value)


def _sequential(
    diff: float, variance: float, df: float | None, mde: float | None, alpha: float
) -> tuple[float | None, float | None, float | None]:
    """The interval and the p-value that hold at every look, with τ = 2·MDE²; p is at most alpha where 0 is outside."""
    if df is None or not mde or not variance:
        return None, None, None
    tau, se = 2 * mde * mde, math.sqrt(variance)
    half = student(multiplier(variance, tau, alpha), df) * se
    z = normal(diff / se, df)
    p = math.exp(min(0.0, math.log1p(tau / variance) / 2 - z * z * tau / (2 * (variance + tau))))
    return (diff - half, diff + half, p) if math.isfinite(half) else (None, None, p)


def detectable(variance: float, mde: float, alpha: float) -> float:
    """The difference that the interval excludes 0 for with 80 % power, were this the only look.

    >>> round(detectable(0.0005417659, 0.1, 0.05), 6)
    0.092779
    """
    return (multiplier(variance, 2 * mde * mde, alpha) + Z80) * math.sqrt(variance)


def growth(variance: float, mde: float, alpha: float) -> float:
    """The factor by which users must grow until `detectable` is the MDE (below 1 where it already is less).

    A variance falls as 1/users, and what is detectable in MDEs depends on V/MDE² alone and grows with it, so that there
    is one variance at which it is 1.

    >>> round(growth(0.0005417659, 0.1, 0.05), 4)
    0.8529
    """
    low, high = 1e-9, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if detectable(middle, 1.0, alpha) < 1 else (low, middle)
    ratio = math.sqrt(variance) / mde
    return ratio * ratio / ((low + high) / 2)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def rank(p: float, n: int) -> int:
    """Which of `n` ascending values is the `percentile_disc` of `p`: the smallest with cumulative share ≥ p, from 1.

    >>> rank(0.5, 4), rank(0.5, 5), rank(0.95, 20), rank(-0.1, 5), rank(1.2, 5)
    (2, 3, 19, 1, 5)
    """
    return min(max(math.ceil(p * n - 1e-9), 1), n)


def quantile_span(p: float, below: Sums) -> tuple[float, float] | None:
    """The shares between whose quantiles the quantile of `p` lies with 95 % confidence: p ± 1.96·s.

    `below` sums x = answers at most the quantile and y = answers, over the units with an answer. s is the delta error
    of that share, at least √(p(1−p)/N). Deng et al., arXiv 1803.06336, section 4.

    >>> low, high = quantile_span(0.5, Sums(n=100, sx=50, sy=100, sxx=50, syy=100, sxy=50, active=100))
    >>> round(low, 4), round(high, 4)
    (0.4015, 0.5985)
    """
    variance = ratio_variance(below)
    if variance is None:
        return None
    error = math.sqrt(max(variance, p * (1 - p) / below.sy))
    return p - Z95 * error, p + Z95 * error


def quantile_estimate(value: float | None, low: float | None, high: float | None, below: Sums) -> Estimate:
    """A group's quantile from its value and the values at the ends of `quantile_span`."""
    kish = below.sy**2 / below.syy if below.syy else None
    if value is None or low is None or high is None:
        return Estimate(value=value, kish=kish)
    se = (high - low) / (2 * Z95)
    return Estimate(value, se, se, low, high, kish)


def split(counts: Mapping[str, int], weights: Mapping[str, float]) -> Split:
    """Pearson's χ² of `counts` against relative `weights`; None without units, p None where there is one group.

    >>> test = split({"control": 14, "b": 10}, {"control": 0.5, "b": 0.5})
    >>> round(test.chi2, 6), test.df, round(test.p, 6)
    (0.666667, 1, 0.414216)
    """
    total, weight = sum(counts.get(group, 0) for group in weights), math.fsum(weights.values())
    df = max(len(weights) - 1, 0)
    if not total or weight <= 0:
        return Split(None, df, None)
    if any(counts.get(group, 0) and not share for group, share in weights.items()):
        return Split(None, df, 0.0)  # units where none can be
    expected = {group: total * share / weight for group, share in weights.items() if share}
    chi2 = math.fsum((counts.get(group, 0) - hope) ** 2 / hope for group, hope in expected.items())
    return Split(chi2, df, chi2_tail(chi2, df))


def chi2_tail(x: float, df: int) -> float | None:
    """P(χ² ≥ x) for whole degrees of freedom, from its finite series; None for df 0. Abramowitz, Stegun, 26.4.4–5.

    >>> round(chi2_tail(3.841458820694124, 1), 12), round(chi2_tail(5.991464547107979, 2), 12), chi2_tail(1.0, 0)
    (0.05, 0.05, None)
    """
    if df < 1:
        return None
    half = x / 2
    if df % 2:
        tail, term, step = math.erfc(math.sqrt(half)), math.exp(-half) * math.sqrt(half) / math.gamma(1.5), 0.5
    else:
        tail, term, step = math.exp(-half), math.exp(-half) * half, 1.0
    for _ in range((df - 1) // 2):
        tail, term, step = tail + term, term * half / (step + 1), step + 1
    return min(tail, 1.0)
