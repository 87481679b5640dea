"""What a store counted for a readout, as values: sums over units, quantiles, who was left out, what was delivered.

Owns the shapes that travel from the store to the analysis and the pages. Knows neither SQL nor statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95}
"""The quantiles of `response_time` that a readout has, by name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is read: one experiment, real or simulated, and exposures, answers and ratings of [since, until).

    `invitation`: only units that came by it (its id). `tier`: only what processes of that tier exposed and asked;
    empty: what was recorded without a tier.
    """

    experiment: str
    simulated: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    invitation: str | None = None
    tier: str | None = None


class UnitSums(NamedTuple):
    """One group and metric, summed over its `n` units; `active` of them have data (y > 0)."""

    n: int
    sx: float
    sy: float
    sxx: float
    syy: float
    sxy: float
    active: int


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile over a group's answers: its value, and the values at the ends of its 95 % interval.

    `below` sums over the units with an answer: x = answers at most the value, y = answers.
    """

    value: float | None
    low: float | None
    high: float | None
    below: UnitSums


@dataclass(frozen=True, slots=True)
class Delivery:
    """Real events in the record, how many of them Statsig has, and how many wait for it. None: not known."""

    events: int
    acknowledged: int | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """The shares that the groups of an experiment had from a moment on."""

    since_ms: int
    shares: Mapping[str, float]

    def like(self, shares: Mapping[str, float]) -> bool:
        """Whether these shares are the same, to what rounding leaves.

        >>> Weights(0, {"a": 1 / 3, "b": 2 / 3}).like({"b": 0.66666667, "a": 0.33333333})
        True
        >>> Weights(0, {"a": 1.0}).like({"a": 0.5, "b": 0.5})
        False
        """
        mine = self.shares
        return mine.keys() == shares.keys() and all(abs(mine[group] - shares[group]) < 1e-6 for group in mine)


@dataclass(frozen=True, slots=True)
class Tally:
    """Everything that one readout stands on.

    `sums` by metric and group and `quantiles` by name and group hold every group that the events name, known to the
    definition or not. Units with a forced exposure and units of two groups are in neither; `forced` and `crossover`
    count them. `first_ms` is the first exposure that counts. `weights` are in order of time.
    """

    scope: Scope
    sums: Mapping[str, Mapping[str, UnitSums]]
    quantiles: Mapping[str, Mapping[str, Quantile]]
    forced: int = 0
    crossover: int = 0
    first_ms: int | None = None
    delivery: Delivery = Delivery(0)
    weights: tuple[Weights, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """What a dissatisfied tester said of one answer; question and answer where their text is kept."""

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
    """What a metric's sums were at the end of one day (UTC), by group."""

    until_ms: int
    sums: Mapping[str, UnitSums]


@dataclass(frozen=True, slots=True)
class Today:
    """What real visitors did in one experiment since a moment, by group (None: not taking part): units that met it, and
    answers by how they ended."""

    units: Mapping[str | None, int]
    answers: Mapping[str | None, Mapping[str, int]]
