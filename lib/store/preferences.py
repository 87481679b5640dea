"""Sums of the votes on comparisons, by pair of groups. Knows no control, no formula and no verdict.

A unit that compares is never exposed, so that nothing here depends on the units of the A/B test.
"""

from sqlalchemy import ColumnElement, Connection, and_, func, select

from lib.domain.operations import stretch
from lib.statistics.sums import Scope, Sums, VoteSums
from lib.store.schema import vote

Pair = tuple[str, str]
"""Two groups in alphabetical order."""


def votes_by_pair(connection: Connection, scope: Scope) -> dict[Pair, VoteSums]:
    """Sum the votes of every pair of groups over its testers."""
    pair = vote.c.first_grp, vote.c.second_grp
    units = (
        select(
            *pair,
            func.count().label("y"),
            func.sum(vote.c.worth).label("x"),
            func.sum(vote.c.worth * vote.c.worth).label("decided"),
            func.sum(vote.c.both_bad).label("both_bad"),
            func.sum(vote.c.left_won).label("left_won"),
        )
        .where(_counted(scope))
        .group_by(*pair, vote.c.user_id)
        .subquery()
        .c
    )
    x, y, both = units.x, units.y, (units.first_grp, units.second_grp)
    totals = (func.sum(column) for column in (x, y, x * x, y * y, x * y, units.decided, units.both_bad, units.left_won))
    sums = {}
    for first, second, n, *rest in connection.execute(select(*both, func.count(), *totals).group_by(*both)):
        sx, sy, sxx, syy, sxy, *counts = (int(column) for column in rest)
        sums[first, second] = VoteSums(Sums(n, sx, sy, sxx, syy, sxy, n), *counts)
    return sums


def _counted(scope: Scope) -> ColumnElement[bool]:
    """Select the votes of this experiment, real or simulated, of the scope's time, tier and guests."""
    name = stretch(scope.experiment, scope.run)
    rows = [vote.c.experiment == name, vote.c.simulated == scope.simulated, vote.c.worth.is_not(None)]
    if scope.since_ms is not None:
        rows.append(vote.c.time_ms >= scope.since_ms)
    if scope.until_ms is not None:
        rows.append(vote.c.time_ms < scope.until_ms)
    if scope.tier is not None:
        rows.append(vote.c.tier == scope.tier)
    if scope.invitation is not None:
        came = vote.alias("came")
        guests = select(came.c.user_id).where(came.c.experiment == name, came.c.invitation == scope.invitation)
        rows.append(vote.c.user_id.in_(guests))
    return and_(*rows)
