"""The readout of an experiment: the counts of the store become estimates and verdicts, as one value.

Owns the reasons to judge nothing, and the facts beside the verdicts: busy units, the planned look, comparisons. One
metric is judged in `judge`, signs of bias are in `bias`, sentences in `sentences`, the JSON in `report`. Knows neither
SQL nor a page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from lib.experiments.definitions import METRICS, Definition
from lib.readout.bias import Selection, mark_cut_short, selection_of, stopped_shares
from lib.readout.changes import Stretch, shares_changed, weights_changed
from lib.readout.judge import EFFECT, EFFECTS, MIN_UNITS, ORDER, RATES, Judge
from lib.readout.judgements import ONE_SIDED, UP, Metric, QuantileReading, Verdict, Versus
from lib.readout.preferences import Comparisons, comparisons_of
from lib.statistics.differences import ALPHA, Comparison
from lib.statistics.intervals import Interval, Look
from lib.statistics.splits import Split
from lib.statistics.splits import split as split_of
from lib.statistics.sums import QUANTILES, BusyUnit, Delivery, Plan, Planned, Scope, Snapshot, Sums, Tally, Weights

__all__ = [
    "EFFECT",
    "EFFECTS",
    "MAX_CROSSOVER",
    "MIN_UNITS",
    "ONE_SIDED",
    "RATES",
    "UP",
    "Metric",
    "PlannedLook",
    "Readout",
    "Versus",
    "over_time",
    "plan_of",
    "read",
    "scope_of",
    "signal_metrics",
    "split_of_units",
]

MAX_CROSSOVER = 0.10


@dataclass(frozen=True, slots=True)
class PlannedLook:
    """The planned look at the primary metric: its interval and verdict by treatment, once it is `reached`."""

    users: int
    reached: bool
    at_ms: int | None = None
    versus: Mapping[str, tuple[Comparison, Verdict]] | None = None


@dataclass(frozen=True, slots=True)
class Readout:
    """The complete readout of an experiment.

    `changed_ms`: when its weights changed while it ran; `stretches`: the changes that the exposures show, where no
    weights are known. `stopped` has control's and a treatment's shares of stopped answers where they differ. `held` has
    the intervals of all readouts of the run, None where none are kept.
    """

    experiment: str
    control: str
    primary: str
    alpha: float
    between_alpha: float
    verdict: Verdict
    counts: Mapping[str, int]
    split: Split
    shares: Mapping[str, float]
    forced: int
    crossover: int
    crossover_share: float | None
    unknown: Mapping[str, int]
    changed_ms: int | None
    stretches: Sequence[Stretch]
    metrics: Mapping[str, Metric]
    quantiles: Mapping[str, QuantileReading]
    selection: Mapping[str, Selection]
    stopped: Mapping[str, tuple[float, float]]
    busy: Mapping[str, Sequence[BusyUnit]]
    planned: PlannedLook | None
    comparisons: Comparisons | None
    run: int
    held: Mapping[Look, Interval] | None
    delivery: Delivery
    as_of_ms: int | None
    simulated: bool
    unreadable: int = 0

    @property
    def main(self) -> Metric:
        """The metric that decides."""
        return self.metrics[self.primary]

    @property
    def treatments(self) -> list[str]:
        """Every group but control."""
        return list(self.main.versus)

    @property
    def weights_changed(self) -> bool:
        """True where users from before and after a weight change would be compared."""
        return self.changed_ms is not None or bool(self.stretches)


@dataclass(frozen=True, slots=True)
class _Checks:
    """The signs that users cannot be compared: the split, units that met two groups, weights that changed."""

    split: Split
    crossover_share: float | None
    changed_ms: int | None
    stretches: Sequence[Stretch]

    @property
    def refusal(self) -> Verdict | None:
        """The verdict on everything where no comparison is reliable."""
        if self.split.broken or (self.crossover_share or 0) > MAX_CROSSOVER:
            return "broken"
        return "not_enough_data" if self.changed_ms is not None or self.stretches else None


def scope_of(definition: Definition, *, simulated: bool = False) -> Scope:
    """Return the part of the record that the store counts for this run: up to its end."""
    since = definition.since
    midnight = datetime.combine(since, time(), UTC) if since else None
    ends = tuple((group.name, group.ended_ms) for group in definition.groups if group.ended_ms is not None)
    ends_ms = [ms for ms in (definition.until_ms, definition.status.since_ms) if ms is not None and not simulated]
    return Scope(
        definition.name,
        simulated,
        int(midnight.timestamp() * 1_000) if midnight else None,
        min(ends_ms, default=None),
        ends=() if simulated else ends,
        run=definition.run,
    )


def plan_of(definition: Definition) -> Plan | None:
    """Return the planned look of this experiment."""
    return Plan(definition.planned_users, definition.primary) if definition.planned_users else None


def read(
    tally: Tally, definition: Definition, as_of_ms: int | None, looks: Mapping[Look, Interval] | None = None
) -> Readout:
    """Return the readout of these counts. `looks`: the held intervals of earlier readouts, None where none are kept."""
    names = [group.name for group in definition.groups]
    units = tally.sums["answers_per_user"]
    counts = {name: units.get(name, Sums()).n for name in names}
    checks = _checks(tally, counts, definition, as_of_ms)
    judge = _judge(definition, checks.refusal, as_of_ms, looks)
    planned, once = _planned(tally.planned, definition, judge, as_of_ms)
    stopped = stopped_shares(tally, definition.control)
    metrics = _metrics(tally, judge, once, stopped)
    compared = comparisons_of(tally.votes, definition, looks, as_of_ms or 0)
    return Readout(
        experiment=definition.name,
        control=definition.control,
        primary=definition.primary,
        alpha=judge.alpha,
        between_alpha=judge.between_alpha,
        verdict=_overall(metrics[definition.primary]) or checks.refusal or "not_enough_data",
        counts=counts,
        split=checks.split,
        shares=definition.shares,
        forced=tally.forced,
        crossover=tally.crossover,
        crossover_share=checks.crossover_share,
        unknown={name: sums.n for name, sums in units.items() if name not in counts},
        changed_ms=checks.changed_ms,
        stretches=checks.stretches,
        metrics=metrics,
        quantiles=_quantiles(tally, judge, stopped),
        selection=selection_of(metrics),
        stopped=stopped,
        busy={name: tally.busy[name] for name in names if name in tally.busy},
        planned=planned,
        comparisons=compared,
        run=definition.run,
        held=None if looks is None else _held(metrics, compared),
        delivery=tally.delivery,
        as_of_ms=as_of_ms,
        simulated=tally.scope.simulated,
    )


def _checks(tally: Tally, counts: Mapping[str, int], definition: Definition, as_of_ms: int | None) -> _Checks:
    """Return the checks of these counts; that of the split is empty where the weights changed."""
    changed_ms = weights_changed(tally.first_ms, tally.weights, definition, as_of_ms)
    split = _split(counts, definition)
    stretches = shares_changed(tally.arrivals, definition) if split.broken else []
    if changed_ms is not None or stretches:
        split = Split(None, len(definition.groups) - 1, None)
    return _Checks(split, _crossover_share(tally), changed_ms, stretches)


def _crossover_share(tally: Tally) -> float | None:
    """Return the share of units that met two groups, None without units."""
    units = tally.crossover + sum(sums.n for sums in tally.sums["answers_per_user"].values())
    return tally.crossover / units if units else None


def _metrics(
    tally: Tally, judge: Judge, once: Mapping[str, Comparison], stopped: Mapping[str, tuple[float, float]]
) -> dict[str, Metric]:
    """Return every metric; `once` decides the primary one where the planned look counts."""
    primary = judge.definition.primary
    metrics = {
        name: judge.metric(name, tally.sums.get(name, {}), once if name == primary else None) for name in METRICS
    }
    times = metrics["response_time"]
    return metrics | {"response_time": replace(times, versus=mark_cut_short(times.versus, stopped))}


def _overall(primary: Metric) -> Verdict | None:
    """Return the first verdict, in the order of verdicts, that any treatment has."""
    verdicts = {versus.verdict for versus in primary.versus.values()}
    return next((verdict for verdict in ORDER if verdict in verdicts), None)


def _quantiles(tally: Tally, judge: Judge, stopped: Mapping[str, tuple[float, float]]) -> dict[str, QuantileReading]:
    readings = {name: judge.quantile(p, tally.quantiles.get(name, {})) for name, p in QUANTILES.items()}
    return {
        name: replace(reading, versus=mark_cut_short(reading.versus, stopped)) for name, reading in readings.items()
    }


def _held(metrics: Mapping[str, Metric], comparisons: Comparisons | None) -> dict[Look, Interval]:
    """Return the interval that decides for each metric and treatment, and for each treatment's preference."""
    pairs = {(name, group): pair for name, metric in metrics.items() for group, pair in metric.versus.items()}
    held: dict[Look, Interval] = {look: pair.interval for look, pair in pairs.items() if pair.interval is not None}
    return held | (comparisons.held if comparisons else {})


def over_time(days: Iterable[Snapshot], definition: Definition) -> list[tuple[int, Metric]]:
    """Return (end of the day, the primary metric as of then), whatever the state of the split."""
    judge = _judge(definition, None, None, None)
    return [(day.until_ms, judge.metric(definition.primary, day.sums)) for day in days]


def split_of_units(
    units: Mapping[str, int], first_ms: int | None, weights: Sequence[Weights], definition: Definition, as_of_ms: int
) -> Split:
    """Return the check of the split as the readout reports it; empty where it reports none."""
    if weights_changed(first_ms, weights, definition, as_of_ms) is not None:
        return Split(None, len(definition.groups) - 1, None)
    return _split(units, definition)


def _split(units: Mapping[str, int], definition: Definition) -> Split:
    """Return the check of the groups that still get units: a disabled one has fewer, rightly."""
    shares = {group.name: definition.shares[group.name] for group in definition.groups if group.ended_ms is None}
    return split_of({name: units.get(name, 0) for name in shares}, shares)


def signal_metrics(signals: Mapping[str, Mapping[str, Sums]], definition: Definition) -> list[Metric]:
    """Return the implicit signals per answer, compared like secondary metrics."""
    judge = _judge(definition, None, None, None)
    return [judge.metric(name, sums) for name, sums in signals.items()]


def _judge(
    definition: Definition, refusal: Verdict | None, as_of_ms: int | None, looks: Mapping[Look, Interval] | None
) -> Judge:
    treatments = max(len(definition.groups) - 1, 1)
    pairs = max(treatments * (treatments - 1) // 2, 1)
    return Judge(definition, ALPHA / treatments, ALPHA / pairs, refusal, as_of_ms or 0, looks)


def _planned(
    planned: Planned | None, definition: Definition, judge: Judge, as_of_ms: int | None
) -> tuple[PlannedLook | None, Mapping[str, Comparison]]:
    """Return the planned look, and its comparisons by treatment where they count."""
    users = definition.planned_users
    if users is None:
        return None, {}
    if planned is None or as_of_ms is None or as_of_ms < planned.at_ms:
        return PlannedLook(users, False, planned.at_ms if planned else None), {}
    looks = judge.looked_once(definition.primary, planned.sums)
    versus = {
        group: (look, judge.verdict_once(definition.primary, look, planned.sums, group))
        for group, look in looks.items()
    }
    deciding = {group: look for group, (look, verdict) in versus.items() if verdict in ("better", "worse")}
    return PlannedLook(users, True, planned.at_ms, versus), deciding
