"""The readout's error rate and power under an operator who watches all the time.

Plays experiments in memory: the visitors of `drawn_visitors`, assigned at random, and judged as they arrive by the
formulas and limits of the readout. Generates no answer, stores no event and runs no SQL.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lib.demo.behaviour import SATISFIED, lifted
from lib.demo.drawn_visitors import FAILS, DrawnAnswer, DrawnVisitors
from lib.experiments.definitions import METRICS, Definition, Effect
from lib.readout.verdicts import EFFECT, EFFECTS, MIN_UNITS, UP
from lib.readout.verdicts import RATES as SHARES
from lib.statistics.differences import ALPHA, Comparison, compare, look_once
from lib.statistics.formulas import Z95, estimate
from lib.statistics.splits import split
from lib.statistics.sums import Sums

SPLITS = (0.5, 0.1, 0.05)
"""Shares of the treatment at which every experiment is played."""
ALWAYS = ("satisfaction", "error_rate", "response_time")
"""Metrics that are played whatever the definition names."""
EVERY = 0.02
"""The readout is computed after each answer at first, later once this share of answers has come since the last look."""
Outcome = str | None
"""The first verdict that named a winner or a loser."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on one metric of one experiment: by the watched interval, with planned users, and, for satisfaction,
    by a naive z-test.

    The naive test counts every rating as a person and every look as the only one. `harmed_p` is True where at any look
    an ordinary z-test on the same standard error called the treatment worse (p < 0.05).
    """

    watched: Outcome = None
    planned: Outcome = None
    naive: Outcome = None
    harmed_p: bool = False

    def harmed(self, metric: str) -> bool:
        """Return True where the watched interval contains only harmful differences."""
        return self.watched == ("less" if metric in UP else "more")


@dataclass(frozen=True, slots=True)
class Watched:
    """One experiment, watched to its end."""

    metrics: Mapping[str, Judged]
    broken: bool
    looks: int


@dataclass(frozen=True, slots=True)
class Soundness:
    """The experiments without a difference and those with one, by the treatment's share."""

    without: Mapping[float, Sequence[Watched]]
    lifted: Mapping[float, Sequence[Watched]]


def check(
    definition: Definition,
    users: int,
    seed: int,
    lift: float,
    runs: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Soundness:
    """Play `runs` experiments without a difference and as many with one, at every split.

    `lift` is the difference in satisfaction; every other metric gets its smallest difference that matters, for the
    worse. `progress` receives the number of runs done.
    """
    without: dict[float, list[Watched]] = {share: [] for share in SPLITS}
    with_lift: dict[float, list[Watched]] = {share: [] for share in SPLITS}
    for number in range(runs):
        visitors = DrawnVisitors.draw(users, f"{seed} {number}")
        for share in SPLITS:
            without[share].append(watch(definition, visitors, share, None))
            with_lift[share].append(watch(definition, visitors, share, lift))
        progress(number + 1)
    return Soundness(without, with_lift)


def played_metrics(definition: Definition) -> tuple[str, ...]:
    """Return the metrics that are judged: those of the definition, and `ALWAYS`."""
    names = {*ALWAYS, definition.primary, *definition.guardrails}
    return tuple(name for name in METRICS if name in names)


def smallest_effect(definition: Definition) -> float:
    """Return the smallest difference in satisfaction that matters by the definition."""
    effect = effect_on(definition, "satisfaction")
    return effect.size * (SATISFIED if effect.relative else 1)


def effect_on(definition: Definition, metric: str) -> Effect:
    """Return the smallest difference of a metric that matters."""
    return definition.mde.get(metric) or EFFECTS.get(metric, EFFECT)


@dataclass(slots=True)
class _Running:
    """The running sums of one metric and group over its visitors."""

    n: int = 0
    active: int = 0
    sx: float = 0.0
    sy: float = 0.0
    sxx: float = 0.0
    syy: float = 0.0
    sxy: float = 0.0
    units: dict[int, tuple[float, float]] = field(default_factory=dict)

    def add(self, unit: int, more_x: float, more_y: float) -> None:
        x, y = self.units.get(unit, (0.0, 0.0))
        new_x, new_y = self.units[unit] = x + more_x, y + more_y
        self.sx, self.sy = self.sx + more_x, self.sy + more_y
        self.sxx += new_x * new_x - x * x
        self.syy += new_y * new_y - y * y
        self.sxy += new_x * new_y - x * y
        self.active += (new_y > 0) - (y > 0)

    def sums(self) -> Sums:
        return Sums(self.n, self.sx, self.sy, self.sxx, self.syy, self.sxy, self.active)


def watch(definition: Definition, visitors: DrawnVisitors, share: float, lift: float | None) -> Watched:
    """Play one experiment at this share of the treatment, with a difference or (None) without."""
    played = _Experiment(definition, visitors, share, lift)
    next_look = 0.0
    for place, (answer, arrived) in enumerate(zip(visitors.answers, visitors.arrivals, strict=True), 1):
        played.arrive(arrived)
        played.add(answer)
        if place >= next_look or place == len(visitors.answers):
            next_look = place * (1 + EVERY)
            played.look()
    return played.watched()


class _Experiment:
    """One experiment while it runs: the sums by metric of both groups, and the verdicts so far."""

    def __init__(self, definition: Definition, visitors: DrawnVisitors, share: float, lift: float | None) -> None:
        metrics = played_metrics(definition)
        self._share, self._lift = share, lift
        self._effects = {name: effect_on(definition, name) for name in metrics}
        self._groups = {name: (_Running(), _Running()) for name in metrics}  # control, treatment
        self._treated = [draw < share for draw in visitors.lots]  # by visitor
        self._visitors, self._arrived = [0, 0], 0
        self._verdicts = {name: Judged() for name in metrics}
        self._numbers: dict[str, Comparison] = {}
        self._broken, self._looks = False, 0

    def arrive(self, visitors: int) -> None:
        """Count the visitors who have arrived since the last call; `visitors` is the total so far."""
        for visitor in range(self._arrived, visitors):
            treated = self._treated[visitor]
            self._visitors[treated] += 1
            for name, groups in self._groups.items():
                groups[treated].n += 1
                if name == "answers_per_user":
                    groups[treated].add(visitor, 0, 1)
        self._arrived = visitors

    def add(self, answer: DrawnAnswer) -> None:
        """Add an answer to every metric."""
        treated = self._treated[answer.visitor]
        for name, groups in self._groups.items():
            worth = _worth(name, answer, self._lift if treated else None, self._effects)
            if worth is not None:
                groups[treated].add(answer.visitor, *worth)

    def look(self) -> None:
        """Judge the split and every metric as they are now."""
        self._looks += 1
        visitors = {"control": self._visitors[0], "treatment": self._visitors[1]}
        shares = {"control": 1 - self._share, "treatment": self._share}
        self._broken = self._broken or split(visitors, shares).broken
        for name, (control, treatment) in self._groups.items():
            pair = control.sums(), treatment.sums()
            self._verdicts[name] = _looked(self._verdicts[name], name, pair, self._effects[name], self._numbers)

    def watched(self) -> Watched:
        """Return the verdicts after the last look, the planned one included."""
        verdicts = {name: _planned(verdict, name, self._numbers) for name, verdict in self._verdicts.items()}
        return Watched(verdicts, self._broken, self._looks)


def _worth(
    metric: str, answer: DrawnAnswer, lift: float | None, effects: Mapping[str, Effect]
) -> tuple[float, float] | None:
    """Return the amounts that an answer adds to a metric; None where it adds nothing."""
    if metric == "error_rate":
        return float(answer.luck < _worse(FAILS, effects[metric], lift)), 1.0
    if metric == "answers_per_user":
        return 1.0, 0.0
    liked = answer.mood < (answer.share if lift is None else lifted(answer.share, lift))
    if metric == "satisfaction":
        return (float(liked), 1.0) if answer.rates else None
    if metric in ("rating_rate", "up_per_answer", "down_per_answer"):
        counts = {"rating_rate": True, "up_per_answer": liked, "down_per_answer": not liked}[metric]
        return float(answer.rates and counts), 1.0
    if answer.luck < FAILS and metric != "time_to_first_token":
        return None
    value = {"completion_tokens": answer.tokens, "cost_per_answer": answer.tokens / 1e6}.get(metric, answer.seconds)
    return _worse(value, effects[metric], lift), 1.0


def _worse(value: float, effect: Effect, lift: float | None) -> float:
    """Return the value made worse by the smallest difference that matters."""
    if lift is None:
        return value
    return value * (1 + effect.size) if effect.relative else value + effect.size


def _looked(
    before: Judged, metric: str, pair: tuple[Sums, Sums], effect: Effect, numbers: dict[str, Comparison]
) -> Judged:
    """Return the verdicts after one more look; earlier ones stay."""
    if min(sums.kish for sums in pair) < MIN_UNITS:
        return before
    control, treatment = (estimate(sums, rate=metric in SHARES) for sums in pair)
    size = effect.size * abs(control.value or 0) if effect.relative else effect.size
    watched, planned = before.watched, before.planned
    if watched is None:
        watched = _side(compare(control, treatment, size, ALPHA))
    half = numbers[metric] = compare(control, treatment, size, ALPHA / 2)
    harmed_p = before.harmed_p or _is_harm(metric, pair, half)
    return Judged(watched, planned or _side(half), before.naive or _naive(metric, *pair), harmed_p)


def _planned(judged: Judged, metric: str, numbers: Mapping[str, Comparison]) -> Judged:
    """Return the verdicts after the planned look, at the end."""
    if judged.planned is not None or metric not in numbers:
        return judged
    return replace(judged, planned=_side(look_once(numbers[metric], ALPHA / 2)))


def _is_harm(metric: str, pair: tuple[Sums, Sums], numbers: Comparison) -> bool:
    """Return True where an ordinary z-test, of two proportions or two means, calls the treatment worse."""
    bad = "less" if metric in UP else "more"
    if metric in SHARES:
        return _proportions(*pair) == bad
    if numbers.diff is None or not numbers.se_delta:
        return False
    return abs(numbers.diff) > Z95 * numbers.se_delta and (numbers.diff > 0) == (bad == "more")


def _side(numbers: Comparison) -> Outcome:
    if numbers.cs_low is None or numbers.cs_high is None or numbers.cs_low <= 0 <= numbers.cs_high:
        return None
    return "more" if numbers.cs_low > 0 else "less"


def _naive(metric: str, control: Sums, treatment: Sums) -> Outcome:
    """Return the verdict of |z| > 1.96 on satisfaction."""
    return _proportions(control, treatment) if metric == "satisfaction" else None


def _proportions(control: Sums, treatment: Sums) -> Outcome:
    """Return the verdict of |z| > 1.96 for two proportions of answers."""
    pooled = (control.sx + treatment.sx) / (control.sy + treatment.sy)
    error = math.sqrt(pooled * (1 - pooled) * (1 / control.sy + 1 / treatment.sy))
    diff = treatment.sx / treatment.sy - control.sx / control.sy
    return None if abs(diff) <= Z95 * error or not error else "more" if diff > 0 else "less"
