"""The response time at a rank of a group: reached along an index, from a value whose rank was counted.

Where the index cannot be used (answers given under another group's name than their unit's) or the walk is long, the
answers are sorted. Answers that failed have no rank. Knows no quantile.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, select

from lib.statistics.sums import Scope
from lib.store.schema import TIMED, answer, exposure
from lib.store.units import answers_of, first, in_scope

FAR, NEAR = 8, 1_000
"""Sort once the walk would visit more than 1/FAR of the answers, except for walks of at most NEAR steps."""
_VALUE = answer.c.response_time


class Ranks:
    """The timed answers of one group in order; ranks count from 1."""

    def __init__(self, connection: Connection, scope: Scope, grp: str) -> None:
        self._connection, self._scope, self._grp = connection, scope, grp

    def count_labelled(self) -> int:
        """Count the answers given under the group's name, including those of units that do not count."""
        return self._connection.scalar(select(func.count()).where(self._labelled())) or 0

    def among_labelled(self, places: Sequence[int], size: int) -> list[float]:
        """Return the values at these ranks among the answers under the group's name.

        Each is reached from the nearer end.
        """
        rows = self._labelled()
        ways = (
            _walk(rows, place - 1, up=True) if 2 * place <= size else _walk(rows, size - place, up=False)
            for place in places
        )
        return list(self._connection.execute(select(*ways)).one()) if places else []

    def among_counted(
        self, places: Collection[int], size: int, known: Mapping[float, int], strays: bool
    ) -> dict[int, float]:
        """Return the values at these ranks among the answers that count, which are `size`.

        `known`: how many of them are at most these values. `strays`: some were given under another group's name.
        """
        starts = {place: min(known.items(), key=lambda one: abs(one[1] - place)) for place in places if known}
        steps = sum(abs(place - rank) for place, (_, rank) in starts.items())
        if strays or not known or steps > max(size // FAR, NEAR):
            return self._sorted(places)
        return self._walked({place: (value, place - rank) for place, (value, rank) in starts.items()})

    def _labelled(self) -> ColumnElement[bool]:
        scope = replace(self._scope, invitation=None)  # its members would have to be looked up answer by answer
        rows = in_scope(answer, scope) & (answer.c.grp == self._grp) & TIMED
        return rows if scope.since_ms is None else rows & (answer.c.time_ms >= scope.since_ms)

    def _walked(self, ways: Mapping[int, tuple[float, int]]) -> dict[int, float]:
        """Walk this many steps from a value. Zero steps lead to the value itself or, where no answer has it, to the
        next one below."""
        x = exposure.alias("x")
        own = (first(x, self._scope), x.c.grp == self._grp, x.c.user_id == answer.c.user_id)
        # A value, not an EXISTS: SQLite would turn that into a join and sort all answers.
        since = select(x.c.time_ms).where(*own).scalar_subquery()
        rows = self._labelled() & (answer.c.time_ms >= since)
        walks = []
        for value, steps in ways.values():
            on = _VALUE > value if steps > 0 else _VALUE <= value  # noqa: SIM300
            walks.append(_walk(rows & on, steps - 1 if steps > 0 else -steps, up=steps > 0))
        return dict(zip(ways, self._connection.execute(select(*walks)).one(), strict=True)) if walks else {}

    def _sorted(self, places: Collection[int]) -> dict[int, float]:
        x, a = exposure.alias("x"), answer.alias("a")
        place = func.row_number().over(order_by=a.c.response_time).label("place")
        answers = select(a.c.response_time, place).join_from(x, a, answers_of(x, a, self._scope))
        counts = (first(x, self._scope), x.c.grp == self._grp, a.c.failed == 0, a.c.response_time.is_not(None))
        ranked = answers.where(*counts).subquery().c
        values = self._connection.execute(select(ranked.place, ranked.response_time).where(ranked.place.in_(places)))
        return {row[0]: row[1] for row in values}


def _walk(rows: ColumnElement[bool], steps: int, *, up: bool) -> ScalarSelect[float]:
    order = _VALUE if up else _VALUE.desc()
    return select(_VALUE).where(rows).order_by(order).limit(1).offset(steps).scalar_subquery()
