"""Counts that the Results page shows beside the readout: arrivals, response times, reasons.

Each is one statement over the units and answers of the readout. Days are UTC. Knows no formula.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, or_, select

from lib.domain.clock import DAY_MS
from lib.statistics.sums import Remark, Scope
from lib.store.schema import answer, conversation, exposure, message
from lib.store.units import answers_of, day_of, exposures, first


def exposed_per_day(connection: Connection, scope: Scope) -> list[tuple[int, str, int]]:
    """Return (start of the day, group, units first exposed on it), of the counted units, in order."""
    x = exposure.alias("x")
    day = day_of(x.c.time_ms)
    counted = select(day, x.c.grp, func.count()).where(first(x, scope)).group_by(day, x.c.grp).order_by(day, x.c.grp)
    return [(int(row[0]) * DAY_MS, row[1], row[2]) for row in connection.execute(counted)]


def tiers_of(connection: Connection, scope: Scope) -> list[str]:
    """Return the tiers of the exposures, in order."""
    return sorted(connection.scalars(select(exposure.c.tier).where(exposures(exposure, scope)).distinct()))


def response_times(connection: Connection, scope: Scope, edges: Sequence[float]) -> dict[str, list[int]]:
    """Count by group the answers below the first edge, between edges, and above the last; failed ones excluded."""
    x, a = exposure.alias("x"), answer.alias("a")
    timed = and_(a.c.failed == 0, a.c.response_time.is_not(None))
    place = case((timed, _place(a.c.response_time, edges, 0))).label("place")
    # Joined to units without an answer, too: otherwise SQLite starts from the answers and looks up the unit of each.
    answers = select(place).select_from(x.outerjoin(a, answers_of(x, a, scope))).where(first(x, scope))
    groups = select(exposure.c.grp).where(exposures(exposure, scope)).distinct()
    counts: dict[str, list[int]] = {}
    for grp in sorted(connection.scalars(groups)):
        placed = answers.where(x.c.grp == grp).subquery().c.place
        counted = select(placed, func.count()).where(placed.is_not(None)).group_by(placed)
        for number, count in connection.execute(counted):
            counts.setdefault(grp, [0] * (len(edges) + 1))[number] = count
    return counts


def _place(value: ColumnElement[float], edges: Sequence[float], below: int) -> ColumnElement[int]:
    """Return the number of edges up to the value, by bisection; at least `below`."""
    if not edges:
        return literal(below)
    middle = len(edges) // 2
    upper = _place(value, edges[middle + 1 :], below + middle + 1)
    return case((value < edges[middle], _place(value, edges[:middle], below)), else_=upper)


def reasons(connection: Connection, scope: Scope) -> dict[str, dict[str, int]]:
    """Count by group and reason the answers that dissatisfied testers gave it for."""
    x, a = exposure.alias("x"), answer.alias("a")
    counted = (
        select(x.c.grp, a.c.reason, func.count())
        .join_from(x, a, answers_of(x, a, scope))
        .where(first(x, scope), a.c.liked == 0, a.c.reason.is_not(None))
        .group_by(x.c.grp, a.c.reason)
    )
    counts: dict[str, dict[str, int]] = {}
    for grp, reason, count in connection.execute(counted):
        counts.setdefault(grp, {})[reason] = count
    return counts


def remarks(connection: Connection, scope: Scope, limit: int = 50) -> list[Remark]:
    """Return the last reasons and comments of dissatisfied testers, newest first."""
    x, a = exposure.alias("x"), answer.alias("a")
    of_answer = (a.c.rated_ms, x.c.grp, a.c.reason, message.c.comment, a.c.answer_id, a.c.conversation_id)
    query = (
        select(*of_answer, conversation.c.visitor_id, message.c.question, message.c.answer)
        .join_from(a, x, answers_of(x, a, scope))
        .outerjoin(message, message.c.answer_id == a.c.answer_id)
        .outerjoin(conversation, conversation.c.id == a.c.conversation_id)
        .where(first(x, scope), a.c.liked == 0, or_(a.c.reason.is_not(None), message.c.comment.is_not(None)))
        .order_by(a.c.rated_ms.desc(), a.c.answer_id)
        .limit(limit)
    )
    return [Remark(*row) for row in connection.execute(query)]
