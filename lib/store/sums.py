"""What a readout counts, as SQL, one statement for each question: no event is ever loaded, the database sums.

Owns what each metric sums. Who counts is in `units`. Knows no formula: which rank a quantile has is handed in.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    select,
)

from lib.store.order import Joined, Labelled, Place
from lib.store.schema import answer, event, exposure, outbox
from lib.store.splits import weights_over_time
from lib.store.units import answers_of, excluded, exposures, first
from lib.tally import QUANTILES, Delivery, Quantile, Scope, Tally, UnitSums

Read = Callable[[], AbstractContextManager[Connection]]
"""Opens a connection; called from several threads."""
Rank = Callable[[float, int], int]
"""Which of n ascending values, from 1, is the quantile of p."""
Span = Callable[[float, UnitSums], tuple[float, float] | None]
"""Between the quantiles of which shares a quantile lies, from the sums of the answers that are at most it."""

METRICS: Mapping[str, tuple[str, str]] = {
    "satisfaction": ("liked", "rated"),
    "rating_rate": ("rated", "answers"),
    "error_rate": ("failed", "answers"),
    "response_time": ("seconds", "timed"),
    "time_to_first_token": ("first", "started"),
    "completion_tokens": ("tokens", "counted"),
    "cost_per_answer": ("cost", "priced"),
    "answers_per_user": ("answers", "one"),
}
"""Of each metric what a unit adds to its numerator and its denominator, by the names in `per_unit`."""
_SUMMED = {**METRICS, **{name: (name, "timed") for name in QUANTILES}}
_Rows = dict[str, list[float]]
"""By group: units, answers by another group's name, and six sums for each of `_SUMMED`."""


def tally(read: Read, scope: Scope, rank: Rank, span: Span) -> Tally:
    """All that a readout needs.

    Quantiles are found by walking an index in the order of each answer's own group. That is the group of its unit in
    all but odd cases (a session that lasted beyond `since`, an imported file): whether it is so is counted on the way,
    and if not, the answers are ordered anew.
    """

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        with read() as connection:
            return question(connection, *more)

    forced, crossover, first_ms = ask(excluded, scope)
    populations: tuple[Labelled | Joined, ...] = Labelled(scope, forced + crossover > 0), Joined(scope)
    for population in populations:
        sizes = ask(population.sizes)
        middles = {(grp, name): rank(p, n) for grp, n in sizes.items() for name, p in QUANTILES.items()}
        values = ask(population.at, {(grp, place) for (grp, _), place in middles.items()}, sizes)
        rows = _by_group(read, scope, {key: values[key[0], place] for key, place in middles.items()})
        sums = _by_metric(rows)
        if _same(sizes, rows, sums):
            break
    ends = _ends(sums, sizes, rank, span)
    values |= ask(population.at, {(grp, place) for (grp, _), pair in ends.items() for place in pair}, sizes)
    found = {
        name: {grp: _quantile(grp, name, below, middles, ends, values) for grp, below in sums.pop(name).items()}
        for name in QUANTILES
    }
    return Tally(
        scope, sums, found, forced, crossover, first_ms, ask(delivery, scope), ask(weights_over_time, scope.experiment)
    )


def per_unit(scope: Scope, grp: str, limits: Mapping[str, float]) -> Select[Any]:
    """One row for each unit of a group that counts: what it adds to each metric.

    `limits` are the group's quantiles by name: how many of the unit's answers took at most so long.
    """
    x, a = exposure.alias("x"), answer.alias("a")
    fine, stray = a.c.failed == 0, and_(a.c.response_time.is_not(None), a.c.grp.is_distinct_from(grp))
    liked = a.c.liked if scope.until_ms is None else case((a.c.rated_ms < scope.until_ms, a.c.liked))
    tokens, cost = case((fine, a.c.completion_tokens)), case((fine, a.c.cost_usd))
    columns = {
        "failed": _total(a.c.failed), "answers": _number(a.c.failed),
        "liked": _total(liked), "rated": _number(liked),
        "seconds": _total(a.c.response_time), "timed": _number(a.c.response_time),
        "first": _total(a.c.time_to_first_token), "started": _number(a.c.time_to_first_token),
        "tokens": _total(tokens), "counted": _number(tokens),
        "cost": _total(cost), "priced": _number(cost),
        "one": cast(literal(1), Float), "stray": _number(case((stray, 1))),
    }  # fmt: skip
    for name in QUANTILES:
        below = a.c.response_time <= limits[name] if name in limits else false()
        columns[name] = _number(case((below, 1)))
    return (
        select(x.c.user_id, *(one.label(name) for name, one in columns.items()))
        .select_from(x.outerjoin(a, answers_of(x, a, scope)))
        .where(x.c.grp == grp, first(x, scope))
        .group_by(x.c.user_id)
    )


def _total(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.coalesce(func.sum(column), 0), Float)


def _number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.count(column), Float)


def _by_group(read: Read, scope: Scope, limits: Mapping[tuple[str, str], float]) -> _Rows:
    """The sums of each group, of two groups at the same time: a statement keeps one core busy."""

    def ask(grp: str) -> list[float] | None:
        own = {name: limit for (other, name), limit in limits.items() if other == grp}
        with read() as connection:
            return _sum(connection, per_unit(scope, grp, own))

    with read() as connection:
        groups = sorted(connection.scalars(select(exposure.c.grp).where(exposures(exposure, scope)).distinct()))
    with ThreadPoolExecutor(2) as threads:
        return {grp: row for grp, row in zip(groups, threads.map(ask, groups), strict=True) if row}


def _sum(connection: Connection, units: Select[Any]) -> list[float] | None:
    """All units added up; None where there are none."""
    unit = units.subquery().c
    columns = [one for x, y in _SUMMED.values() for one in _six(unit[x], unit[y])]
    row = connection.execute(select(func.count(), func.sum(unit.stray), *columns)).one()
    return [float(number) for number in row] if row[0] else None


def _six(x: ColumnElement[Any], y: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [func.sum(x), func.sum(y), func.sum(x * x), func.sum(y * y), func.sum(x * y), func.count(case((y > 0, 1)))]


def _by_metric(rows: _Rows) -> dict[str, dict[str, UnitSums]]:
    """By metric (or quantile, whose units are those with an answer) and group."""
    sums: dict[str, dict[str, UnitSums]] = {name: {} for name in _SUMMED}
    for grp, (units, _, *numbers) in rows.items():
        for place, name in enumerate(_SUMMED):
            sx, sy, sxx, syy, sxy, active = numbers[6 * place : 6 * place + 6]
            n = active if name in QUANTILES else units
            sums[name][grp] = UnitSums(int(n), sx, sy, sxx, syy, sxy, int(active))
    return sums


def _same(sizes: Mapping[str, int], rows: _Rows, sums: Mapping[str, Mapping[str, UnitSums]]) -> bool:
    """Whether the answers that were put in order are those of the units: none by another name, and as many."""
    return all(not rows[grp][1] and sizes.get(grp, 0) == timed.sy for grp, timed in sums["response_time"].items())


def _ends(
    sums: Mapping[str, Mapping[str, UnitSums]], sizes: Mapping[str, int], rank: Rank, span: Span
) -> dict[tuple[str, str], tuple[int, int]]:
    """The ranks between which each quantile lies."""
    ends = {}
    for name, p in QUANTILES.items():
        for grp, below in sums[name].items():
            if (shares := span(p, below)) is not None:
                ends[grp, name] = rank(shares[0], sizes[grp]), rank(shares[1], sizes[grp])
    return ends


def _quantile(
    grp: str, name: str, below: UnitSums, middles: Mapping[tuple[str, str], int],
    ends: Mapping[tuple[str, str], tuple[int, int]], values: Mapping[Place, float],
) -> Quantile:  # fmt: skip
    """One group's quantile out of the values that were looked up."""
    if (grp, name) not in middles:
        return Quantile(None, None, None, below)
    value = values[grp, middles[grp, name]]
    low, high = (values[grp, place] for place in ends[grp, name]) if (grp, name) in ends else (None, None)
    return Quantile(value, low, high, below)


def delivery(connection: Connection, scope: Scope) -> Delivery:
    """Events in the whole record, how many Statsig has acknowledged, how many wait for it."""
    counts = select(func.count(), func.count(event.c.acknowledged_ms)).where(event.c.simulated == scope.simulated)
    events, acknowledged = connection.execute(counts.select_from(event)).one()
    pending = 0 if scope.simulated else connection.scalar(select(func.count()).select_from(outbox))
    return Delivery(events, acknowledged, pending)


def only_simulated(connection: Connection, experiment: str) -> bool:
    """Whether the experiment has exposures, and all of them are simulated."""

    def some(simulated: bool) -> ColumnElement[bool]:
        return exists().where(exposure.c.experiment == experiment, exposure.c.simulated == simulated)

    real, invented = connection.execute(select(some(False), some(True))).one()
    return bool(invented) and not real
