"""The judgement of one metric at a time by a definition, with the limits of every verdict.

Owns the smallest difference that matters by default, and the order of the verdicts. The values it makes are in
`judgements`, the formulas in `lib.statistics`. Knows neither SQL nor a page, and no sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from lib.experiments.definitions import Definition, Effect
from lib.readout.judgements import UP, Guardrail, Metric, QuantileReading, Role, Verdict, Versus
from lib.statistics.differences import Comparison, compare, look_once
from lib.statistics.formulas import Estimate, estimate
from lib.statistics.intervals import Interval, Look, together
from lib.statistics.quantiles import quantile_estimate
from lib.statistics.sums import Quantile, Sums

ORDER: tuple[Verdict, ...] = ("broken", "worse", "better", "not_enough_data", "equivalent", "no_difference_yet")
"""With several treatments, the first of these that any of them has is the experiment's verdict."""


RATES = (
    "satisfaction", "rating_rate", "up_per_answer", "down_per_answer", "error_rate", "copied", "regenerated",
    "abandoned",
)  # fmt: skip
"""Metrics that are shares of 0/1 events."""


EFFECTS = {"satisfaction": Effect(0.10), "error_rate": Effect(0.02)}
"""The smallest difference that matters where the definition names none: 10 points, 2 points."""
EFFECT = Effect(0.10, relative=True)
"""The smallest difference that matters for any other metric: 10 % of control."""
MIN_UNITS = 20
"""Effective units that a group needs before it is judged."""
MIN_TAIL = 10
"""Least number of answers beyond a quantile."""
TOO_WIDE = 10
"""An interval that reaches this many times the larger of the groups' values excludes nothing worth reporting."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Judge:
    """The judgement of metrics by one definition. `refusal` is the verdict of every comparison where none is reliable.

    `alpha` is the chance of a wrong difference that one comparison with control may have, `between_alpha` the same of
    two treatments. With planned users, half of it belongs to the planned look. `looks` are the intervals of earlier
    readouts, None where none are kept.
    """

    definition: Definition
    alpha: float
    between_alpha: float
    refusal: Verdict | None
    as_of_ms: int = 0
    looks: Mapping[Look, Interval] | None = None

    @property
    def watched_alpha(self) -> float:
        """The part of alpha that the watched interval has."""
        return self.alpha / 2 if self.definition.planned_users else self.alpha

    def metric(self, name: str, counted: Mapping[str, Sums], once: Mapping[str, Comparison] | None = None) -> Metric:
        """Return a metric of all groups. `once`: the planned look, by treatment."""
        sums = {group.name: counted.get(group.name, Sums()) for group in self.definition.groups}
        groups = {group: estimate(group_sums, rate=name in RATES) for group, group_sums in sums.items()}
        role, control = self._role(name), self.definition.control
        mde = self.mde(name, groups[control].value)
        versus = {}
        for group in self.treatments():
            pair = (control, group)
            numbers = compare(groups[control], groups[group], mde, self.watched_alpha)
            versus[group] = self._versus(name, role, numbers, groups, pair, (once or {}).get(group))
        between = {}
        half = self.between_alpha / 2 if self.definition.planned_users else self.between_alpha
        for first, second in combinations(self.treatments(), 2):
            numbers = compare(groups[first], groups[second], mde, half)
            between[first, second] = self._versus(name, "secondary", numbers, groups, (first, second), None)
        return Metric(name, role, sums, groups, versus, between)

    def _versus(
        self,
        name: str,
        role: Role,
        numbers: Comparison,
        groups: Mapping[str, Estimate],
        pair: tuple[str, str],
        once: Comparison | None,
    ) -> Versus:
        enough = all((groups[group].kish or 0) >= MIN_UNITS - _ROUNDING for group in pair)
        interval = None
        if enough and self.refusal is None and self.looks is not None and pair[0] == self.definition.control:
            before = self.looks.get((name, pair[1]))
            interval = together(before, numbers.cs_low, numbers.cs_high, self.as_of_ms)
        up = name in UP
        verdict, changed, once = _verdict(numbers, interval, once, self.refusal, enough=enough, up=up)
        low, high = (interval.low, interval.high) if interval else (numbers.cs_low, numbers.cs_high)
        guardrail = _guardrail(verdict, low, high, numbers.mde, up=up) if role == "guardrail" else None
        informative = _is_informative(low, high, verdict, 1.0 if name in RATES else _implausible(groups))
        return Versus(numbers, verdict, guardrail, informative, interval, changed, once)

    def looked_once(self, name: str, counted: Mapping[str, Sums]) -> dict[str, Comparison]:
        """Return the planned look by treatment, with its own interval."""
        groups = {
            group.name: estimate(counted.get(group.name, Sums()), rate=name in RATES)
            for group in self.definition.groups
        }
        control = groups[self.definition.control]
        mde = self.mde(name, control.value)
        return {
            group: look_once(compare(control, groups[group], mde, self.alpha / 2), self.alpha / 2)
            for group in self.treatments()
        }

    def verdict_once(self, name: str, numbers: Comparison, counted: Mapping[str, Sums], group: str) -> Verdict:
        """Return the verdict of the planned look by itself."""
        pair = counted.get(self.definition.control, Sums()), counted.get(group, Sums())
        enough = all(sums.kish >= MIN_UNITS - _ROUNDING for sums in pair)
        return _verdict(numbers, None, None, self.refusal, enough=enough, up=name in UP)[0]

    def quantile(self, p: float, counted: Mapping[str, Quantile]) -> QuantileReading:
        """Return a quantile of the response time of all groups."""
        nothing = Quantile(None, None, None, Sums())
        quantiles = {group.name: counted.get(group.name, nothing) for group in self.definition.groups}
        groups = {name: quantile_estimate(q.value, q.low, q.high, q.below) for name, q in quantiles.items()}
        control = self.definition.control
        mde = size_of(EFFECT, groups[control].value)
        versus = {}
        for group in self.treatments():
            numbers = compare(groups[control], groups[group], mde, self.watched_alpha, pooled=False)
            pair = quantiles[control].below, quantiles[group].below
            enough = all(
                sums.kish >= MIN_UNITS - _ROUNDING and sums.sy * min(p, 1 - p) >= MIN_TAIL - _ROUNDING for sums in pair
            )
            verdict, *_ = _verdict(numbers, None, None, self.refusal, enough=enough, up=False)
            informative = _is_informative(numbers.cs_low, numbers.cs_high, verdict, _implausible(groups))
            versus[group] = Versus(numbers, verdict, None, informative)
        return QuantileReading(quantiles, groups, versus)

    def treatments(self) -> Iterator[str]:
        """Yield every group but control."""
        return (group.name for group in self.definition.groups if group.name != self.definition.control)

    def mde(self, name: str, control: float | None) -> float | None:
        """Return the smallest difference of a metric that matters, in its own unit."""
        return size_of(self.definition.mde.get(name) or EFFECTS.get(name, EFFECT), control)

    def _role(self, name: str) -> Role:
        if name == self.definition.primary:
            return "primary"
        return "guardrail" if name in self.definition.guardrails else "secondary"


def size_of(effect: Effect, control: float | None) -> float | None:
    """Return a difference in the metric's own unit."""
    if not effect.relative:
        return effect.size
    return None if control is None else effect.size * abs(control)


def _verdict(
    numbers: Comparison,
    interval: Interval | None,
    once: Comparison | None,
    refusal: Verdict | None,
    *,
    enough: bool,
    up: bool,
) -> tuple[Verdict, bool, Comparison | None]:
    """Return the first verdict that holds, True where the effect changed, and the planned look where it decides."""
    low, high = (interval.low, interval.high) if interval else (numbers.cs_low, numbers.cs_high)
    if refusal is not None:
        return refusal, False, None
    if not enough or low is None or high is None or numbers.mde is None:
        return "not_enough_data", False, None
    side, planned = _side(low, high), _side(once.cs_low, once.cs_high) if once else None
    if low > high or (side is not None and planned is not None and side != planned):
        return "no_difference_yet", True, None
    if side is not None or planned is not None:
        above = planned if side is None else side
        return "better" if above == up else "worse", False, once if side is None else None
    return ("equivalent" if -numbers.mde < low and high < numbers.mde else "no_difference_yet"), False, None


def _side(low: float | None, high: float | None) -> bool | None:
    """Return True where an interval lies above 0, False where it lies below, None otherwise."""
    if low is None or high is None or low <= 0 <= high:
        return None
    return low > 0


def _implausible(groups: Mapping[str, Estimate]) -> float:
    """Return a difference that is implausible between such groups."""
    return TOO_WIDE * max((abs(group.value) for group in groups.values() if group.value is not None), default=0.0)


def _is_informative(low: float | None, high: float | None, verdict: Verdict, implausible: float) -> bool:
    if verdict == "not_enough_data" or low is None or high is None or low > high:
        return False
    return high - low < 2 * implausible


def _guardrail(verdict: Verdict, low: float | None, high: float | None, mde: float | None, *, up: bool) -> Guardrail:
    """Return the guardrail's state. Harmed: the interval is on the bad side. Safe: its bad end is nearer than the
    difference that matters."""
    if verdict == "broken" or verdict == "not_enough_data":
        return verdict
    if verdict == "worse":
        return "harmed"
    assert low is not None and high is not None and mde is not None
    bad = -low if up else high
    return "safe" if bad < mde else "not_ruled_out"
