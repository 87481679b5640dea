"""The check of the split: the units per group against the configured shares (sample ratio mismatch).

Decides by a Bayes factor, which may be watched; Pearson's test stands beside it for information.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LIMIT = math.log(1_000)
"""A split is broken above it. A sound split exceeds it in at most one of 1,000 experiments, however often it is
watched."""
PRIOR = 100.0
"""Weight of the alternative's prior, in units: the smaller, the more it expects a large deviation."""
MIN_UNITS = 30
"""Least units of a stretch."""


@dataclass(frozen=True, slots=True)
class Split:
    """The units per group against the configured shares: `log_e` decides, Pearson's χ² is for information.

    `log_e` is infinite where units are in a group that has no share, None without units.
    """

    chi2: float | None
    df: int
    p: float | None
    log_e: float | None = None

    @property
    def broken(self) -> bool:
        """True where chance cannot explain the split."""
        return self.log_e is not None and self.log_e > LIMIT


def split(counts: Mapping[str, int], weights: Mapping[str, float]) -> Split:
    """Return the check of `counts` against relative `weights`; None without units, p None where there is one group.

    >>> check = split({"control": 14, "b": 10}, {"control": 0.5, "b": 0.5})
    >>> round(check.chi2, 6), check.df, round(check.p, 6), round(check.log_e, 6)
    (0.666667, 1, 0.414216, -0.042989)
    """
    total, weight = sum(counts.get(group, 0) for group in weights), math.fsum(weights.values())
    df = max(len(weights) - 1, 0)
    if not total or weight <= 0:
        return Split(None, df, None)
    if any(counts.get(group, 0) and not share for group, share in weights.items()):
        return Split(None, df, 0.0, math.inf)  # units in a group without share
    shares = {group: share / weight for group, share in weights.items() if share}
    chi2 = math.fsum((counts.get(group, 0) - total * share) ** 2 / (total * share) for group, share in shares.items())
    return Split(chi2, df, chi2_tail(chi2, df), log_evidence(counts, shares))


def log_evidence(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Logarithm of the Bayes factor of other shares than these (Dirichlet-multinomial), valid at every look.

    log e = lnΓ(100) − lnΓ(100+n) + Σ(lnΓ(100·w+n_g) − lnΓ(100·w) − n_g·ln w). Lindon, Malek, "Anytime-valid inference
    for multinomial count data", arXiv 2011.03567.

    >>> round(log_evidence({"a": 3}, {"a": 0.99, "b": 0.01}), 3)
    0.0
    >>> round(log_evidence({"a": 400, "b": 550}, {"a": 0.5, "b": 0.5}), 1)
    9.6
    """
    n = sum(counts.get(group, 0) for group in shares)
    terms = [math.lgamma(PRIOR), -math.lgamma(PRIOR + n)]
    for group, share in shares.items():
        units = counts.get(group, 0)
        terms += [math.lgamma(PRIOR * share + units), -math.lgamma(PRIOR * share), -units * math.log(share)]
    return math.fsum(terms)


def stretches(periods: Sequence[Mapping[str, int]]) -> list[tuple[int, int]]:
    """Return the stretches of consecutive periods, as (first, end), whose units were split by different shares.

    A boundary is drawn where two sets of shares explain the counts e^`LIMIT` times better than one, corrected for the
    choice among all boundaries (uniform priors on the shares).

    >>> stretches([{"a": 90, "b": 10}] * 5 + [{"a": 50, "b": 50}] * 5)
    [(0, 5), (5, 10)]
    >>> stretches([{"a": 50, "b": 50}] * 10)
    [(0, 10)]
    """
    groups = sorted({group for period in periods for group in period})
    running = [[0] * len(groups)]
    for period in periods:
        running.append([total + period.get(group, 0) for total, group in zip(running[-1], groups, strict=True)])

    def log_likelihood(first: int, end: int) -> float:
        counts = [after - before for before, after in zip(running[first], running[end], strict=True)]
        return math.fsum(math.lgamma(1 + n) for n in counts) - math.lgamma(len(counts) + sum(counts))

    def parted(first: int, end: int) -> list[tuple[int, int]]:
        base, prior = log_likelihood(first, end), math.lgamma(len(groups))
        inner = [at for at in range(first + 1, end) if _enough(running, first, at) and _enough(running, at, end)]
        gains = {at: log_likelihood(first, at) + log_likelihood(at, end) + prior - base for at in inner}
        best = max(gains, key=gains.__getitem__, default=first)
        if not gains or gains[best] - math.log(len(gains)) <= LIMIT:
            return [(first, end)]
        return [*parted(first, best), *parted(best, end)]

    return parted(0, len(periods)) if periods else []


def _enough(running: Sequence[Sequence[int]], first: int, end: int) -> bool:
    return sum(running[end]) - sum(running[first]) >= MIN_UNITS


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
