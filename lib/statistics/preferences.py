"""The net preference of testers who compared two answers, from the sums of their votes. Pure; knows neither events nor
SQL.

Each tester is a unit: x sums +1 for every vote for the treatment and −1 for every vote for control, y counts the votes.
"""

import math
from dataclasses import dataclass, replace

from lib.statistics.differences import multiplier
from lib.statistics.formulas import ratio_variance, student
from lib.statistics.sums import Sums, VoteSums


@dataclass(frozen=True, slots=True)
class Preference:
    """The votes on one treatment and the net preference with its interval, which holds at every look.

    `win_share` and `left_share` are shares of the decided votes: those that the treatment won, and those whose left
    answer won.
    """

    units: int
    votes: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    win_share: float | None
    left_share: float | None
    mde: float
    net: float | None = None
    se: float | None = None
    df: float | None = None
    cs_low: float | None = None
    cs_high: float | None = None


def preference(votes: VoteSums, mde: float, alpha: float) -> Preference:
    """Return the net preference for a treatment, which is the second group of these votes.

    >>> votes = VoteSums(Sums(n=7, sx=14, sy=42, sxx=28, syy=252, sxy=84, active=7), 42, 0, 20)
    >>> found = preference(votes, 0.2, 0.05)
    >>> found.units, found.wins, found.losses, round(found.net, 3), round(found.cs_low, 3)
    (7, 28, 14, 0.333, -0.442)
    """
    sums, decided = votes.sums, votes.decided
    count, net = round(sums.sy), round(sums.sx)
    wins, losses = (decided + net) // 2, (decided - net) // 2
    about = Preference(
        sums.n,
        count,
        wins,
        losses,
        count - decided - votes.both_bad,
        votes.both_bad,
        wins / decided if decided else None,
        votes.left_won / decided if decided else None,
        mde,
    )
    return _with_interval(about, sums, alpha)


def _with_interval(about: Preference, sums: Sums, alpha: float) -> Preference:
    """R ± k_t·√V with ν = m − 1, V at least (d − r²)/Σy, d = (wins+losses+4)/(Σy+4), r = Σx/(Σy+4)."""
    if not sums.sy:
        return about
    net, df = sums.sx / sums.sy, max(sums.kish - 1, 0.5)
    delta = ratio_variance(sums)
    if delta is None:
        return replace(about, net=net, df=df)
    decided, centre = (about.wins + about.losses + 4) / (sums.sy + 4), sums.sx / (sums.sy + 4)
    variance = max(delta, (decided - centre * centre) / sums.sy)
    half = student(multiplier(variance, 2 * about.mde**2, alpha), df) * math.sqrt(variance)
    low, high = (net - half, net + half) if math.isfinite(half) else (None, None)
    return replace(about, net=net, se=math.sqrt(variance), df=df, cs_low=low, cs_high=high)
