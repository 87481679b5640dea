"""The planned look: the first midnight (UTC) at which all planned units have come, and the sums as of then.

A rating counts as it was at that midnight, later changes do not. Knows no formula.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import fsum

from sqlalchemy import Connection, select

from lib.domain.clock import DAY_MS
from lib.domain.events import RATING_WITHDRAWN
from lib.domain.rating import RATINGS
from lib.statistics.sums import Plan, Planned, Scope, Sums
from lib.store.schema import answer, event, exposure
from lib.store.sums import METRICS, per_unit
from lib.store.units import answers_of, exposures, first

VOTES = (*RATINGS, RATING_WITHDRAWN)
RATED = ("satisfaction", "rating_rate", "up_per_answer", "down_per_answer")
"""The metrics that a rating changes."""
PIECE = 500
"""Answers whose votes one statement looks up."""


def planned(connection: Connection, scope: Scope, plan: Plan) -> Planned | None:
    """Return the planned look; None while fewer units count."""
    x = exposure.alias("x")
    nth = select(x.c.time_ms).where(first(x, scope)).order_by(x.c.time_ms).offset(plan.users - 1).limit(1)
    reached_ms = connection.scalar(nth)
    if reached_ms is None:
        return None
    at_ms = -(-reached_ms // DAY_MS) * DAY_MS
    then = replace(scope, until_ms=min(at_ms + 1, scope.until_ms or at_ms + 1))
    groups = sorted(connection.scalars(select(exposure.c.grp).where(exposures(exposure, then)).distinct()))
    return Planned(at_ms, {grp: _sums(connection, then.of(grp), plan.metric, grp) for grp in groups})


def _sums(connection: Connection, scope: Scope, metric: str, grp: str) -> Sums:
    """Return one group's sums as of `until_ms`."""
    unit = per_unit(scope, grp, {}).subquery().c
    numbers = {name: unit[name] for name in ("liked", "disliked", "rated", *METRICS[metric])}
    units = {row.user_id: row._asdict() for row in connection.execute(select(unit.user_id, *numbers.values()))}
    if metric in RATED:
        for user_id, rating in _earlier_ratings(connection, scope, grp):
            row = units[user_id]
            row["rated"] += 1
            row["liked" if rating == RATINGS[0] else "disliked"] += 1
    x, y = METRICS[metric]
    return _added([(row[x], row[y]) for row in units.values()])


def _added(pairs: Sequence[tuple[float, float]]) -> Sums:
    return Sums(
        len(pairs),
        fsum(x for x, _ in pairs),
        fsum(y for _, y in pairs),
        fsum(x * x for x, _ in pairs),
        fsum(y * y for _, y in pairs),
        fsum(x * y for x, y in pairs),
        sum(y > 0 for _, y in pairs),
    )


def _earlier_ratings(connection: Connection, scope: Scope, grp: str) -> Iterator[tuple[str, str]]:
    """Yield (unit, rating) of the answers that had a rating at `until_ms` and were voted on again since."""
    x = exposure.alias("x")
    again = select(event.c.answer_id).where(event.c.name.in_(VOTES), event.c.time_ms >= scope.until_ms).distinct()
    voted = again.subquery()
    answers = (
        select(answer.c.answer_id, x.c.user_id)
        .select_from(voted.join(answer, answer.c.answer_id == voted.c.answer_id).join(x, answers_of(x, answer, scope)))
        .where(x.c.grp == grp, first(x, scope))
    )
    unit_of = {row[0]: row[1] for row in connection.execute(answers)}
    for answer_id, vote in _votes_before(connection, scope, list(unit_of)):
        if vote in RATINGS:
            yield unit_of[answer_id], vote


def _votes_before(connection: Connection, scope: Scope, answers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (answer, its last vote before `until_ms`)."""
    for start in range(0, len(answers), PIECE):
        votes = select(event.c.answer_id, event.c.name).where(
            event.c.answer_id.in_(answers[start : start + PIECE]),
            event.c.name.in_(VOTES),
            event.c.time_ms < scope.until_ms,
        )
        rows = connection.execute(votes.order_by(event.c.time_ms, event.c.event_id))
        yield from {row[0]: row[1] for row in rows}.items()
