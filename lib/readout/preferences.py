"""The readout of comparisons: the votes of testers who saw two answers become a net preference and a verdict.

Owns the limits of those verdicts. The formulas are in `lib.statistics.preferences`, the words in `side_by_side`. Knows
neither SQL nor a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lib.experiments.definitions import PREFERENCE, Definition
from lib.readout.judge import Verdict
from lib.statistics.differences import ALPHA
from lib.statistics.preferences import Preference, preference
from lib.statistics.sums import Sums, VoteSums

MDE = 0.20
"""The net preference that matters where the definition names none."""
MIN_TESTERS, MIN_VOTES = 5, 20
ORDER: tuple[Verdict, ...] = ("worse", "better", "not_enough_data", "equivalent", "no_difference_yet")
"""With several treatments, the first of these that any of them has is the verdict of all comparisons."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The comparisons of every treatment with control. `reveal` is the setting by which testers saw the answers."""

    verdict: Verdict
    treatments: Mapping[str, Preference]
    verdicts: Mapping[str, Verdict]
    reveal: str = "stream"


def preference_mde(definition: Definition) -> float:
    """Return the net preference that matters."""
    effect = definition.mde.get(PREFERENCE)
    return effect.size if effect else MDE


def comparisons_of(votes: Mapping[tuple[str, str], VoteSums], definition: Definition) -> Comparisons | None:
    """Return the readout of these votes, by pair of groups; None where none is between control and a treatment."""
    control = definition.control
    treatments = [group.name for group in definition.groups if group.name != control]
    counted = {name: _against(votes, control, name) for name in treatments}
    if not any(one.sums.n for one in counted.values()):
        return None
    mde, alpha = preference_mde(definition), ALPHA / len(treatments)
    found = {name: preference(one, mde, alpha) for name, one in counted.items()}
    verdicts = {name: verdict_on(one) for name, one in found.items()}
    return Comparisons(next(one for one in ORDER if one in verdicts.values()), found, verdicts, definition.reveal)


def _against(votes: Mapping[tuple[str, str], VoteSums], control: str, treatment: str) -> VoteSums:
    """Return the votes on a treatment and control, from the treatment's point of view."""
    nothing = VoteSums(Sums(), 0, 0, 0)
    if (treatment, control) in votes:
        return votes[treatment, control].mirrored
    return votes.get((control, treatment), nothing)


def verdict_on(one: Preference) -> Verdict:
    """Return the verdict on one treatment."""
    if one.units < MIN_TESTERS or one.votes < MIN_VOTES or one.cs_low is None or one.cs_high is None:
        return "not_enough_data"
    if one.cs_low > 0 or one.cs_high < 0:
        return "better" if one.cs_low > 0 else "worse"
    return "equivalent" if -one.mde < one.cs_low and one.cs_high < one.mde else "no_difference_yet"
