"""The readout of comparisons: the votes of testers who saw two answers become a net preference and a verdict.

Owns the limits of those verdicts. The formulas are in `lib.statistics.preferences`, the words in `side_by_side`. Knows
neither SQL nor a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lib.experiments.definitions import PREFERENCE, Definition
from lib.readout.judgements import Bounded, Verdict
from lib.statistics.differences import ALPHA
from lib.statistics.intervals import Interval, Look, together
from lib.statistics.preferences import Preference, preference
from lib.statistics.sums import Sums, VoteSums

MDE = 0.20
"""The net preference that matters where the definition names none."""
MIN_TESTERS, MIN_VOTES = 5, 20
ORDER: tuple[Verdict, ...] = ("worse", "better", "not_enough_data", "equivalent", "no_difference_yet")
"""With several treatments, the first of these that any of them has is the verdict of all comparisons."""


@dataclass(frozen=True, slots=True)
class PreferenceReading(Bounded):
    """The votes on one treatment against control."""

    numbers: Preference
    verdict: Verdict
    interval: Interval | None = None

    @property
    def changed(self) -> bool:
        """True where the intervals of different times exclude each other."""
        return self.interval is not None and self.interval.low > self.interval.high

    @property
    def state(self) -> str:
        """Return the verdict in a word, as pages show it."""
        return "changed" if self.changed else self.verdict

    @property
    def informative(self) -> bool:
        """True where the interval that decides excludes any possible net preference, from −1 to 1."""
        return self.low is not None and self.high is not None and (self.low > -1 or self.high < 1)

    @property
    def shown_net(self) -> float | None:
        """The net preference, moved inside the interval that decides; None where no interval says anything."""
        net, low, high = self.numbers.net, self.low, self.high
        if net is None or low is None or high is None or low > high or not self.informative:
            return None
        return min(max(net, low), high)

    @property
    def held_since_ms(self) -> int | None:
        """The time of the earlier readout that decided; None where the newest interval decides by itself."""
        low, high = self.numbers.cs_low, self.numbers.cs_high
        if self.interval is None or self.verdict not in ("better", "worse"):
            return None
        if low is not None and high is not None and (low > 0 or high < 0):
            return None
        return self.interval.low_ms if self.verdict == "better" else self.interval.high_ms


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The comparisons of every treatment with control. `reveal` is the setting by which testers saw the answers."""

    verdict: Verdict
    treatments: Mapping[str, PreferenceReading]
    reveal: str = "stream"

    @property
    def held(self) -> dict[Look, Interval]:
        """The intervals to hold for the next readout."""
        readings = self.treatments.items()
        return {(PREFERENCE, group): reading.interval for group, reading in readings if reading.interval is not None}


def preference_mde(definition: Definition) -> float:
    """Return the net preference that matters."""
    effect = definition.mde.get(PREFERENCE)
    return effect.size if effect else MDE


def comparisons_of(
    votes: Mapping[tuple[str, str], VoteSums],
    definition: Definition,
    looks: Mapping[Look, Interval] | None = None,
    as_of_ms: int = 0,
) -> Comparisons | None:
    """Return the readout of these votes, by pair of groups; None where none is between control and a treatment.

    `looks`: the held intervals of earlier readouts, None where none are kept.
    """
    control = definition.control
    treatments = [group.name for group in definition.groups if group.name != control]
    counted = {name: _against(votes, control, name) for name in treatments}
    if not any(votes_on.sums.n for votes_on in counted.values()):
        return None
    mde, alpha = preference_mde(definition), ALPHA / len(treatments)
    readings = {}
    for name, votes_on in counted.items():
        numbers, before = preference(votes_on, mde, alpha), (looks or {}).get((PREFERENCE, name))
        holds = looks is not None and is_enough(numbers)
        interval = together(before, numbers.cs_low, numbers.cs_high, as_of_ms) if holds else None
        readings[name] = PreferenceReading(numbers, verdict_on(numbers, interval), interval)
    verdicts = {reading.verdict for reading in readings.values()}
    return Comparisons(next(verdict for verdict in ORDER if verdict in verdicts), readings, definition.reveal)


def _against(votes: Mapping[tuple[str, str], VoteSums], control: str, treatment: str) -> VoteSums:
    """Return the votes on a treatment and control, from the treatment's point of view."""
    nothing = VoteSums(Sums(), 0, 0, 0)
    if (treatment, control) in votes:
        return votes[treatment, control].mirrored
    return votes.get((control, treatment), nothing)


def is_enough(numbers: Preference) -> bool:
    """Return True where there are enough testers and votes for a verdict."""
    return numbers.units >= MIN_TESTERS and numbers.votes >= MIN_VOTES


def verdict_on(numbers: Preference, interval: Interval | None = None) -> Verdict:
    """Return the verdict on one treatment, by the held interval where one is given."""
    low, high = (interval.low, interval.high) if interval else (numbers.cs_low, numbers.cs_high)
    if not is_enough(numbers) or low is None or high is None:
        return "not_enough_data"
    if low > high:
        return "no_difference_yet"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equivalent" if -numbers.mde < low and high < numbers.mde else "no_difference_yet"
