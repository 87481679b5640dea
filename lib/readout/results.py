"""The contents of the Results page, gathered from the store: first the readout, then the sections below it.

Owns that page's queries, its filters, and the intervals held from one readout to the next. Knows no page; the verdicts
are in `verdicts`, the counting is in `lib.store`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lib.domain.clock import DAY_MS
from lib.domain.operations import PARLEY, stretch
from lib.experiments.acts import ActError, Acts
from lib.experiments.definitions import Definition
from lib.readout import guards
from lib.readout.judgements import Metric
from lib.readout.runs import terms_of
from lib.readout.verdicts import Readout, over_time, plan_of, read, scope_of, signal_metrics, split_of_units
from lib.statistics.sums import Remark, Scope, Snapshot
from lib.store import Store
from lib.store.bounds import held_intervals, hold
from lib.store.signals import answers_per_unit, signals
from lib.store.snapshots import snapshots
from lib.store.splits import weights_over_time
from lib.store.tallies import Read, only_simulated, tally
from lib.store.trends import exposed_per_day, reasons, remarks, response_times, tiers_of
from lib.store.units import units_by_group

log = logging.getLogger("parley.experiment")

EDGES = tuple(round(0.05 * 10 ** (step / 12), 4) for step in range(46))
"""The edges, in seconds, between which response times are counted: twelve to a decade, from 50 ms to five minutes."""
GUARD_MS = 60_000
"""Milliseconds between two looks of all replicas together at the guardrails of `stop_on`."""
PACE_DAYS = 7
"""Days over which the pace of new users is measured."""
Days = list[Snapshot]
"""The sums of the primary metric at the end of each completed day."""
History = list[tuple[int, Metric]]
"""The primary metric at the end of each day, and last as of now."""


class Window(NamedTuple):
    """The part of the experiment that the page shows: exposures from `since_ms` on, everything before `until_ms`, one
    invitation's guests, one tier (empty: records without one). `run`: an earlier run instead of the current one."""

    experiment: str
    since_ms: int | None = None
    until_ms: int | None = None
    invitation: str | None = None
    tier: str | None = None
    run: int | None = None

    @property
    def narrowed(self) -> bool:
        """True for a part of the experiment, for which no interval holds."""
        return self != Window(self.experiment, run=self.run)


@dataclass(frozen=True, slots=True)
class Results:
    """One state of an experiment. `exposed`: (start of the day, group, units); `pace`: new users a day by group, empty
    where unknown."""

    readout: Readout
    exposed: Sequence[tuple[int, str, int]]
    pace: Mapping[str, float]
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class Details:
    """The slower parts. `times` counts answers by group between `EDGES`, `reasons` answers by group and reason;
    `signals` are the implicit signals per answer."""

    times: Mapping[str, Sequence[int]]
    reasons: Mapping[str, Mapping[str, int]]
    remarks: Sequence[Remark]
    signals: Sequence[Metric]


def gather(store: Store, definition: Definition, window: Window, now_ms: int) -> Results:
    """Return the first screen. Raises StoreError."""
    as_of_ms = min(window.until_ms or now_ms, now_ms)
    scope = _scope(store.read, definition, window)
    if window.narrowed:
        readout = read(tally(store.read, scope), definition, as_of_ms)
    else:
        readout = current(store, definition, scope.simulated, now_ms)
    with store.read() as connection:
        exposed = exposed_per_day(connection, scope)
    return Results(readout, exposed, {} if scope.simulated else pace(exposed, as_of_ms), as_of_ms)


def current(store: Store, definition: Definition, simulated: bool, now_ms: int) -> Readout:
    """Return the readout of the whole experiment, with the intersection of the intervals of all readouts so far.

    Stores the intervals that became narrower. Raises StoreError.
    """
    scope, run = scope_of(definition, simulated=simulated), terms_of(definition)
    with store.read() as connection:
        before = held_intervals(connection, definition.name, simulated, run)
    readout = read(tally(store.read, scope, plan_of(definition)), definition, now_ms, before)
    narrower = {look: interval for look, interval in (readout.held or {}).items() if before.get(look) != interval}
    if narrower:
        store.write(lambda connection: hold(connection, definition.name, simulated, run, narrower))
    return readout


def gather_details(read_from: Read, definition: Definition, window: Window) -> Details:
    """Return the sections below the first screen. Raises StoreError."""
    scope = _scope(read_from, definition, window)

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        with read_from() as connection:
            return question(connection, scope, *more)

    signalled = signal_metrics(ask(signals, ask(answers_per_unit)), definition)
    return Details(ask(response_times, EDGES), ask(reasons), ask(remarks), signalled)


def midnight(window: Window, now_ms: int) -> int:
    """Return the end of the last completed day (UTC)."""
    return min(window.until_ms or now_ms, now_ms) // DAY_MS * DAY_MS


def gather_days(read_from: Read, definition: Definition, window: Window, midnight_ms: int) -> Days:
    """Return the sums at the end of each day until midnight: an expensive query, whose result is constant for a day.
    Raises StoreError."""
    scope = replace(_scope(read_from, definition, window), until_ms=midnight_ms)
    with read_from() as connection:
        return snapshots(connection, scope, definition.primary)


def history(days: Days, results: Results, definition: Definition) -> History:
    """Return the primary metric day by day, with these results as the last point."""
    before = [day for day in days if day.until_ms < results.as_of_ms]
    now = [Snapshot(results.as_of_ms, results.readout.main.sums)] if results.exposed else []
    return over_time([*before, *now], definition)


def tiers(read_from: Read, definition: Definition) -> list[str]:
    """Return the tiers of the exposures; empty: records without one. Raises StoreError."""
    scope = _scope(read_from, definition, Window(definition.name))
    with read_from() as connection:
        return tiers_of(connection, scope)


def split_evidence(read_from: Read, definition: Definition, now_ms: int) -> float | None:
    """Return the `log_e` of the split of real units, None without any. Counts exposures only. Raises StoreError."""
    scope = scope_of(definition)
    with read_from() as connection:
        units, first_ms = units_by_group(connection, scope)
        weights = weights_over_time(connection, stretch(definition.name, definition.run))
    return split_of_units(units, first_ms, weights, definition, now_ms).log_e


def _scope(read_from: Read, definition: Definition, window: Window) -> Scope:
    with read_from() as connection:
        simulated = only_simulated(connection, definition.name, definition.run)
    return _narrowed(scope_of(definition, simulated=simulated), window)


def _narrowed(scope: Scope, window: Window) -> Scope:
    starts = [time_ms for time_ms in (scope.since_ms, window.since_ms) if time_ms is not None]
    ends = [time_ms for time_ms in (scope.until_ms, window.until_ms) if time_ms is not None]
    return replace(
        scope,
        since_ms=max(starts, default=None),
        until_ms=min(ends, default=None),
        invitation=window.invitation,
        tier=window.tier,
    )


def pace(exposed: Sequence[tuple[int, str, int]], as_of_ms: int) -> dict[str, float]:
    """Return new users a day by group over the last week, or since the first of them; empty where there are none.

    >>> pace([(0, "A", 30), (86_400_000, "B", 10)], 2 * 86_400_000), pace([(0, "A", 30)], 9 * 86_400_000)
    ({'A': 15.0, 'B': 5.0}, {})
    """
    since = as_of_ms - PACE_DAYS * DAY_MS
    users: dict[str, int] = {}
    for day, group, n in exposed:
        if day >= since:
            users[group] = users.get(group, 0) + n
    if not users:
        return {}
    first = max(min(day for day, *_ in exposed), since)
    days = max((as_of_ms - first) / DAY_MS, 1.0)
    return {group: n / days for group, n in users.items()}


def guard(store: Store, acts: Acts, definition: Definition, now_ms: int) -> None:
    """Switch off the groups that harm a guardrail of `stop_on`. Of all replicas one looks at a time. Raises
    StoreError."""
    name = definition.name
    experiment = acts.book.get(name)
    if experiment is None or not experiment.running:
        return
    if not store.take_turn("guardrails", GUARD_MS, now_ms):
        return
    readout = current(store, definition, simulated=False, now_ms=now_ms)
    for group, metric, versus in guards.harmed(readout, definition):
        facts = {"metric": metric, "diff": versus.numbers.diff, "low": versus.low, "high": versus.high}
        try:
            acts.disable(name, group, PARLEY, guards.sentence(group, metric, versus), facts)
        except ActError:  # it is off already
            continue
        log.warning("a guardrail switched a group off", extra={"experiment": name, "group": group, "metric": metric})
