"""How the response times of each group are spread: how many lie between two values.

Owns two ways to the same: along an index, by the group that each answer was given in, and sorted, by the group of its
unit. Both agree in all but odd cases, such as an imported file. Which value stands at a rank is `ranks`.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, case, func, select, tuple_

from lib.store.schema import answer, exposure
from lib.store.units import answers_of, counted_units, early_answers, first, left_out, mine
from lib.tally import Scope


def in_order(connection: Connection, scope: Scope) -> "Labelled | Joined":
    """The quick way where it leads to the same answers, else the sure one."""
    labelled, joined = Labelled(scope), Joined(scope)
    sizes, strays = joined.counts(connection)
    labels = labelled.sizes(connection)
    return joined if strays or any(labels.get(grp, 0) != n for grp, n in sizes.items()) else labelled


class Labelled:
    """Timed answers in order, by their own group's name; those of units that count."""

    def __init__(self, scope: Scope, someone_left_out: bool = True) -> None:
        rows = [mine(answer, scope), answer.c.failed.is_not(None), answer.c.response_time.is_not(None)]
        if scope.since_ms is not None:  # who came before and never since does not count, but has answers
            counted, early = counted_units(scope).cte("counted"), early_answers(scope).cte("early")
            rows += [answer.c.time_ms >= scope.since_ms, answer.c.user_id.in_(select(counted.c.user_id))]
            rows.append(tuple_(answer.c.user_id, answer.c.time_ms).not_in(select(early.c.user_id, early.c.time_ms)))
        elif someone_left_out:
            once = left_out(scope).cte("left_out")  # for all the places that are looked up
            rows.append(answer.c.user_id.not_in(select(once.c.user_id)))
        self._rows = and_(*rows)

    def sizes(self, connection: Connection) -> dict[str, int]:
        """How many there are in each group."""
        counted = select(answer.c.grp, func.count()).where(self._rows, answer.c.grp.is_not(None))
        return {row[0]: row[1] for row in connection.execute(counted.group_by(answer.c.grp))}

    def between(self, connection: Connection, edges: Sequence[float], groups: Collection[str]) -> dict[str, list[int]]:
        """By group: how many are below the first edge, below each next one, and above the last."""
        ends = list(pairwise([None, *edges, None]))
        asked = {(grp, place): self._count(grp, *ends[place]) for grp in groups for place in range(len(ends))}
        found = _at_once(connection, asked)
        return {grp: [found[grp, place] for place in range(len(ends))] for grp in groups}

    def _count(self, grp: str, low: float | None, high: float | None) -> ScalarSelect[int]:
        rows = select(func.count()).where(self._rows, answer.c.grp == grp)
        rows = rows if low is None else rows.where(answer.c.response_time >= low)
        return (rows if high is None else rows.where(answer.c.response_time < high)).scalar_subquery()


def _at_once(connection: Connection, asked: Mapping[tuple[str, int], ScalarSelect[int]]) -> dict[tuple[str, int], int]:
    """All that is asked for, in one statement."""
    if not asked:
        return {}
    return dict(zip(asked, connection.execute(select(*asked.values())).one(), strict=True))


class Joined:
    """Timed answers in order, by the group of their unit."""

    def __init__(self, scope: Scope) -> None:
        x, a = exposure.alias("x"), answer.alias("a")
        stray = case((a.c.grp.is_distinct_from(x.c.grp), 1))
        answers = select(x.c.user_id, x.c.grp, a.c.response_time, stray.label("stray"))
        joined = answers.join_from(x, a, answers_of(x, a, scope))
        self._rows = joined.where(first(x, scope), a.c.response_time.is_not(None)).subquery().c

    def sizes(self, connection: Connection) -> dict[str, int]:
        """How many there are in each group."""
        return self.counts(connection)[0]

    def counts(self, connection: Connection) -> tuple[dict[str, int], int]:
        """How many there are in each group, and how many of all were given in another group than their unit's."""
        rows = self._rows  # by unit first: units come in order, groups would have to be sorted
        counted = (func.min(rows.grp).label("grp"), func.count().label("n"), func.count(rows.stray).label("strays"))
        units = select(*counted).group_by(rows.user_id).subquery().c
        found = connection.execute(select(units.grp, func.sum(units.n), func.sum(units.strays)).group_by(units.grp))
        groups = [(row[0], int(row[1]), int(row[2])) for row in found]
        return {grp: n for grp, n, _ in groups}, sum(strays for *_, strays in groups)

    def between(self, connection: Connection, edges: Sequence[float], groups: Collection[str]) -> dict[str, list[int]]:
        """By group: how many are below the first edge, below each next one, and above the last."""
        rows = self._rows
        place: ColumnElement[int] = case(
            *((rows.response_time < edge, number) for number, edge in enumerate(edges)), else_=len(edges)
        )
        found = {grp: [0] * (len(edges) + 1) for grp in groups}
        for grp, number, count in connection.execute(select(rows.grp, place, func.count()).group_by(rows.grp, place)):
            found[grp][number] = count
        return found
