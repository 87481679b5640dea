"""What the Results page shows, gathered from the store: first what decides, then what stands below it.

Owns which questions belong to that page, and what a reader may narrow them to. Knows no page; the analysis is
`readout`, the counting is `store`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lib.domain.clock import DAY_MS
from lib.experiments.definitions import Definition
from lib.readout.verdicts import Metric, Readout, over_time, rank, read, scope_of, span, split_p
from lib.statistics.sums import Remark, Scope, Snapshot
from lib.store.snapshots import snapshots
from lib.store.splits import weights_over_time
from lib.store.sums import Read, only_simulated, tally
from lib.store.trends import exposed_per_day, reasons, remarks, response_times, tiers_of
from lib.store.units import units_by_group

EDGES = tuple(round(0.05 * 10 ** (step / 12), 4) for step in range(46))
"""Response times are counted between these, in seconds: twelve to a decade, from 50 ms to five minutes."""
PACE_DAYS = 7
"""Over how many days the pace of new users is taken."""
Days = list[Snapshot]
"""The sums of the primary metric as of the end of each day that is over."""
History = list[tuple[int, Metric]]
"""The primary metric as of the end of each day, and last as of now."""


class Window(NamedTuple):
    """What a reader narrowed the page to: exposures from `since_ms` on, everything before `until_ms`, one invitation's
    guests, one tier (empty: what was recorded without one)."""

    experiment: str
    since_ms: int | None = None
    until_ms: int | None = None
    invitation: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """One look at an experiment. `exposed`: (start of the day, group, units); `pace`: new users a day, None where that
    is not known."""

    readout: Readout
    exposed: Sequence[tuple[int, str, int]]
    pace: float | None
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class Details:
    """What takes longer to gather. `times` counts answers by group between `EDGES`, `reasons` answers by group and
    reason."""

    times: Mapping[str, Sequence[int]]
    reasons: Mapping[str, Mapping[str, int]]
    remarks: Sequence[Remark]


def gather(read_from: Read, definition: Definition, window: Window, now_ms: int) -> Results:
    """What the first screen says. Raises StoreError."""
    as_of_ms = min(window.until_ms or now_ms, now_ms)
    scope = _scope(read_from, definition, window)
    readout = read(tally(read_from, scope, rank, span), definition, as_of_ms)
    with read_from() as connection:
        exposed = exposed_per_day(connection, scope)
    return Results(readout, exposed, None if scope.simulated else pace(exposed, as_of_ms), as_of_ms)


def gather_details(read_from: Read, definition: Definition, window: Window) -> Details:
    """What stands below it. Raises StoreError."""
    scope = _scope(read_from, definition, window)

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        with read_from() as connection:
            return question(connection, scope, *more)

    return Details(ask(response_times, EDGES), ask(reasons), ask(remarks))


def midnight(window: Window, now_ms: int) -> int:
    """When the last day (UTC) that is over ended."""
    return min(window.until_ms or now_ms, now_ms) // DAY_MS * DAY_MS


def gather_days(read_from: Read, definition: Definition, window: Window, midnight_ms: int) -> Days:
    """What the days until then come to: dear, and the same all day long. Raises StoreError."""
    scope = replace(_scope(read_from, definition, window), until_ms=midnight_ms)
    with read_from() as connection:
        return snapshots(connection, scope, definition.primary)


def history(days: Days, results: Results, definition: Definition) -> History:
    """Those days, and these results as the last point."""
    before = [day for day in days if day.until_ms < results.as_of_ms]
    now = [Snapshot(results.as_of_ms, results.readout.main.sums)] if results.exposed else []
    return over_time([*before, *now], definition)


def tiers(read_from: Read, definition: Definition) -> list[str]:
    """The tiers that units met the experiment in; empty: what was recorded without one. Raises StoreError."""
    scope = _scope(read_from, definition, Window(definition.name))
    with read_from() as connection:
        return tiers_of(connection, scope)


def split(read_from: Read, definition: Definition, now_ms: int) -> float | None:
    """How likely chance alone makes the split of real units so uneven. Counts exposures only. Raises StoreError."""
    scope = scope_of(definition)
    with read_from() as connection:
        units, first_ms = units_by_group(connection, scope)
        weights = weights_over_time(connection, definition.name)
    return split_p(units, first_ms, weights, definition, now_ms)


def _scope(read_from: Read, definition: Definition, window: Window) -> Scope:
    with read_from() as connection:
        simulated = only_simulated(connection, definition.name)
    return _narrowed(scope_of(definition, simulated=simulated), window)


def _narrowed(scope: Scope, window: Window) -> Scope:
    starts = [one for one in (scope.since_ms, window.since_ms) if one is not None]
    return replace(
        scope, since_ms=max(starts, default=None), until_ms=window.until_ms, invitation=window.invitation,
        tier=window.tier,
    )  # fmt: skip


def pace(exposed: Sequence[tuple[int, str, int]], as_of_ms: int) -> float | None:
    """New users a day over the last week, or since the first of them; None where nobody came.

    >>> pace([(0, "A", 30), (86_400_000, "B", 10)], 2 * 86_400_000), pace([(0, "A", 30)], 9 * 86_400_000)
    (20.0, None)
    """
    since = as_of_ms - PACE_DAYS * DAY_MS
    users = sum(n for day, _, n in exposed if day >= since)
    if not users:
        return None
    first = max(min(day for day, *_ in exposed), since)
    return users / max((as_of_ms - first) / DAY_MS, 1.0)
