"""How often the readout is wrong, and how often it finds what is there, when somebody looks after every single rating.

Owns experiments that are played in memory: the same visitors as `demo.visitors` has them, assigned by the real SDK,
and after every rating the same `readout` and `analysis` that the Results page and the tool show, with all their rules.
What is left out is the way there: no answer is generated, no event is stored, no SQL is run.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lib.demo.behaviour import SATISFIED, acts, visitor
from lib.domain.rating import Rating
from lib.experiments.definitions import Definition
from lib.experiments.evaluator import Experiments
from lib.readout.verdicts import EFFECTS, MIN_UNITS, read
from lib.statistics.sums import Scope, Tally, UnitSums

SEEDS = 1_000_000
"""Distance between the seeds of two checks: so many experiments have visitors of their own."""
METRIC = "satisfaction"
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Watched:
    """One experiment, watched to its end: the first verdict that named a winner or a loser, by the page and by a naive
    z-test that counts every rating as a person and every look as the only one; whether the page ever called the split
    broken; how often it was looked at.
    """

    verdict: str | None
    naive: str | None
    broken: bool
    looks: int


@dataclass(frozen=True, slots=True)
class Soundness:
    """What came of all experiments: those without a lift, and those with one."""

    without: tuple[Watched, ...]
    lifted: tuple[Watched, ...]


def check(
    experiments: Experiments, name: str, users: int, seed: int, lift: float, runs: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Soundness:  # fmt: skip
    """Play `runs` experiments without a lift and as many with one; `progress` hears how many are over.

    Raises KeyError: there is no experiment of this name.
    """
    definition = judged_by_satisfaction(experiments.definitions[name])
    found: list[Watched] = []
    for number in range(2 * runs):
        found.append(watch(experiments, definition, users, seed * SEEDS + number, lift if number >= runs else 0.0))
        progress(len(found))
    return Soundness(tuple(found[:runs]), tuple(found[runs:]))


def judged_by_satisfaction(definition: Definition) -> Definition:
    """The experiment with thumbs as what decides, whatever it is meant to be decided by."""
    return replace(definition, primary=METRIC, guardrails=())


def smallest_effect(definition: Definition) -> float:
    """What the definition calls the smallest difference that matters, of visitors as satisfied as ours."""
    effect = definition.mde.get(METRIC) or EFFECTS[METRIC]
    return effect.size * (SATISFIED if effect.relative else 1)


def watch(experiments: Experiments, definition: Definition, users: int, seed: int, lift: float) -> Watched:
    """One experiment, looked at after every rating."""
    looks, broken, verdict, naive = 0, False, None, None
    for sums in _ratings(experiments, definition, users, seed, lift):
        looks += 1
        if verdict is None:
            said = read(_tally(definition, sums), definition, None).verdict
            broken = broken or said == "broken"
            verdict = said if said in ("better", "worse") else None
        naive = naive or _naively(definition, sums)
    return Watched(verdict, naive, broken, looks)


@dataclass(slots=True)
class _Group:
    """The running sums of one group over its visitors, each with thumbs up and ratings so far."""

    n: int = 0
    active: int = 0
    sx: int = 0
    sy: int = 0
    sxx: int = 0
    syy: int = 0
    sxy: int = 0
    units: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, number: int, up: int, rated: int) -> None:
        """A visitor's thumbs up and ratings become so many more (or fewer)."""
        x, y = self.units.get(number, (0, 0))
        new_x, new_y = self.units[number] = x + up, y + rated
        self.sx, self.sy = self.sx + up, self.sy + rated
        self.sxx += new_x * new_x - x * x
        self.syy += new_y * new_y - y * y
        self.sxy += new_x * new_y - x * y
        self.active += (new_y > 0) - (y > 0)

    def sums(self) -> UnitSums:
        """The same as a store has them."""
        return UnitSums(self.n, self.sx, self.sy, self.sxx, self.syy, self.sxy, self.active)


def _ratings(
    experiments: Experiments, definition: Definition, users: int, seed: int, lift: float
) -> Iterator[Mapping[str, _Group]]:
    """All groups after each rating that is given, changed or taken back, in the order of time."""
    groups = {group.name: _Group() for group in definition.groups}
    treatment = next(name for name in groups if name != definition.control)
    moments: list[tuple[float, int, int, str, tuple[int, int] | None]] = []
    for number in range(users):
        met = experiments.assign(visitor(seed, number), definition.name).group
        if met is not None:
            stay = _stay(seed, number, lift if met == treatment else 0.0)
            moments += [(time, number, place, met, change) for place, (time, change) in enumerate(stay)]
    for _, number, _, met, change in sorted(moments):
        if change is None:
            groups[met].n += 1
        else:
            groups[met].add(number, *change)
            yield groups


def _stay(seed: int, number: int, lift: float) -> Iterator[tuple[float, tuple[int, int] | None]]:
    """When a visitor meets the experiment (None) and votes (by how much thumbs up and ratings change)."""
    time = float(number)
    yield time, None
    for act in acts(seed, number, lift):
        time += act.pause
        before = 0, 0
        for vote in act.votes:
            after = _worth(vote)
            yield time, (after[0] - before[0], after[1] - before[1])
            before = after


def _worth(vote: Rating | None) -> tuple[int, int]:
    return (0, 0) if vote is None else (int(vote == "satisfaction"), 1)


def _tally(definition: Definition, groups: Mapping[str, _Group]) -> Tally:
    sums = {name: group.sums() for name, group in groups.items()}
    exposed = {name: UnitSums(one.n, 0, 0, 0, 0, 0, 0) for name, one in sums.items()}
    return Tally(Scope(definition.name, simulated=True), {METRIC: sums, "answers_per_user": exposed}, {})


def _naively(definition: Definition, groups: Mapping[str, _Group]) -> str | None:
    """What |z| > 1.96 of two proportions says, from as many visitors on as the page needs."""
    control = groups[definition.control]
    for name, group in groups.items():
        if name == definition.control or min(control.active, group.active) < MIN_UNITS:
            continue
        pooled = (control.sx + group.sx) / (control.sy + group.sy)
        error = math.sqrt(pooled * (1 - pooled) * (1 / control.sy + 1 / group.sy))
        diff = group.sx / group.sy - control.sx / control.sy
        if abs(diff) > Z95 * error > 0:
            return "better" if diff > 0 else "worse"
    return None
