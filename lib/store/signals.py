"""Implicit signals about answers: stopped, copied, regenerated, abandoned.

Counts by group over the same units and answers as the readout. Starts from the few answers that have a signal, so that
the others cost nothing. Knows no formula.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Float, cast, func, select

from lib.domain.rating import SIGNALS
from lib.statistics.sums import Scope, Sums
from lib.store.schema import STOPPED, answer, event, exposure
from lib.store.units import answers_of, first


def stopped(connection: Connection, scope: Scope) -> dict[str, int]:
    """Count by group the answers that their testers stopped."""
    x = exposure.alias("x")
    counted = (
        select(x.c.grp, func.count())
        .join_from(x, answer, answers_of(x, answer, scope))
        .where(first(x, scope), STOPPED)
        .group_by(x.c.grp)
    )
    return {row[0]: row[1] for row in connection.execute(counted)}


def signals(connection: Connection, scope: Scope, answers: Mapping[str, Sums]) -> dict[str, dict[str, Sums]]:
    """Sum by signal and group: x = answers with the signal, y = answers, over units.

    `answers` are the group's sums of `answers_per_user`: units without a signal add nothing to the sums with x.
    """
    x, a, b = exposure.alias("x"), answer.alias("a"), answer.alias("b")
    signalled = select(event.c.answer_id, event.c.name).where(event.c.name.in_(SIGNALS)).distinct().subquery()
    every = select(func.count()).where(answers_of(x, b, scope)).correlate(x).scalar_subquery()
    units = (
        select(x.c.grp, signalled.c.name, cast(func.count(), Float).label("x"), cast(every, Float).label("y"))
        .select_from(signalled.join(a, a.c.answer_id == signalled.c.answer_id).join(x, answers_of(x, a, scope)))
        .where(first(x, scope))
        .group_by(x.c.grp, x.c.user_id, x.c.time_ms, signalled.c.name)
        .subquery()
        .c
    )
    columns = func.sum(units.x), func.sum(units.x * units.x), func.sum(units.x * units.y)
    rows = connection.execute(select(units.name, units.grp, *columns).group_by(units.name, units.grp))
    counted = {(row[0], row[1]): row[2:] for row in rows}
    return {
        name: {grp: _sums(answers_of_group, counted.get((name, grp))) for grp, answers_of_group in answers.items()}
        for name in SIGNALS
    }


def answers_per_unit(connection: Connection, scope: Scope) -> dict[str, Sums]:
    """Sum by group the answers of its units, like the metric `answers_per_user`: x = answers, y = 1."""
    x, a = exposure.alias("x"), answer.alias("a")
    units = select(x.c.grp, cast(func.count(a.c.answer_id), Float).label("n"))
    units = units.select_from(x.outerjoin(a, answers_of(x, a, scope))).where(first(x, scope))
    unit = units.group_by(x.c.grp, x.c.user_id).subquery().c
    rows = select(unit.grp, func.count(), func.sum(unit.n), func.sum(unit.n * unit.n)).group_by(unit.grp)
    return {grp: Sums(n, sx, n, sxx, n, sx, n) for grp, n, sx, sxx in connection.execute(rows)}


def _sums(answers: Sums, counted: tuple[float, float, float] | None) -> Sums:
    sx, sxx, sxy = counted or (0.0, 0.0, 0.0)
    return Sums(answers.n, sx, answers.sx, sxx, answers.sxx, sxy, answers.active)
