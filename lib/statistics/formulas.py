"""The estimate of one group from its sums, and the transformations that every interval uses.

The unit is the user, never the answer: n counts units, and x and y are the amounts that one unit adds to the numerator
and the denominator of a metric. Returns None for a number that cannot be computed. Knows no second group: that is
`differences`.

Sources: delta method for a ratio of means over clusters: Deng, Knoblich, Lu, "Applying the Delta Method in Metric
Analytics", KDD 2018, arXiv 1803.06336; small samples: Wallace, Annals of Mathematical Statistics 30 (1959); effective
size: Kish, "Survey Sampling", 1965; Wilson, JASA 22 (1927).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from lib.statistics.sums import Sums

Z95 = NormalDist().inv_cdf(0.975)
Z80 = NormalDist().inv_cdf(0.8)
_ROUNDING = 1e-13
"""A spread is a difference of larger terms. Below this share of them it is a rounding error and counts as zero."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A group's value with its 95 % interval (for one look, at one group).

    `se_delta` is the delta method alone, `se` has the floor of a rate; `kish` is the number of effective units.
    """

    value: float | None = None
    se_delta: float | None = None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    kish: float | None = None


def estimate(sums: Sums, *, rate: bool) -> Estimate:
    """Return a group's value Σx/Σy. `rate`: x counts 0/1 events among y, so that no spread is below a binomial's.

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
    """Wilson's interval of a share among `n` (which may be fractional) at `z` standard errors. Wilson 1927.

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
    """Return the Student quantile for the normal quantile `z`, by Wallace's transformation; inf on overflow.

    t = √(ν·(exp((z·(8ν+3)/(8ν+1))²/ν) − 1)). Wallace 1959; inverse of `normal`.

    >>> round(student(Z95, 9), 4), round(student(Z95, 1e9), 6)
    (2.2633, 1.959964)
    """
    exponent = (z * (8 * df + 3) / (8 * df + 1)) ** 2 / df
    return math.sqrt(df * math.expm1(exponent)) if exponent < 700 else math.inf


def normal(t: float, df: float) -> float:
    """Return the normal quantile that corresponds to the Student quantile `t`. Wallace 1959.

    >>> round(normal(student(2.5, 7), 7), 12)
    2.5
    """
    return (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df))
