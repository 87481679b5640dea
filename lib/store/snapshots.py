"""The sums of one metric at the end of each day, as a readout had them, in one statement.

Days are UTC. Knows no formula.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    FunctionElement,
    Select,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)

from lib.domain.clock import DAY_MS
from lib.statistics.sums import Scope, Snapshot, Sums
from lib.store.schema import answer, exposure
from lib.store.units import answers_of, day_of, exposures, first


def snapshots(connection: Connection, scope: Scope, metric: str) -> list[Snapshot]:
    """Return a metric's sums at the end of each day since the first exposure, as a readout had them.

    A rating counts from its last change, and a unit that met a second group counts until then.
    """
    days: dict[int, dict[str, list[float]]] = {}
    for grp, day, *change in connection.execute(_changes(scope, metric)):
        days.setdefault(int(day), {})[grp] = [float(number) for number in change]
    totals: dict[str, list[float]] = {grp: [0.0] * 7 for change in days.values() for grp in sorted(change)}
    days_with_sums = []
    for day in range(min(days, default=0), max(days, default=-1) + 1):
        for grp, change in days.get(day, {}).items():
            totals[grp] = [total + step for total, step in zip(totals[grp], change, strict=True)]
        sums = {
            grp: Sums(round(n), sx, sy, sxx, syy, sxy, round(active))
            for grp, (n, sx, sy, sxx, syy, sxy, active) in totals.items()
        }
        days_with_sums.append(Snapshot((day + 1) * DAY_MS, sums))
    return days_with_sums


def _changes(scope: Scope, metric: str) -> Select[Any]:
    """Select by group and day the changes of the seven sums.

    A unit's sums x and y run along its days; what the group's sum of x² gains on a day is x² after it less x² before.
    """
    daily = _unit_days(scope, metric)
    left = daily.c.leaves > 0
    after = select(
        daily.c.user_id,
        daily.c.grp,
        daily.c.day,
        (daily.c.enters - daily.c.leaves).label("n"),
        case((left, 0.0), else_=_along(func.sum(daily.c.x), daily)).label("x"),
        case((left, 0.0), else_=_along(func.sum(daily.c.y), daily)).label("y"),
    ).subquery("after")
    both = select(
        *after.c,
        func.coalesce(_along(func.lag(after.c.x), after), 0.0).label("x0"),
        func.coalesce(_along(func.lag(after.c.y), after), 0.0).label("y0"),
    ).subquery("both")
    x, y, x0, y0 = both.c.x, both.c.y, both.c.x0, both.c.y0
    gains = (both.c.n, x - x0, y - y0, x * x - x0 * x0, y * y - y0 * y0, x * y - x0 * y0, _has(y) - _has(y0))
    return select(both.c.grp, both.c.day, *(func.sum(gain) for gain in gains)).group_by(both.c.grp, both.c.day)


def _along(total: FunctionElement[Any], rows: FromClause) -> ColumnElement[Any]:
    return total.over(partition_by=rows.c.user_id, order_by=rows.c.day)


def _has(y: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((y > 0, 1), else_=0)


def _unit_days(scope: Scope, metric: str) -> FromClause:
    """Select by unit and day the additions to x and y, and whether the unit began to count (`enters`) or ceased to
    (`leaves`)."""
    units = _lives(scope)
    stays = or_(units.c.left_day.is_(None), units.c.day < units.c.left_day)
    none, one = cast(literal(0), Float), cast(literal(1), Float)
    enters = select(
        units.c.user_id,
        units.c.grp,
        units.c.day,
        none.label("x"),
        (one if metric == "answers_per_user" else none).label("y"),
        literal(1).label("enters"),
        literal(0).label("leaves"),
    ).where(stays)
    leaves = select(units.c.user_id, units.c.grp, units.c.left_day, none, none, literal(0), literal(1)).where(
        stays, units.c.left_day.is_not(None)
    )
    moves = union_all(enters, leaves, *(_added(units, scope, *part) for part in _parts(metric))).subquery("moves")
    sums = (func.sum(moves.c[name]).label(name) for name in ("x", "y", "enters", "leaves"))
    rows = select(moves.c.user_id, moves.c.grp, moves.c.day, *sums)
    return rows.group_by(moves.c.user_id, moves.c.grp, moves.c.day).subquery("daily")


def _lives(scope: Scope) -> FromClause:
    """Select every unit with the day of its first exposure and the day (null: none) on which it was excluded."""
    x, y = exposure.alias("x"), exposure.alias("y")
    left = (
        select(func.min(y.c.time_ms))
        .where(exposures(y, scope), y.c.user_id == x.c.user_id, or_(y.c.grp != x.c.grp, y.c.forced))
        .scalar_subquery()
    )
    chosen = select(x.c.user_id, x.c.grp, x.c.time_ms, day_of(x.c.time_ms).label("day"), day_of(left).label("left_day"))
    return chosen.where(first(x, scope, include_excluded=True)).cte("lives")


_A = answer.alias("a")
_RATED = case((_A.c.rated_ms > _A.c.time_ms, _A.c.rated_ms), else_=_A.c.time_ms)
_Part = tuple[ColumnElement[Any], ColumnElement[Any] | None, ColumnElement[Any] | None, ColumnElement[bool] | None]


def _parts(metric: str) -> list[_Part]:
    """Return the answers that add to x and to y, with the amount and the time from which they do."""
    one, sound = cast(literal(1), Float), _A.c.failed == 0
    measured = {
        "response_time": (_A.c.response_time, sound),
        "time_to_first_token": (_A.c.time_to_first_token, None),
        "completion_tokens": (_A.c.completion_tokens, sound),
        "cost_per_answer": (_A.c.cost_usd, sound),
    }
    if metric in measured:
        value, condition = measured[metric]
        has = value.is_not(None)
        return [(_A.c.time_ms, cast(value, Float), one, has if condition is None else has & condition)]
    rated, liked = _A.c.liked.is_not(None), cast(_A.c.liked, Float)
    counted: dict[str, list[_Part]] = {
        "satisfaction": [(_RATED, liked, one, rated)],
        "rating_rate": [(_A.c.time_ms, None, one, None), (_RATED, one, None, rated)],
        "up_per_answer": [(_A.c.time_ms, None, one, None), (_RATED, liked, None, rated)],
        "down_per_answer": [(_A.c.time_ms, None, one, None), (_RATED, 1 - liked, None, rated)],
        "error_rate": [(_A.c.time_ms, cast(_A.c.failed, Float), one, None)],
        "answers_per_user": [(_A.c.time_ms, one, None, None)],
    }
    return counted[metric]


def _added(
    units: FromClause,
    scope: Scope,
    moment: ColumnElement[Any],
    x: ColumnElement[Any] | None,
    y: ColumnElement[Any] | None,
    condition: ColumnElement[bool] | None,
) -> Select[Any]:
    day, none = day_of(moment), cast(literal(0), Float)
    both = [none if column is None else column for column in (x, y)]
    rows = (
        select(units.c.user_id, units.c.grp, day, *both, literal(0), literal(0))
        .select_from(units.join(_A, answers_of(units, _A, scope)))
        .where(or_(units.c.left_day.is_(None), day < units.c.left_day))
    )
    if scope.until_ms is not None:
        rows = rows.where(moment < scope.until_ms)
    return rows if condition is None else rows.where(condition)
