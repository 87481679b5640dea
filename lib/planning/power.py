"""The power of a readout, before the first tester. Pure.

Takes the variance that the testers' votes will have, and asks the readout's own interval. A difference may show at any
look on the way: a watched interval has the power that one look has with `1 / WATCHED` times the testers. Agrees with
the simulations (`demo.soundness`, `demo.comparers`) within a few points where the chance is a half or more; below that
it is too low.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

from lib.readout.preferences import MIN_TESTERS, MIN_VOTES
from lib.readout.verdicts import MIN_UNITS
from lib.statistics.differences import WATCHED, multiplier
from lib.statistics.formulas import student

TIES = 0.2
"""Share of votes without a winner."""
MODERATE, STRONG = 16.0, 0.6
"""Moderate and strong differences of taste: each tester's own share of decided votes for the better group is Beta
distributed with this many pseudo-counts (fewer: stronger). With 16, two thirds of the testers lie within 12 points."""
POWER = 0.8
"""The chance that a plan requires."""
MAX_TESTERS = 10_000_000
"""The largest number of testers that the search tries."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class ABTest:
    """A test for a difference in satisfaction: control's share of thumbs up, the treatment's lift over it, and the
    smallest difference that matters.

    `spread` is the variance of a user's ratings relative to that of one rating by each, `shares` are those of control
    and treatment.
    """

    baseline: float
    lift: float
    mde: float
    alpha: float
    spread: float = 1.0
    shares: tuple[float, float] = (0.5, 0.5)


def ab_power(users: float, test: ABTest) -> float:
    """Return the chance that a watched test finds its lift with `users`, divided by the groups' shares.

    >>> test = ABTest(baseline=0.6, lift=0.1, mde=0.1, alpha=0.05)
    >>> round(ab_power(1_270, test), 2), ab_power(30, test)
    (0.83, 0.0)
    """
    if min(test.shares) * users < MIN_UNITS:
        return 0.0
    variance, df = _ab(users / WATCHED, test)
    return _reaches(test.lift, variance, student(multiplier(variance, 2 * test.mde * test.mde, test.alpha), df))


def planned_power(users: float, test: ABTest) -> float:
    """Return the chance with planned users: by the planned look or the watched interval, each at half of alpha.

    >>> round(planned_power(1_000, ABTest(baseline=0.65, lift=0.1, mde=0.1, alpha=0.05)), 2)
    0.89
    """
    if min(test.shares) * users < MIN_UNITS:
        return 0.0
    variance, df = _ab(users, test)
    once = _reaches(test.lift, variance, student(_NORMAL.inv_cdf(1 - test.alpha / 4), df))
    return max(once, ab_power(users, replace(test, alpha=test.alpha / 2)))


def comparison_power(
    people: float, votes: float, win_share: float, mde: float, alpha: float, *, tastes: float
) -> float:
    """Return the chance that watched comparisons find a win share, where each of `people` gives `votes`.

    `tastes` are the pseudo-counts of the testers' own win shares (see `MODERATE`).

    >>> [round(comparison_power(n, 10, 0.65, 0.2, 0.05, tastes=MODERATE), 2) for n in (4, 20, 30, 50)]
    [0.0, 0.52, 0.84, 0.99]
    """
    if people < MIN_TESTERS or people * votes < MIN_VOTES:
        return 0.0
    net, variance = net_preference(votes, win_share, tastes)
    variance *= WATCHED / people
    return _reaches(net, variance, student(multiplier(variance, 2 * mde * mde, alpha), people - 1))


def net_preference(votes: float, win_share: float, tastes: float) -> tuple[float, float]:
    """Return the net preference of a win share, and the variance of one tester's net preference with `votes`.

    A tester's own net preference is (1 − ties)(2·share − 1), of which every vote is a draw of +1, 0 or −1.

    >>> net, variance = net_preference(10, 0.65, MODERATE)
    >>> round(net, 2), round(variance, 4)
    (0.24, 0.1051)
    """
    decided = 1 - TIES
    net = decided * (2 * win_share - 1)
    between = 4 * decided**2 * win_share * (1 - win_share) / (tastes + 1)
    within = decided - net**2 - between
    return net, between + within / votes


def win_share(baseline: float, lift: float) -> float:
    """Return the win share of a group whose satisfaction is higher by `lift`.

    That is the treatment's share of the questions on which exactly one of the two answers pleases.

    >>> round(win_share(0.65, 0.1), 3), win_share(0.5, 0.0)
    (0.618, 0.5)
    """
    treatment = baseline + lift
    wins, losses = treatment * (1 - baseline), baseline * (1 - treatment)
    return wins / (wins + losses)


def fewest(power: Callable[[int], float], smallest: int = 1) -> int | None:
    """Return the fewest testers with whom the chance is 80 %; None where it takes more than ten million.

    >>> fewest(lambda n: n / 1_000), fewest(lambda n: 0.5)
    (800, None)
    """
    high = smallest
    while power(high) < POWER:
        high *= 2
        if high > MAX_TESTERS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def _ab(users: float, test: ABTest) -> tuple[float, float]:
    """Return the variance of the difference, and Welch's degrees of freedom."""
    parts = [
        (share * users, rate * (1 - rate) * test.spread / (share * users))
        for share, rate in zip(test.shares, (test.baseline, test.baseline + test.lift), strict=True)
    ]
    variance = math.fsum(part for _, part in parts)
    return variance, 1 / math.fsum((part / variance) ** 2 / max(n - 1, 0.5) for n, part in parts)


def _reaches(difference: float, variance: float, errors: float) -> float:
    """Return the chance that an estimate of the difference lies more than `errors` standard errors from 0, on its
    side."""
    if not math.isfinite(errors):
        return 0.0
    return _NORMAL.cdf(abs(difference) / math.sqrt(variance) - errors)
