"""The error rate and power of the readout of comparisons, watched after every vote.

Owns simulated testers who compare. Each has a win share that varies around the common one, a fifth of the votes tie,
and new testers arrive while earlier ones still vote. The readout's own formulas and limits judge the votes. No answer
is generated, no event is stored, no SQL is run.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.planning.power import MODERATE, STRONG, TIES
from lib.readout.preferences import MDE, MIN_VOTES, verdict_on
from lib.statistics.differences import ALPHA
from lib.statistics.preferences import preference
from lib.statistics.sums import Sums, VoteSums

PEOPLE, VOTES = (10, 20, 30, 50), (10, 20)
"""The numbers of testers, and of each one's votes, that a check plays."""
WIN_SHARE = 0.65
"""The share of decided votes that the better group wins."""
TASTES: Mapping[str, float] = {"moderately": MODERATE, "strongly": STRONG}
"""Spread of testers' own win shares: pseudo-counts of a Beta distribution."""
PAUSE = 3.0
"""Pause between two votes of a tester, in arrivals of the next tester."""
Outcome = str | None
"""The first verdict that named a winner or a loser."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A number of testers, each with the same number of votes."""

    people: int
    votes: int


@dataclass(frozen=True, slots=True)
class PanelResults:
    """The results of one panel and kind of taste: experiments without a preference, and with one."""

    without: list[Outcome]
    preferred: list[Outcome]


def check(
    seed: int, runs: int, mde: float = MDE, alpha: float = ALPHA, progress: Callable[[int], object] = lambda _: None
) -> dict[tuple[str, Panel], PanelResults]:
    """Play `runs` experiments without a preference and as many with one, for every taste and panel."""
    panels = [Panel(people, votes) for people in PEOPLE for votes in VOTES]
    results = {(taste, panel): PanelResults([], []) for taste in TASTES for panel in panels}
    for number in range(runs):
        for (taste, panel), played in results.items():
            chance = random.Random(f"{seed} {number} {taste} {panel}")
            played.without.append(watch(chance, panel, 0.5, TASTES[taste], mde, alpha))
            played.preferred.append(watch(chance, panel, WIN_SHARE, TASTES[taste], mde, alpha))
        progress(number + 1)
    return results


def watch(
    chance: random.Random, panel: Panel, win_share: float, tastes: float, mde: float = MDE, alpha: float = ALPHA
) -> Outcome:
    """Return the first verdict of one experiment that names a winner or a loser, with a readout after every vote."""
    shares = [chance.betavariate(win_share * tastes, (1 - win_share) * tastes) for _ in range(panel.people)]
    running = _Running(panel.people)
    for tester in _order(chance, panel):
        worth = 0 if chance.random() < TIES else 1 if chance.random() < shares[tester] else -1
        running.add(tester, worth)
        if running.sy >= MIN_VOTES:
            verdict = verdict_on(preference(running.votes(), mde, alpha))
            if verdict in ("better", "worse"):
                return verdict
    return None


def _order(chance: random.Random, panel: Panel) -> list[int]:
    """Return the testers in the order of their votes: one arrives at each moment, and votes at random moments after."""
    moments = []
    for tester in range(panel.people):
        moment = float(tester)
        for _ in range(panel.votes):
            moment += chance.expovariate(1 / PAUSE)
            moments.append((moment, tester))
    return [tester for _, tester in sorted(moments)]


class _Running:
    """The running sums over testers."""

    def __init__(self, people: int) -> None:
        self._x, self._y = [0] * people, [0] * people
        self.n = self.decided = self.sx = self.sy = self.sxx = self.syy = self.sxy = 0

    def add(self, tester: int, worth: int) -> None:
        x, y = self._x[tester], self._y[tester]
        self._x[tester], self._y[tester] = x + worth, y + 1
        self.n += y == 0
        self.decided += worth != 0
        self.sx, self.sy = self.sx + worth, self.sy + 1
        self.sxx += (x + worth) ** 2 - x * x
        self.syy += 2 * y + 1
        self.sxy += (x + worth) * (y + 1) - x * y

    def votes(self) -> VoteSums:
        return VoteSums(Sums(self.n, self.sx, self.sy, self.sxx, self.syy, self.sxy, self.n), self.decided, 0, 0)
