"""The units that count in a readout, as conditions in SQL.

A unit is in the group of its first exposure, its answers count from that moment on, and units with a forced exposure or
two groups are left out (intent to treat). Knows the tables; sums nothing.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    or_,
    select,
)

from lib.domain.clock import DAY_MS
from lib.domain.operations import stretch
from lib.statistics.sums import Scope
from lib.store.schema import exposure

HOUR_MS = 3_600_000


def in_scope(table: FromClause, scope: Scope) -> ColumnElement[bool]:
    """Select rows of this run, real or simulated, before `until`, of one tier, of all units or an invitation's
    guests."""
    rows = [table.c.experiment == stretch(scope.experiment, scope.run), table.c.simulated == scope.simulated]
    if scope.invitation is not None:
        guests = exposure.alias("came")  # whichever id of the guest is the unit
        rows.append(table.c.user_id.in_(select(guests.c.user_id).where(guests.c.invitation == scope.invitation)))
    if scope.tier is not None:
        rows.append(table.c.tier == scope.tier)
    if scope.until_ms is not None:
        rows.append(table.c.time_ms < scope.until_ms)
    return and_(*rows)


def exposures(table: FromClause, scope: Scope) -> ColumnElement[bool]:
    """Select exposures that count: with a group (null: not taking part), from `since` on."""
    rows = [in_scope(table, scope), table.c.grp.is_not(None)]
    if scope.since_ms is not None:
        rows.append(table.c.time_ms >= scope.since_ms)
    return and_(*rows)


def first(x: FromClause, scope: Scope, *, include_excluded: bool = False) -> ColumnElement[bool]:
    """Require that `x` is the first exposure of a unit that counts (or of any unit).

    The condition is per row rather than by grouping, so that SQLite walks units in the order of its index without
    sorting.
    """
    y = exposure.alias("y")
    against = or_(y.c.time_ms < x.c.time_ms, and_(y.c.time_ms == x.c.time_ms, y.c.event_id < x.c.event_id))
    if not include_excluded:
        against = or_(y.c.grp != x.c.grp, y.c.forced, against)
    return and_(exposures(x, scope), ~exists().where(exposures(y, scope), y.c.user_id == x.c.user_id, against))


def answers_of(x: FromClause, a: FromClause, scope: Scope) -> ColumnElement[bool]:
    """Require that `a` is an answer of the unit of exposure `x`, from then on; `limited` ones are excluded."""
    own = and_(a.c.user_id == x.c.user_id, a.c.time_ms >= x.c.time_ms)
    return and_(in_scope(a, scope), a.c.failed.is_not(None), own)


def all_units(scope: Scope) -> Select[Any]:
    """Select every exposed unit with the columns that decide whether it counts."""
    forced = func.max(case((exposure.c.forced, 1), else_=0)).label("forced")
    least, most = func.min(exposure.c.grp).label("least"), func.max(exposure.c.grp).label("most")
    units = select(exposure.c.user_id, forced, least, most, func.min(exposure.c.time_ms).label("first_ms"))
    return units.where(exposures(exposure, scope)).group_by(exposure.c.user_id)


def units_by_group(connection: Connection, scope: Scope) -> tuple[dict[str, int], int | None]:
    """Return the units that count by group, and the time of the first exposure of all: one walk along an index."""
    unit = all_units(scope).subquery().c
    counts = and_(unit.forced == 0, unit.least == unit.most)
    query = select(unit.least, func.count(case((counts, 1))), func.min(unit.first_ms)).group_by(unit.least)
    rows = connection.execute(query).all()
    return {row[0]: row[1] for row in rows}, min((row[2] for row in rows), default=None)


def arrivals(connection: Connection, scope: Scope) -> list[tuple[int, dict[str, int]]]:
    """Count the new units that count, by group, of each hour that has any: (start of the hour, units)."""
    x = exposure.alias("x")
    hour = cast(x.c.time_ms // HOUR_MS, BigInteger)
    counted = select(hour, x.c.grp, func.count()).where(first(x, scope)).group_by(hour, x.c.grp).order_by(hour)
    by_hour: dict[int, dict[str, int]] = {}
    for start, grp, n in connection.execute(counted):
        by_hour.setdefault(int(start) * HOUR_MS, {})[grp] = n
    return list(by_hour.items())


def excluded(connection: Connection, scope: Scope) -> tuple[int, int, int | None]:
    """Return units with a forced exposure, other units of two groups, and the time of the first exposure of all."""
    unit = all_units(scope).subquery().c
    forced, crossover = unit.forced > 0, unit.least != unit.most
    counts = select(
        func.count(case((forced, 1))), func.count(case((and_(~forced, crossover), 1))), func.min(unit.first_ms)
    )
    row = connection.execute(counts).one()
    return row[0], row[1], row[2]


def day_of(time_ms: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the number of the day (UTC) since 1970."""
    return cast(time_ms // DAY_MS, BigInteger)
