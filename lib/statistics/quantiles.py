"""Quantiles over answers whose uncertainty is that of units. Pure; knows neither SQL nor the values themselves."""

import math

from lib.statistics.formulas import Z95, Estimate, ratio_variance
from lib.statistics.sums import Sums


def rank(p: float, n: int) -> int:
    """Return the rank, from 1, of the `percentile_disc` of `p` among `n` ascending values: the smallest with cumulative
    share ≥ p.

    >>> rank(0.5, 4), rank(0.5, 5), rank(0.95, 20), rank(-0.1, 5), rank(1.2, 5)
    (2, 3, 19, 1, 5)
    """
    return min(max(math.ceil(p * n - 1e-9), 1), n)


def quantile_span(p: float, below: Sums) -> tuple[float, float] | None:
    """Return two shares, p ± 1.96·s: the quantile of `p` lies between their quantiles with 95 % confidence.

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
    """Return a group's quantile from its value and the values at the ends of `quantile_span`."""
    kish = below.sy**2 / below.syy if below.syy else None
    if value is None or low is None or high is None:
        return Estimate(value=value, kish=kish)
    se = (high - low) / (2 * Z95)
    return Estimate(value, se, se, low, high, kish)
