"""All counts of a readout: sums and quantiles of every group, excluded units, deliveries.

Owns the order of the queries, and counts two groups at the same time. The sums are in `sums`, the answer at a rank in
`ranks`, the rank of a quantile in `lib.statistics`.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from lib.domain.operations import stretch
from lib.statistics.quantiles import quantile_span, rank
from lib.statistics.sums import BUSY, FEW, QUANTILES, BusyUnit, Delivery, Plan, Quantile, Scope, Sums, Tally
from lib.store.plans import planned
from lib.store.preferences import votes_by_pair
from lib.store.ranks import Ranks
from lib.store.schema import event, exposure, outbox, purged, vote
from lib.store.signals import stopped
from lib.store.splits import weights_over_time
from lib.store.sums import METRICS, answers_by_unit, per_unit, sum_units
from lib.store.units import arrivals, excluded, exposures

Read = Callable[[], AbstractContextManager[Connection]]
"""A function that opens a connection; called from several threads."""


class _Group(NamedTuple):
    """The sums of one group by metric, and its quantiles."""

    sums: Mapping[str, Sums]
    quantiles: Mapping[str, Quantile]
    busy: tuple[BusyUnit, ...]


def tally(read: Read, scope: Scope, plan: Plan | None = None) -> Tally:
    """Count everything that a readout needs: two groups at a time, because a statement occupies one core."""

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        with read() as connection:
            return question(connection, *more)

    with ThreadPoolExecutor(2) as threads:
        groups = ask(_names, scope)
        counted = [threads.submit(ask, _count, scope, grp) for grp in groups]
        exclusions, sent = threads.submit(ask, excluded, scope), threads.submit(ask, delivery, scope)
        others = [threads.submit(ask, question, scope) for question in (stopped, votes_by_pair)]
        counts = {grp: item.result() for grp, item in zip(groups, counted, strict=True)}
        forced, crossover, first_ms = exclusions.result()
    counts = {grp: item for grp, item in counts.items() if item is not None}
    sums = {name: {grp: item.sums[name] for grp, item in counts.items()} for name in METRICS}
    quantiles = {name: {grp: item.quantiles[name] for grp, item in counts.items()} for name in QUANTILES}
    weights = ask(weights_over_time, stretch(scope.experiment, scope.run))
    stops, votes = (item.result() for item in others)
    return Tally(
        scope,
        sums,
        quantiles,
        forced,
        crossover,
        first_ms,
        sent.result(),
        weights,
        stopped=stops,
        busy={grp: item.busy for grp, item in counts.items() if item.busy},
        votes=votes,
        arrivals=() if weights else ask(arrivals, scope),
        planned=ask(planned, scope, plan) if plan else None,
    )


def _names(connection: Connection, scope: Scope) -> list[str]:
    return sorted(connection.scalars(select(exposure.c.grp).where(exposures(exposure, scope)).distinct()))


def _count(connection: Connection, scope: Scope, grp: str) -> _Group | None:
    """Count one group; None where no unit counts.

    A quantile must be known before the answers below it can be counted together with everything else. It is guessed
    from all answers in the group, also of units that do not count. The counts then show how far the quantile is from
    the guess; where the two differ, everything is counted again.
    """
    scope = scope.of(grp)
    ranks = Ranks(connection, scope, grp)
    labelled = ranks.count_labelled()
    guess = ranks.among_labelled([rank(p, labelled) for p in QUANTILES.values()], labelled) if labelled else []
    limits = dict(zip(QUANTILES, guess, strict=False))
    sums, strays, busiest = sum_units(connection, per_unit(scope, grp, limits))
    size = int(sums["response_time"].sy)
    if not sums["answers_per_user"].n:
        return None
    busy = _busy(connection, scope, grp, sums["answers_per_user"], busiest)
    if not size:
        return _Group(sums, {name: Quantile(None, None, None, sums[name]) for name in QUANTILES}, busy)
    places = {name: rank(p, size) for name, p in QUANTILES.items()}
    values = _values(ranks, places.values(), sums, limits, strays)
    if limits != (limits := {name: values[place] for name, place in places.items()}):
        sums, strays, _ = sum_units(connection, per_unit(scope, grp, limits))
    spans = {name: quantile_span(p, sums[name]) for name, p in QUANTILES.items()}
    ends = {name: [rank(share, size) for share in shares] for name, shares in spans.items() if shares}
    values = _values(ranks, {place for pair in ends.values() for place in pair}, sums, limits, strays)
    quantiles = {}
    for name, value in limits.items():
        low, high = (values[place] for place in ends[name]) if name in ends else (None, None)
        quantiles[name] = Quantile(value, low, high, sums[name])
    return _Group(sums, quantiles, busy)


def _busy(connection: Connection, scope: Scope, grp: str, answers: Sums, busiest: float) -> tuple[BusyUnit, ...]:
    """Return the units that hold more than a fifth of the group's answers, the busiest first."""
    limit = BUSY * answers.sx
    units = answers_by_unit(scope, grp).subquery().c
    if busiest <= limit or (connection.scalar(select(func.count()).where(units.answers > 0)) or 0) <= FEW:
        return ()
    query = select(units.user_id, units.answers).where(units.answers > limit).order_by(units.answers.desc())
    return tuple(BusyUnit(row[0], int(row[1])) for row in connection.execute(query))


def _values(
    ranks: Ranks, places: Collection[int], sums: Mapping[str, Sums], limits: Mapping[str, float], strays: bool
) -> dict[int, float]:
    """Return the response times at these ranks, from the counts up to the limits."""
    counted = {limit: int(sums[name].sx) for name, limit in limits.items()}
    return ranks.among_counted(places, int(sums["response_time"].sy), counted, strays)


def delivery(connection: Connection, scope: Scope) -> Delivery:
    """Count the events of the whole record, purged ones included, those that Statsig has acknowledged, and those that
    wait."""
    counts = select(func.count(), func.count(event.c.acknowledged_ms)).where(event.c.simulated == scope.simulated)
    events, acknowledged = connection.execute(counts.select_from(event)).one()
    removed = select(purged.c.events, purged.c.acknowledged).where(purged.c.simulated == scope.simulated)
    for row in connection.execute(removed):
        events, acknowledged = events + row.events, acknowledged + row.acknowledged
    pending = 0 if scope.simulated else connection.scalar(select(func.count()).select_from(outbox))
    return Delivery(events, acknowledged, pending)


def only_simulated(connection: Connection, experiment: str, run: int = 1) -> bool:
    """Return True where the run has exposures or votes and all of them are simulated."""
    name = stretch(experiment, run)

    def has_rows(simulated: bool) -> ColumnElement[bool]:
        conditions = (exists().where(of.c.experiment == name, of.c.simulated == simulated) for of in (exposure, vote))
        return or_(*conditions)

    real, simulated_rows = connection.execute(select(has_rows(False), has_rows(True))).one()
    return bool(simulated_rows) and not real


def last_run(connection: Connection, experiment: str) -> int:
    """Return the last run of an experiment that any exposure or vote names; 1 where there is none."""
    names = {name for of in (exposure, vote) for name in connection.scalars(select(of.c.experiment).distinct())}
    runs = [name.rpartition("@")[2] for name in names if name.startswith(f"{experiment}@")]
    return max((int(run) for run in runs if run.isdecimal()), default=1)
