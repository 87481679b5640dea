"""The net preference of testers who compared two answers, from their votes. Pure; knows neither events nor SQL.

Each tester is a unit: x sums +1 for every vote for the treatment and −1 for every vote for control, y counts the votes.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from lib.statistics.differences import multiplier
from lib.statistics.formulas import ratio_variance, student
from lib.statistics.sums import Sums

Outcome = Literal["win", "loss", "tie", "both_bad"]
"""A vote from the treatment's point of view."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The last vote on one comparison between control and `treatment`. `left`: the preferred answer stood left."""

    unit: str
    treatment: str
    outcome: Outcome
    left: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """The votes on one treatment and the net preference with its interval, which holds at every look."""

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


def preference(votes: Iterable[Vote], mde: float, alpha: float) -> Preference:
    """The net preference over these votes, all of them on one treatment.

    >>> found = preference([Vote(f"u{n % 7}", "B", "win" if n % 3 else "loss") for n in range(42)], 0.2, 0.05)
    >>> found.units, found.votes, round(found.net, 3), round(found.cs_low, 3)
    (7, 42, 0.333, -0.442)
    """
    given = list(votes)
    counts = Counter(vote.outcome for vote in given)
    wins, losses = counts["win"], counts["loss"]
    decided = wins + losses
    left = sum(vote.left for vote in given if vote.outcome in ("win", "loss"))
    sums = _summed(given)
    about = Preference(
        sums.n,
        len(given),
        wins,
        losses,
        counts["tie"],
        counts["both_bad"],
        wins / decided if decided else None,
        left / decided if decided else None,
        mde,
    )
    return _with_interval(about, sums, alpha)


def _summed(votes: Iterable[Vote]) -> Sums:
    worth = {"win": 1, "loss": -1}
    units: dict[str, tuple[int, int]] = {}
    for vote in votes:
        x, y = units.get(vote.unit, (0, 0))
        units[vote.unit] = x + worth.get(vote.outcome, 0), y + 1
    pairs = units.values()
    return Sums(
        len(units),
        sum(x for x, _ in pairs),
        sum(y for _, y in pairs),
        sum(x * x for x, _ in pairs),
        sum(y * y for _, y in pairs),
        sum(x * y for x, y in pairs),
        len(units),
    )


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
