"""The difference of two groups: its interval, which holds however often an operator looks, and one fixed look.

Takes estimates and returns numbers; decides nothing. No group's spread counts as less than the pair's pooled one: a
small group that has not met its rare, slow answers yet would look certain.

Sources: the interval: Robbins' normal mixture, eq. 9 of Waudby-Smith et al., arXiv 2103.06476, and its p-value (mSPRT):
Johari et al., arXiv 1512.04922; degrees of freedom: Welch, Biometrika 34 (1947).
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

from lib.statistics.formulas import Z80, Estimate, normal, student

ALPHA = 0.05
"""Probability of a wrong difference in one experiment, shared among its treatments."""
WATCHED = 0.84
"""Share of the users that one look needs for 80 % power, at which a watched interval has that power: the difference may
show at any earlier look. By simulation 0.825 at an alpha of 0.05, 0.86 at 0.05/3."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One group minus another. `cs_low` to `cs_high` holds the truth at every look with confidence 1 − alpha.

    `detectable_now` is the difference that one look finds with 80 % power, `growth_needed` the factor by which users
    must grow until that is `mde`.
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


def multiplier(variance: float, tau: float, alpha: float) -> float:
    """Return the half-width, in standard errors, of an interval that holds at every look (Robbins' normal mixture).

    k = √((V+τ)/τ · ln((V+τ)/(V·α²))). Waudby-Smith et al., arXiv 2103.06476, eq. 9, with τ the mixture's variance.

    >>> round(multiplier(1.0, 2.0, 0.05), 4)
    3.2612
    """
    if tau == 0:  # also for an MDE whose square underflows
        return math.inf
    return math.sqrt((variance + tau) / tau * (math.log1p(tau / variance) - 2 * math.log(alpha)))


def compare(
    control: Estimate, treatment: Estimate, mde: float | None, alpha: float, *, pooled: bool = True
) -> Comparison:
    """Return a treatment minus control; `mde` is the smallest difference that matters, in the metric's own unit.

    `pooled`: no group's spread counts as less than the pair's (False for quantiles).

    >>> from lib.statistics.formulas import estimate
    >>> from lib.statistics.sums import Sums
    >>> a = estimate(Sums(n=100, sx=50, sy=100, sxx=50, syy=100, sxy=50, active=100), rate=True)
    >>> b = estimate(Sums(n=100, sx=90, sy=100, sxx=90, syy=100, sxy=90, active=100), rate=True)
    >>> c = compare(a, b, 0.1, 0.05)
    >>> round(c.diff, 3), round(c.cs_low, 3), round(c.cs_high, 3), round(c.growth_needed, 2)
    (0.4, 0.196, 0.604, 6.77)
    """
    if control.value is None or treatment.value is None:
        return Comparison(mde=mde)
    diff = treatment.value - control.value
    rel = treatment.value / control.value - 1 if control.value else None
    if control.se is None or treatment.se is None or control.se_delta is None or treatment.se_delta is None:
        return Comparison(diff=diff, rel=rel, mde=mde)
    first, second = _pooled(control, treatment) if pooled else (control, treatment)
    assert first.se is not None and second.se is not None
    variance = first.se**2 + second.se**2
    df = welch(first, second)
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


def look_once(numbers: Comparison, alpha: float) -> Comparison:
    """Return the same difference with the interval of one fixed look, at a two-sided error probability `alpha`.

    >>> once = look_once(Comparison(diff=0.1, se=0.04, df=1e9), 0.05)
    >>> round(once.cs_low, 4), round(once.cs_high, 4)
    (0.0216, 0.1784)
    """
    if numbers.diff is None or numbers.df is None or not numbers.se:
        return replace(numbers, cs_low=None, cs_high=None, p_seq=None)
    half = student(NormalDist().inv_cdf(1 - alpha / 2), numbers.df) * numbers.se
    low, high = (numbers.diff - half, numbers.diff + half) if math.isfinite(half) else (None, None)
    return replace(numbers, cs_low=low, cs_high=high, p_seq=None)


def _pooled(control: Estimate, treatment: Estimate) -> tuple[Estimate, Estimate]:
    """Return both groups with at least the pooled spread: V_g = max(V_g, s/m_g), s = (V_A·m_A² + V_B·m_B²)/(m_A+m_B).

    >>> sure, unsure = Estimate(se=0.0, kish=30.0), Estimate(se=0.1, kish=90.0)
    >>> [round(group.se, 4) for group in _pooled(sure, unsure)]
    [0.15, 0.1]
    """
    groups = [(group, group.se or 0.0, group.kish or 0.0) for group in (control, treatment)]
    spread = math.fsum((se * m) ** 2 for _, se, m in groups) / math.fsum(m for *_, m in groups)
    first, second = (replace(group, se=max(se, math.sqrt(spread / m))) for group, se, m in groups)
    return first, second


def welch(control: Estimate, treatment: Estimate) -> float | None:
    """Welch's degrees of freedom with effective units for n, each m−1 at least 0.5; None without any spread.

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
    """Return interval and p-value that hold at every look, with τ = 2·MDE²; p is at most alpha where 0 is outside."""
    if df is None or not mde or not variance:
        return None, None, None
    tau, se = 2 * mde * mde, math.sqrt(variance)
    half = student(multiplier(variance, tau, alpha), df) * se
    z = normal(diff / se, df)
    p = math.exp(min(0.0, math.log1p(tau / variance) / 2 - z * z * tau / (2 * (variance + tau))))
    return (diff - half, diff + half, p) if math.isfinite(half) else (None, None, p)


def detectable(variance: float, mde: float, alpha: float) -> float:
    """Return the difference that one look finds with 80 % power.

    >>> round(detectable(0.0005417659, 0.1, 0.05), 6)
    0.092779
    """
    return (multiplier(variance, 2 * mde * mde, alpha) + Z80) * math.sqrt(variance)


def growth(variance: float, mde: float, alpha: float) -> float:
    """Return the factor by which users must grow until `detectable` is the MDE (below 1 where it already is less).

    A variance falls as 1/users. The detectable difference in MDEs depends on V/MDE² alone and grows with it, so that it
    is 1 at exactly one variance.

    >>> round(growth(0.0005417659, 0.1, 0.05), 4)
    0.8529
    """
    ratio = math.sqrt(variance) / mde
    return ratio * ratio / _enough(alpha)


@cache
def _enough(alpha: float) -> float:
    """Return the variance at which the detectable difference equals an MDE of 1."""
    low, high = 1e-9, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if detectable(middle, 1.0, alpha) < 1 else (low, middle)
    return (low + high) / 2


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
