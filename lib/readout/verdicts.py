"""The readout of an experiment: what the store counted becomes estimates, verdicts, and the object of `readout --json`.

Owns what each metric is, which verdict holds, and the shape of the JSON. The formulas are `analysis`, the sentences
`wording`. Knows neither SQL nor a page, and is handed everything as values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from itertools import pairwise
from typing import Any, Literal

from lib.experiments.definitions import METRICS, Definition, Effect
from lib.statistics.formulas import (
    ALPHA,
    Comparison,
    Estimate,
    Split,
    Sums,
    compare,
    estimate,
    quantile_estimate,
    quantile_span,
)
from lib.statistics.formulas import rank as rank  # handed to the store, as `span` is
from lib.statistics.formulas import split as split_of
from lib.statistics.sums import QUANTILES, Delivery, Quantile, Scope, Snapshot, Tally, UnitSums, Weights

Verdict = Literal["broken", "worse", "better", "not_enough_data", "equivalent", "no_difference_yet"]
Guardrail = Literal["harmed", "safe", "not_ruled_out", "broken", "not_enough_data"]
Role = Literal["primary", "guardrail", "secondary"]

ORDER: tuple[Verdict, ...] = ("broken", "worse", "better", "not_enough_data", "equivalent", "no_difference_yet")
"""With several treatments, the first of these that any of them has is the experiment's."""
UP = ("satisfaction", "rating_rate", "answers_per_user")
"""Metrics of which more is better."""
RATES = ("satisfaction", "rating_rate", "error_rate")
"""Metrics that are shares of 0/1 events."""
EFFECTS = {"satisfaction": Effect(0.10), "error_rate": Effect(0.02)}
"""The smallest difference that matters where the definition names none: 10 points, 2 points."""
EFFECT = Effect(0.10, relative=True)
"""The same of any other metric: 10 % of control."""
MIN_UNITS = 20
"""Units with data that a group needs before anything is said about it."""
MIN_TAIL = 10
"""Answers beyond a quantile that it needs."""
UNHEARD = 10
"""A difference of so many times what the groups themselves have is not worth telling as possible."""
SRM_P = 0.001
MAX_CROSSOVER = 0.10

_NO_SUMS = UnitSums(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Versus:
    """A treatment against control. `guardrail` is None where the metric is none.

    `telling`: there is enough data, and the interval leaves out some of what could be.
    """

    numbers: Comparison
    verdict: Verdict
    guardrail: Guardrail | None = None
    telling: bool = True

    @property
    def state(self) -> Verdict | Guardrail:
        """What is said of it in a word."""
        if not self.telling and self.verdict != "broken":
            return "not_enough_data"
        return self.guardrail or self.verdict


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of every group, and of every treatment against control."""

    name: str
    role: Role
    sums: Mapping[str, UnitSums]
    groups: Mapping[str, Estimate]
    versus: Mapping[str, Versus]

    @property
    def direction(self) -> Literal["up", "down"]:
        """Where better is."""
        return "up" if self.name in UP else "down"


@dataclass(frozen=True, slots=True)
class QuantileReading:
    """One quantile of the response time of every group."""

    counted: Mapping[str, Quantile]
    groups: Mapping[str, Estimate]
    versus: Mapping[str, Versus]


@dataclass(frozen=True, slots=True)
class Readout:
    """Everything that is said about an experiment. `changed_ms`: when its weights changed while it ran."""

    experiment: str
    control: str
    primary: str
    alpha: float
    verdict: Verdict
    counts: Mapping[str, int]
    split: Split
    shares: Mapping[str, float]
    forced: int
    crossover: int
    crossover_share: float | None
    unknown: Mapping[str, int]
    changed_ms: int | None
    metrics: Mapping[str, Metric]
    quantiles: Mapping[str, QuantileReading]
    delivery: Delivery
    as_of_ms: int | None
    simulated: bool

    @property
    def main(self) -> Metric:
        """The metric that decides."""
        return self.metrics[self.primary]

    @property
    def treatments(self) -> list[str]:
        """Every group but control."""
        return list(self.main.versus)


def scope_of(definition: Definition, *, simulated: bool = False) -> Scope:
    """What the store has to count for this experiment."""
    since = definition.since
    midnight = datetime.combine(since, time(), UTC) if since else None
    return Scope(definition.name, simulated, int(midnight.timestamp() * 1_000) if midnight else None)


def span(p: float, below: UnitSums) -> tuple[float, float] | None:
    """What the store asks while it looks for quantiles: `analysis.quantile_span` of its own sums."""
    return quantile_span(p, Sums(*below))


def read(tally: Tally, definition: Definition, as_of_ms: int | None) -> Readout:
    """The readout of what was counted, with verdicts."""
    names = [group.name for group in definition.groups]
    units = tally.sums["answers_per_user"]
    counts = {name: units.get(name, _NO_SUMS).n for name in names}
    remaining = sum(one.n for one in units.values())
    share = tally.crossover / (tally.crossover + remaining) if tally.crossover + remaining else None
    changed_ms = _weights_changed(tally.first_ms, tally.weights, definition, as_of_ms)
    split = Split(None, len(names) - 1, None) if changed_ms is not None else split_of(counts, definition.shares)
    refusal = _refusal(split, share, changed_ms)
    judge = _Judge(definition, _alpha(definition), refusal)
    metrics = {name: judge.metric(name, tally.sums.get(name, {})) for name in METRICS}
    quantiles = {name: judge.quantile(p, tally.quantiles.get(name, {})) for name, p in QUANTILES.items()}
    said = {versus.verdict for versus in metrics[definition.primary].versus.values()}
    verdict = next((one for one in ORDER if one in said), refusal or "not_enough_data")
    unknown = {name: one.n for name, one in units.items() if name not in counts}
    return Readout(
        definition.name, definition.control, definition.primary, judge.alpha, verdict, counts, split,
        definition.shares, tally.forced, tally.crossover, share, unknown, changed_ms, metrics, quantiles,
        tally.delivery, as_of_ms, tally.scope.simulated,
    )  # fmt: skip


def over_time(days: Iterable[Snapshot], definition: Definition) -> list[tuple[int, Metric]]:
    """(end of the day, the primary metric as a readout told it then), whatever is to be said of the split."""
    judge = _Judge(definition, _alpha(definition), None)
    return [(day.until_ms, judge.metric(definition.primary, day.sums)) for day in days]


def _alpha(definition: Definition) -> float:
    """The chance of a wrong difference that one comparison may have."""
    return ALPHA / max(len(definition.groups) - 1, 1)


def _refusal(split: Split, crossover_share: float | None, changed_ms: int | None) -> Verdict | None:
    """The verdict on everything where no comparison can be believed."""
    if (split.p is not None and split.p < SRM_P) or (crossover_share or 0) > MAX_CROSSOVER:
        return "broken"
    return "not_enough_data" if changed_ms is not None else None


def split_p(
    units: Mapping[str, int], first_ms: int | None, weights: Sequence[Weights], definition: Definition, as_of_ms: int
) -> float | None:
    """How likely such a split is by chance, as the readout says it; None where it says nothing of the split."""
    if _weights_changed(first_ms, weights, definition, as_of_ms) is not None:
        return None
    return split_of({group.name: units.get(group.name, 0) for group in definition.groups}, definition.shares).p


def _weights_changed(
    first_ms: int | None, weights: Sequence[Weights], definition: Definition, as_of_ms: int | None
) -> int | None:
    """When the weights last changed after the first exposure that counts; None: never, as far as the store knows."""
    if first_ms is None or not weights:
        return None
    if not weights[-1].like(definition.shares):
        return as_of_ms or first_ms
    steps = pairwise(weights)
    changes = [new.since_ms for old, new in steps if new.since_ms > first_ms and not old.like(new.shares)]
    return max(changes, default=None)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Estimates, compares and judges by one definition. `refusal` is what every comparison gets for a verdict."""

    definition: Definition
    alpha: float
    refusal: Verdict | None

    def metric(self, name: str, counted: Mapping[str, UnitSums]) -> Metric:
        sums = {group.name: counted.get(group.name, _NO_SUMS) for group in self.definition.groups}
        groups = {group: estimate(Sums(*one), rate=name in RATES) for group, one in sums.items()}
        control, role = self.definition.control, self._role(name)
        mde = self._mde(name, groups[control].value)
        versus = {}
        for group in self._treatments():
            numbers = compare(groups[control], groups[group], mde, self.alpha)
            enough = min(sums[control].active, sums[group].active) >= MIN_UNITS
            verdict = self._verdict(numbers, enough, up=name in UP)
            guardrail = _guardrail(numbers, verdict, up=name in UP) if role == "guardrail" else None
            most = 1.0 if name in RATES else _most(groups)
            versus[group] = Versus(numbers, verdict, guardrail, _telling(numbers, verdict, most))
        return Metric(name, role, sums, groups, versus)

    def quantile(self, p: float, counted: Mapping[str, Quantile]) -> QuantileReading:
        nothing = Quantile(None, None, None, _NO_SUMS)
        found = {group.name: counted.get(group.name, nothing) for group in self.definition.groups}
        groups = {
            name: quantile_estimate(one.value, one.low, one.high, Sums(*one.below)) for name, one in found.items()
        }
        control = self.definition.control
        mde = _size(EFFECT, groups[control].value)
        versus = {}
        for group in self._treatments():
            numbers = compare(groups[control], groups[group], mde, self.alpha)
            pair = found[control].below, found[group].below
            enough = all(one.active >= MIN_UNITS and one.sy * min(p, 1 - p) >= MIN_TAIL - 1e-9 for one in pair)
            verdict = self._verdict(numbers, enough, up=False)
            versus[group] = Versus(numbers, verdict, None, _telling(numbers, verdict, _most(groups)))
        return QuantileReading(found, groups, versus)

    def _treatments(self) -> Iterator[str]:
        return (group.name for group in self.definition.groups if group.name != self.definition.control)

    def _role(self, name: str) -> Role:
        if name == self.definition.primary:
            return "primary"
        return "guardrail" if name in self.definition.guardrails else "secondary"

    def _mde(self, name: str, control: float | None) -> float | None:
        return _size(self.definition.mde.get(name) or EFFECTS.get(name, EFFECT), control)

    def _verdict(self, numbers: Comparison, enough: bool, *, up: bool) -> Verdict:
        """The first that holds."""
        low, high, mde = numbers.cs_low, numbers.cs_high, numbers.mde
        if self.refusal is not None:
            return self.refusal
        if not enough or low is None or high is None or mde is None:
            return "not_enough_data"
        if low > 0 or high < 0:
            return "better" if (low > 0) == up else "worse"
        return "equivalent" if -mde < low and high < mde else "no_difference_yet"


def _most(groups: Mapping[str, Estimate]) -> float:
    """A difference that is hardly possible between such groups."""
    return UNHEARD * max((abs(one.value) for one in groups.values() if one.value is not None), default=0.0)


def _telling(numbers: Comparison, verdict: Verdict, most: float) -> bool:
    if verdict == "not_enough_data" or numbers.cs_low is None or numbers.cs_high is None:
        return False
    return numbers.cs_high - numbers.cs_low < 2 * most


def _size(effect: Effect, control: float | None) -> float | None:
    """A difference in the metric's own unit."""
    if not effect.relative:
        return effect.size
    return None if control is None else effect.size * abs(control)


def _guardrail(numbers: Comparison, verdict: Verdict, *, up: bool) -> Guardrail:
    """Harmed: the interval is on the bad side. Safe: its bad end is nearer than what matters."""
    if verdict == "broken" or verdict == "not_enough_data":
        return verdict
    if verdict == "worse":
        return "harmed"
    assert numbers.cs_low is not None and numbers.cs_high is not None and numbers.mde is not None
    bad = -numbers.cs_low if up else numbers.cs_high
    return "safe" if bad < numbers.mde else "not_ruled_out"


def as_json(readout: Readout, sentence: str) -> dict[str, Any]:
    """The object of `readout --json`: what cannot be computed is None, never NaN."""
    return {
        "experiment": readout.experiment,
        "control": readout.control,
        "alpha_per_comparison": readout.alpha,
        "verdict": readout.verdict,
        "sentence": sentence,
        "srm": asdict(readout.split) | {"counts": dict(readout.counts)},
        "excluded": {"crossover": readout.crossover, "forced": readout.forced},
        "crossover_share": readout.crossover_share,
        "metrics": {name: _metric_json(metric) for name, metric in readout.metrics.items()},
        "quantiles": {"response_time": {name: _quantile_json(one) for name, one in readout.quantiles.items()}},
        "delivery": asdict(readout.delivery),
        "as_of": iso(readout.as_of_ms),
    }


def _metric_json(metric: Metric) -> dict[str, Any]:
    versus = {}
    for group, one in metric.versus.items():
        versus[group] = asdict(one.numbers) | {"verdict": one.verdict}
        if one.guardrail is not None:
            versus[group]["guardrail"] = one.guardrail
    groups = {group: sums._asdict() | _estimate_json(metric.groups[group]) for group, sums in metric.sums.items()}
    return {"role": metric.role, "direction": metric.direction, "groups": groups, "vs_control": versus}


def _quantile_json(reading: QuantileReading) -> dict[str, Any]:
    groups = {}
    for group, one in reading.groups.items():
        below = reading.counted[group].below
        counted = {"events": int(below.sy), "users": below.active}
        groups[group] = {key: getattr(one, key) for key in ("value", "ci_low", "ci_high", "se")} | counted
    kept = ("diff", "se", "df", "cs_low", "cs_high")
    versus = {
        group: {key: getattr(one.numbers, key) for key in kept} | {"verdict": one.verdict}
        for group, one in reading.versus.items()
    }
    return {"groups": groups, "vs_control": versus}


def _estimate_json(one: Estimate) -> dict[str, Any]:
    return {key: getattr(one, key) for key in ("value", "se_delta", "se", "ci_low", "ci_high")}


def iso(time_ms: int | None) -> str | None:
    """A moment as ISO 8601, to the second, UTC.

    >>> iso(1_790_000_000_000), iso(None), iso(10**18)
    ('2026-09-21T14:13:20Z', None, None)
    """
    try:
        return None if time_ms is None else datetime.fromtimestamp(time_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None
