"""The response times of each group in order: how many there are, and which value stands at a rank.

Owns two ways to the same: along an index, by the group that each answer was given in, and sorted, by the group of its
unit. Knows no quantile.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, ScalarSelect, and_, func, or_, select

from lib.store.schema import answer, exposure
from lib.store.units import answers_of, first, left_out, mine
from lib.tally import Scope

Place = tuple[str, int]
"""A group and a rank in it, from 1."""


class Labelled:
    """Timed answers in order, by their own group's name."""

    def __init__(self, scope: Scope, someone_left_out: bool) -> None:
        rows = [mine(answer, scope), answer.c.failed.is_not(None), answer.c.response_time.is_not(None)]
        if scope.since_ms is not None:
            rows.append(answer.c.time_ms >= scope.since_ms)
        if someone_left_out:
            once = left_out(scope).cte("left_out")  # for all the places that are looked up
            rows.append(answer.c.user_id.not_in(select(once.c.user_id)))
        self._rows = and_(*rows)

    def sizes(self, connection: Connection) -> dict[str, int]:
        """How many there are in each group."""
        counted = select(answer.c.grp, func.count()).where(self._rows, answer.c.grp.is_not(None))
        return {row[0]: row[1] for row in connection.execute(counted.group_by(answer.c.grp))}

    def at(self, connection: Connection, places: Collection[Place], sizes: Mapping[str, int]) -> dict[Place, float]:
        """The values at these ranks; each is walked to from the nearer end."""
        listed = list(places)
        if not listed:
            return {}
        found = connection.execute(select(*(self._walk(*place, sizes[place[0]]) for place in listed))).one()
        return dict(zip(listed, found, strict=True))

    def _walk(self, grp: str, place: int, size: int) -> ScalarSelect[Any]:
        value = answer.c.response_time
        order, steps = (value, place - 1) if 2 * place <= size else (value.desc(), size - place)
        rows = select(value).where(self._rows, answer.c.grp == grp)
        return rows.order_by(order).limit(1).offset(steps).scalar_subquery()


class Joined:
    """Timed answers in order, by the group of their unit."""

    def __init__(self, scope: Scope) -> None:
        x, a = exposure.alias("x"), answer.alias("a")
        answers = select(x.c.grp, a.c.response_time).join_from(x, a, answers_of(x, a, scope))
        self._rows = answers.where(first(x, scope), a.c.response_time.is_not(None)).subquery().c

    def sizes(self, connection: Connection) -> dict[str, int]:
        """How many there are in each group."""
        counted = select(self._rows.grp, func.count()).group_by(self._rows.grp)
        return {row[0]: row[1] for row in connection.execute(counted)}

    def at(self, connection: Connection, places: Collection[Place], sizes: Mapping[str, int]) -> dict[Place, float]:
        """The values at these ranks."""
        if not places:
            return {}
        place = func.row_number().over(partition_by=self._rows.grp, order_by=self._rows.response_time)
        ranked = select(self._rows.grp, self._rows.response_time, place.label("place")).subquery().c
        wanted = or_(*(and_(ranked.grp == grp, ranked.place == place) for grp, place in places))
        found = connection.execute(select(ranked.grp, ranked.place, ranked.response_time).where(wanted))
        return {(row[0], row[1]): row[2] for row in found}
