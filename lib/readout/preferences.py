"""The readout of comparisons: the votes of testers who saw two answers become a net preference and a verdict.

Owns the limits of those verdicts. The formulas are in `lib.statistics.preferences`. Knows neither SQL nor a page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.experiments.definitions import PREFERENCE, Definition
from lib.readout.judge import Verdict
from lib.statistics.differences import ALPHA
from lib.statistics.preferences import Outcome, Preference, Vote, preference
from lib.statistics.sums import Ballot

MDE = 0.20
"""The net preference that matters where the definition names none."""
MIN_TESTERS, MIN_VOTES = 5, 20
ORDER: tuple[Verdict, ...] = ("worse", "better", "not_enough_data", "equivalent", "no_difference_yet")
"""With several treatments, the first of these that any of them has is that of all comparisons."""
UNDECIDED: Mapping[str, Outcome] = {"tie": "tie", "both_bad": "both_bad"}


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The comparisons of every treatment with control."""

    verdict: Verdict
    treatments: Mapping[str, Preference]
    verdicts: Mapping[str, Verdict]


def comparisons_of(ballots: Sequence[Ballot], definition: Definition) -> Comparisons | None:
    """The readout of these ballots; None where none is between control and a treatment."""
    votes = [vote for ballot in ballots if (vote := _vote(ballot, definition)) is not None]
    if not votes:
        return None
    treatments = [group.name for group in definition.groups if group.name != definition.control]
    effect = definition.mde.get(PREFERENCE)
    mde, alpha = effect.size if effect else MDE, ALPHA / len(treatments)
    found = {name: preference([vote for vote in votes if vote.treatment == name], mde, alpha) for name in treatments}
    verdicts = {name: _verdict(one) for name, one in found.items()}
    return Comparisons(next(one for one in ORDER if one in verdicts.values()), found, verdicts)


def _vote(ballot: Ballot, definition: Definition) -> Vote | None:
    """The ballot from the treatment's point of view; None where it is not one between control and a treatment."""
    control, pair = definition.control, {ballot.left, ballot.right}
    others = pair - {control}
    if control not in pair or len(others) != 1 or definition.group(treatment := others.pop()) is None:
        return None
    outcome = UNDECIDED.get(ballot.value)
    if ballot.value in pair:
        outcome = "win" if ballot.value == treatment else "loss"
    return outcome and Vote(ballot.unit, treatment, outcome, ballot.value == ballot.left)


def _verdict(one: Preference) -> Verdict:
    if one.units < MIN_TESTERS or one.votes < MIN_VOTES or one.cs_low is None or one.cs_high is None:
        return "not_enough_data"
    if one.cs_low > 0 or one.cs_high < 0:
        return "better" if one.cs_low > 0 else "worse"
    return "equivalent" if -one.mde < one.cs_low and one.cs_high < one.mde else "no_difference_yet"
