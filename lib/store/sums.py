"""What a readout counts, as SQL: no event is ever loaded, the database sums, group by group.

Owns what each metric sums. Who counts is in `units`, which answer stands at a rank in `ranks`. Knows no formula: which
rank a quantile has is handed in.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

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

from lib.statistics.sums import QUANTILES, Delivery, Quantile, Scope, Tally, UnitSums
from lib.store.ranks import Ranks
from lib.store.schema import answer, event, exposure, outbox, purged
from lib.store.splits import weights_over_time
from lib.store.units import answers_of, excluded, exposures, first

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


class _Group(NamedTuple):
    """What one group's units add up to, by metric, and its quantiles."""

    sums: Mapping[str, UnitSums]
    quantiles: Mapping[str, Quantile]


def tally(read: Read, scope: Scope, rank: Rank, span: Span) -> Tally:
    """All that a readout needs: of two groups at the same time, because a statement keeps one core busy."""

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        with read() as connection:
            return question(connection, *more)

    with ThreadPoolExecutor(2) as threads:
        groups = ask(_names, scope)
        counted = [threads.submit(ask, _count, scope, grp, rank, span) for grp in groups]
        left, sent = threads.submit(ask, excluded, scope), threads.submit(ask, delivery, scope)
        found = {grp: one.result() for grp, one in zip(groups, counted, strict=True)}
        forced, crossover, first_ms = left.result()
    found = {grp: one for grp, one in found.items() if one is not None}
    sums = {name: {grp: one.sums[name] for grp, one in found.items()} for name in METRICS}
    quantiles = {name: {grp: one.quantiles[name] for grp, one in found.items()} for name in QUANTILES}
    weights = ask(weights_over_time, scope.experiment)
    return Tally(scope, sums, quantiles, forced, crossover, first_ms, sent.result(), weights)


def _names(connection: Connection, scope: Scope) -> list[str]:
    return sorted(connection.scalars(select(exposure.c.grp).where(exposures(exposure, scope)).distinct()))


def _count(connection: Connection, scope: Scope, grp: str, rank: Rank, span: Span) -> _Group | None:
    """One group; None where no unit counts.

    How many answers each unit has up to a quantile is summed together with everything else, so the quantile must be
    known before: it is guessed from all answers in the group, also of units that do not count. What was summed then
    shows the way from the guess to the quantile, and where that is another value, it is summed again.
    """
    ranks = Ranks(connection, scope, grp)
    given = ranks.given()
    guess = ranks.among_given([rank(p, given) for p in QUANTILES.values()], given) if given else []
    limits = dict(zip(QUANTILES, guess, strict=False))
    sums, strays = _sum(connection, per_unit(scope, grp, limits))
    size = int(sums["response_time"].sy)
    if not sums["answers_per_user"].n:
        return None
    if not size:
        return _Group(sums, {name: Quantile(None, None, None, sums[name]) for name in QUANTILES})
    places = {name: rank(p, size) for name, p in QUANTILES.items()}
    found = _values(ranks, places.values(), sums, limits, strays)
    if limits != (limits := {name: found[place] for name, place in places.items()}):
        sums, strays = _sum(connection, per_unit(scope, grp, limits))
    spans = {name: span(p, sums[name]) for name, p in QUANTILES.items()}
    ends = {name: [rank(share, size) for share in shares] for name, shares in spans.items() if shares}
    found = _values(ranks, {place for pair in ends.values() for place in pair}, sums, limits, strays)
    quantiles = {}
    for name, value in limits.items():
        low, high = (found[place] for place in ends[name]) if name in ends else (None, None)
        quantiles[name] = Quantile(value, low, high, sums[name])
    return _Group(sums, quantiles)


def _values(
    ranks: Ranks, places: Collection[int], sums: Mapping[str, UnitSums], limits: Mapping[str, float], strays: bool
) -> dict[int, float]:
    """The response times at these ranks, from what was summed up to the limits."""
    known = {limit: int(sums[name].sx) for name, limit in limits.items()}
    return ranks.among_counted(places, int(sums["response_time"].sy), known, strays)


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


def _sum(connection: Connection, units: Select[Any]) -> tuple[dict[str, UnitSums], bool]:
    """All units added up, by metric and quantile (whose units are those with an answer), and whether any of their
    answers was given under another group's name."""
    unit = units.subquery().c
    columns = [one for x, y in _SUMMED.values() for one in _six(unit[x], unit[y])]
    row = connection.execute(select(func.count(), func.sum(unit.stray), *columns)).one()
    n, strays, *numbers = (float(number or 0) for number in row)
    sums = {}
    for place, name in enumerate(_SUMMED):
        sx, sy, sxx, syy, sxy, active = numbers[6 * place : 6 * place + 6]
        sums[name] = UnitSums(int(active if name in QUANTILES else n), sx, sy, sxx, syy, sxy, int(active))
    return sums, strays > 0


def _six(x: ColumnElement[Any], y: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [func.sum(x), func.sum(y), func.sum(x * x), func.sum(y * y), func.sum(x * y), func.count(case((y > 0, 1)))]


def delivery(connection: Connection, scope: Scope) -> Delivery:
    """Events in the whole record, those that were purged included; how many Statsig has acknowledged, and how many wait
    for it."""
    counts = select(func.count(), func.count(event.c.acknowledged_ms)).where(event.c.simulated == scope.simulated)
    events, acknowledged = connection.execute(counts.select_from(event)).one()
    gone = select(purged.c.events, purged.c.acknowledged).where(purged.c.simulated == scope.simulated)
    for row in connection.execute(gone):
        events, acknowledged = events + row.events, acknowledged + row.acknowledged
    pending = 0 if scope.simulated else connection.scalar(select(func.count()).select_from(outbox))
    return Delivery(events, acknowledged, pending)


def only_simulated(connection: Connection, experiment: str) -> bool:
    """Whether the experiment has exposures, and all of them are simulated."""

    def some(simulated: bool) -> ColumnElement[bool]:
        return exists().where(exposure.c.experiment == experiment, exposure.c.simulated == simulated)

    real, invented = connection.execute(select(some(False), some(True))).one()
    return bool(invented) and not real
