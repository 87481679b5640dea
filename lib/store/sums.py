"""The sums of a readout, as SQL: no event is ever loaded, the database adds up the units of a group.

Owns the numerator and the denominator of each metric. The units that count are in `units`, all sums of a readout
together in `tallies`.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Select, and_, case, cast, false, func, literal, select

from lib.statistics.sums import QUANTILES, Scope, Sums
from lib.store.schema import answer, exposure
from lib.store.units import answers_of, first

METRICS: Mapping[str, tuple[str, str]] = {
    "satisfaction": ("liked", "rated"),
    "rating_rate": ("rated", "answers"),
    "up_per_answer": ("liked", "answers"),
    "down_per_answer": ("disliked", "answers"),
    "error_rate": ("failed", "answers"),
    "response_time": ("seconds", "timed"),
    "time_to_first_token": ("first", "started"),
    "completion_tokens": ("tokens", "counted"),
    "cost_per_answer": ("cost", "priced"),
    "answers_per_user": ("answers", "one"),
}
"""The numerator and the denominator of each metric, by the column names of `per_unit`."""
_SUMMED = {**METRICS, **{name: (name, "timed") for name in QUANTILES}}


def per_unit(scope: Scope, grp: str, limits: Mapping[str, float]) -> Select[Any]:
    """Select one row for each counted unit of a group: its addition to each metric.

    `limits` are the group's quantiles in seconds, by name; a column counts the unit's answers up to each of them.
    """
    x, a = exposure.alias("x"), answer.alias("a")
    fine = a.c.failed == 0
    liked = a.c.liked if scope.until_ms is None else case((a.c.rated_ms < scope.until_ms, a.c.liked))
    seconds, tokens, cost = (
        case((fine, column)) for column in (a.c.response_time, a.c.completion_tokens, a.c.cost_usd)
    )
    stray = and_(seconds.is_not(None), a.c.grp.is_distinct_from(grp))
    columns = {
        "failed": _total(a.c.failed),
        "answers": _number(a.c.failed),
        "liked": _total(liked),
        "rated": _number(liked),
        "disliked": _total(1 - liked),
        "seconds": _total(seconds),
        "timed": _number(seconds),
        "first": _total(a.c.time_to_first_token),
        "started": _number(a.c.time_to_first_token),
        "tokens": _total(tokens),
        "counted": _number(tokens),
        "cost": _total(cost),
        "priced": _number(cost),
        "one": cast(literal(1), Float),
        "stray": _number(case((stray, 1))),
    }
    for name in QUANTILES:
        below = seconds <= limits[name] if name in limits else false()
        columns[name] = _number(case((below, 1)))
    return (
        select(x.c.user_id, *(column.label(name) for name, column in columns.items()))
        .select_from(x.outerjoin(a, answers_of(x, a, scope)))
        .where(x.c.grp == grp, first(x, scope))
        .group_by(x.c.user_id)
    )


def answers_by_unit(scope: Scope, grp: str) -> Select[Any]:
    """Select one row for each counted unit of a group that has an answer: the number of its answers."""
    x, a = exposure.alias("x"), answer.alias("a")
    units = select(x.c.user_id, func.count().label("answers")).join_from(x, a, answers_of(x, a, scope))
    return units.where(x.c.grp == grp, first(x, scope)).group_by(x.c.user_id)


def _total(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.coalesce(func.sum(column), 0), Float)


def _number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.count(column), Float)


def sum_units(connection: Connection, units: Select[Any]) -> tuple[dict[str, Sums], bool, float]:
    """Return the sums over units by metric and quantile; True where any of their answers was given under another
    group's name; and the number of answers of the busiest unit."""
    unit = units.subquery().c
    terms = {term: _sum_of(unit, term) for x, y in _SUMMED.values() for term in _terms(x, y)}
    row = connection.execute(select(func.count(), func.sum(unit.stray), func.max(unit.answers), *terms.values())).one()
    n, strays, busiest, *numbers = (float(number or 0) for number in row)
    total = dict(zip(terms, numbers, strict=True))
    sums = {}
    for name, (x, y) in _SUMMED.items():
        sx, sy, sxx, syy, sxy, active = (total[term] for term in _terms(x, y))
        sums[name] = Sums(int(active if name in QUANTILES else n), sx, sy, sxx, syy, sxy, int(active))
    return sums, strays > 0, busiest


_Term = tuple[str, ...]
"""A column, or two whose product is summed; with a mark, the number of units that have any of the column."""
_ACTIVE = "> 0"


def _terms(x: str, y: str) -> tuple[_Term, ...]:
    """Return the terms Σx, Σy, Σx², Σy², Σxy and the number of units with data. Metrics share most of them, so each is
    summed once."""
    return (x,), (y,), (x, x), (y, y), (x, y), (y, _ACTIVE)


def _sum_of(unit: Any, term: _Term) -> ColumnElement[Any]:
    first, *second = term
    if second == [_ACTIVE]:
        return func.count(case((unit[first] > 0, 1)))
    return func.sum(unit[first] * unit[second[0]] if second else unit[first])
