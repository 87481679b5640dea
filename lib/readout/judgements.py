"""One metric as judged: its estimates, every pair of groups with its verdict, and the direction of better.

Values that `judge` makes and pages draw. Computes no statistic and knows no sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lib.statistics.differences import Comparison
from lib.statistics.formulas import Estimate
from lib.statistics.intervals import Interval
from lib.statistics.preferences import Preference
from lib.statistics.sums import Quantile, Sums

Verdict = Literal["broken", "worse", "better", "not_enough_data", "equivalent", "no_difference_yet"]
Guardrail = Literal["harmed", "safe", "not_ruled_out", "broken", "not_enough_data"]
Role = Literal["primary", "guardrail", "secondary"]
UP = ("satisfaction", "rating_rate", "up_per_answer", "answers_per_user", "copied")
"""Metrics of which more is better."""
ONE_SIDED = ("rating_rate", "answers_per_user", "completion_tokens", "copied", "regenerated", "abandoned")
"""Metrics of which a group has more or less, and neither is better."""


class Bounded:
    """A difference with the interval that decides: the intersection of all readouts so far, or the interval of
    `numbers` where no earlier readout is kept."""

    __slots__ = ()
    numbers: Comparison | Preference
    interval: Interval | None

    @property
    def low(self) -> float | None:
        """The lower end of the interval that decides."""
        return self.interval.low if self.interval else self.numbers.cs_low

    @property
    def high(self) -> float | None:
        """The upper end of the interval that decides."""
        return self.interval.high if self.interval else self.numbers.cs_high


@dataclass(frozen=True, slots=True)
class Versus(Bounded):
    """One group against another. `guardrail` is None where the metric is none.

    `interval` is the one that decides: the intersection of all readouts so far. `informative`: there is enough data,
    and the interval excludes some plausible differences. `changed`: the intervals of different times exclude each
    other. `once`: the planned look, where it decided. `cut_short`: a response time that looks favourable because
    testers stopped the slow answers.
    """

    numbers: Comparison
    verdict: Verdict
    guardrail: Guardrail | None = None
    informative: bool = True
    interval: Interval | None = None
    changed: bool = False
    once: Comparison | None = None
    cut_short: bool = False

    @property
    def state(self) -> str:
        """Return the verdict or guardrail in a word, as pages show it."""
        if self.changed:
            return "changed"
        if not self.informative and self.verdict != "broken":
            return "not_enough_data"
        if self.cut_short:
            return "cut_short"
        return self.guardrail or ("slight" if self.slight and self.verdict == "better" else self.verdict)

    @property
    def shown_diff(self) -> float:
        """The difference, moved inside the interval that decides."""
        diff, low, high = self.numbers.diff or 0.0, self.low, self.high
        return diff if low is None or high is None or low > high else min(max(diff, low), high)

    @property
    def slight(self) -> bool:
        """True where the interval excludes 0 and lies inside ±MDE: a difference too small to matter."""
        low, high, mde = self.low, self.high, self.numbers.mde
        if self.verdict not in ("better", "worse") or low is None or high is None or mde is None:
            return False
        return max(abs(low), abs(high)) < mde

    @property
    def early(self) -> bool:
        """True for a verdict on fewer users than the smallest difference that matters would need."""
        growth = self.numbers.growth_needed
        return self.verdict in ("better", "worse") and growth is not None and growth > 1

    @property
    def held_since_ms(self) -> int | None:
        """The time of the earlier readout that decided; None where the newest interval decides by itself."""
        low, high = self.numbers.cs_low, self.numbers.cs_high
        if self.verdict not in ("better", "worse") or self.interval is None or low is None or high is None:
            return None
        if self.once is not None or low > 0 or high < 0:
            return None
        return self.interval.low_ms if self.interval.low > 0 else self.interval.high_ms


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of every group, of every treatment against control, and of the treatments against each other."""

    name: str
    role: Role
    sums: Mapping[str, Sums]
    groups: Mapping[str, Estimate]
    versus: Mapping[str, Versus]
    between: Mapping[tuple[str, str], Versus]

    @property
    def direction(self) -> Literal["up", "down"]:
        """The direction of better."""
        return "up" if self.name in UP else "down"

    @property
    def ranked(self) -> list[str]:
        """The treatments with a value, the best first."""
        values = {name: self.groups[name].value for name in self.versus}
        measured = {name: value for name, value in values.items() if value is not None}
        return sorted(measured, key=measured.__getitem__, reverse=self.direction == "up")

    def compared(self, first: str, second: str) -> Versus | None:
        """Return two treatments against each other; the difference is `first` minus `second`."""
        if (second, first) in self.between:
            return self.between[second, first]
        versus = self.between.get((first, second))
        return None if versus is None else _exchanged(versus)


@dataclass(frozen=True, slots=True)
class QuantileReading:
    """One quantile of the response time of every group."""

    counted: Mapping[str, Quantile]
    groups: Mapping[str, Estimate]
    versus: Mapping[str, Versus]


def _exchanged(versus: Versus) -> Versus:
    """Return the same pair with the roles exchanged."""
    numbers = versus.numbers
    swapped = replace(
        numbers, diff=_negated(numbers.diff), cs_low=_negated(numbers.cs_high), cs_high=_negated(numbers.cs_low)
    )
    opposite: dict[str, Verdict] = {"better": "worse", "worse": "better"}
    return replace(versus, numbers=swapped, verdict=opposite.get(versus.verdict, versus.verdict))


def _negated(value: float | None) -> float | None:
    return None if value is None else -value
