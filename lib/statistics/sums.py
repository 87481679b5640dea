"""The counts of a store as values: sums over units, quantiles, excluded units, votes, deliveries.

These values travel from the store to the readout and the pages. Knows neither SQL nor formulas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95}
"""The quantiles of `response_time` that a readout has, by name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The extent of a readout: one run, real or simulated, and its exposures, answers and ratings of [since,
    until).

    `invitation`: only units that came by it (its id). `tier`: only exposures and answers of that Statsig tier;
    empty: those without a tier. `ends`: by group, the time when it ended before the others; later data do not count.
    """

    experiment: str
    simulated: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    invitation: str | None = None
    tier: str | None = None
    ends: tuple[tuple[str, int], ...] = ()
    run: int = 1

    def of(self, group: str) -> "Scope":
        """Return the scope for one group.

        >>> Scope("e", until_ms=9, ends=(("A", 5),)).of("A").until_ms, Scope("e", ends=(("A", 5),)).of("B").until_ms
        (5, None)
        """
        end = dict(self.ends).get(group)
        return self if end is None else replace(self, until_ms=min(end, self.until_ms or end))


class Sums(NamedTuple):
    """One group and metric, summed over its `n` units; `active` of them have data (y > 0)."""

    n: int = 0
    sx: float = 0.0
    sy: float = 0.0
    sxx: float = 0.0
    syy: float = 0.0
    sxy: float = 0.0
    active: int = 0

    @property
    def kish(self) -> float:
        """The effective number of units: as many equally busy units would carry the same information. Kish, "Survey
        Sampling", 1965.

        >>> Sums(n=3, sy=12, syy=102, active=3).kish  # 10, 1 and 1 answers
        1.411764705882353
        """
        return self.sy**2 / self.syy if self.syy else 0.0


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile over a group's answers: its value, and the values at the ends of its 95 % interval.

    `below` sums over the units with an answer: x = answers at most the value, y = answers.
    """

    value: float | None
    low: float | None
    high: float | None
    below: Sums


@dataclass(frozen=True, slots=True)
class Delivery:
    """Real events in the record, and how many of them Statsig has acknowledged and how many wait. None: unknown."""

    events: int
    acknowledged: int | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """The shares of an experiment's groups from a moment on."""

    since_ms: int
    shares: Mapping[str, float]

    def like(self, shares: Mapping[str, float]) -> bool:
        """Return True where these shares are equal up to rounding.

        >>> Weights(0, {"a": 1 / 3, "b": 2 / 3}).like({"b": 0.66666667, "a": 0.33333333})
        True
        >>> Weights(0, {"a": 1.0}).like({"a": 0.5, "b": 0.5})
        False
        """
        mine = self.shares
        return mine.keys() == shares.keys() and all(abs(mine[group] - shares[group]) < 1e-6 for group in mine)


class BusyUnit(NamedTuple):
    """A unit that holds more than `BUSY` of its group's answers."""

    unit: str
    answers: int


class Plan(NamedTuple):
    """One further look at `metric` once this many units count."""

    users: int
    metric: str


class Planned(NamedTuple):
    """The planned look: its time, the first midnight (UTC) with all planned units, and the sums as of then."""

    at_ms: int
    sums: Mapping[str, Sums]


class VoteSums(NamedTuple):
    """The last votes on the comparisons of two groups.

    `sums` is over testers: x = votes for the second group less votes for the first, y = votes. `left_won` counts the
    decided votes whose preferred answer stood left.
    """

    sums: Sums
    decided: int
    both_bad: int
    left_won: int

    @property
    def mirrored(self) -> "VoteSums":
        """The same votes with the groups in the other order.

        >>> VoteSums(Sums(n=1, sx=3, sy=5, sxx=9, syy=25, sxy=15), 5, 0, 2).mirrored.sums.sxy
        -15
        """
        return self._replace(sums=self.sums._replace(sx=-self.sums.sx, sxy=-self.sums.sxy))


BUSY = 0.2
"""A unit with more than this share of its group's answers is named."""
FEW = 5
"""With at most this many units every unit has about that share, so none is named."""


@dataclass(frozen=True, slots=True)
class Tally:
    """All inputs of one readout.

    `sums` by metric and group and `quantiles` by name and group hold every group that the events name, known to the
    definition or not. Units with a forced exposure and units of two groups are in neither; `forced` and `crossover`
    count them. `first_ms` is the first exposure that counts. `weights` are in order of time. `stopped` counts answers
    by group, `busy` names units by group, `votes` are on comparisons, by pair. `arrivals` counts new units by hour
    and group where no weights are known: (start of the hour, units).
    """

    scope: Scope
    sums: Mapping[str, Mapping[str, Sums]]
    quantiles: Mapping[str, Mapping[str, Quantile]]
    forced: int = 0
    crossover: int = 0
    first_ms: int | None = None
    delivery: Delivery = Delivery(0)
    weights: tuple[Weights, ...] = ()
    stopped: Mapping[str, int] = field(default_factory=dict)
    busy: Mapping[str, Sequence[BusyUnit]] = field(default_factory=dict)
    arrivals: Sequence[tuple[int, Mapping[str, int]]] = ()
    votes: Mapping[tuple[str, str], VoteSums] = field(default_factory=dict)
    planned: Planned | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A dissatisfied tester's reason or comment on one answer, with question and answer where their text is kept."""

    time_ms: int
    group: str
    reason: str | None
    comment: str | None
    answer_id: str
    conversation_id: str
    visitor_id: str | None = None
    question: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sums of a metric at the end of one day (UTC), by group."""

    until_ms: int
    sums: Mapping[str, Sums]


@dataclass(frozen=True, slots=True)
class Today:
    """The counts of real visitors in one experiment since a time, by group (None: not taking part): units exposed, and
    answers by finish reason."""

    units: Mapping[str | None, int]
    answers: Mapping[str | None, Mapping[str, int]]
