"""The words of comparisons: the verdict as a sentence, the votes, and why they may disagree with the A/B test.

Owns wording alone, and the limits above which a preference for one side is reported. Verdicts are in `preferences`.
"""

import math
from collections.abc import Iterator

from lib.readout.judgements import Verdict
from lib.readout.preferences import MIN_TESTERS, MIN_VOTES, Comparisons, PreferenceReading
from lib.readout.verdicts import Readout
from lib.readout.words import HEADINGS, WORDS, written_day
from lib.statistics.figures import differences, many, significant
from lib.statistics.preferences import Preference

PEOPLE = ("person", "people")
SIDED, SIDED_Z = 0.10, 3.3
"""A preference for one side is reported where the share of left votes differs from half by at least this share and this
many standard errors."""
TIED = 0.4
"""Share of votes without a winner above which ties explain a disagreement with the A/B test."""
SLOWER = 0.10
"""Relative difference of response times above which speed explains it."""
_QUALITY = ("satisfaction", "up_per_answer", "down_per_answer")
_DECIDED: dict[Verdict, str] = {"better": "better", "worse": "worse", "equivalent": "equivalent"}


def people(n: int) -> str:
    """Return a number of testers.

    >>> people(1), people(1_200)
    ('1 person', '1,200 people')
    """
    return f"{n:,} {PEOPLE[n != 1]}"


def preference_sentence(readout: Readout, comparisons: Comparisons) -> str:
    """Return the verdict of the comparisons: a sentence for each treatment."""
    sentences = " ".join(preferred(readout, comparisons, group) for group in comparisons.treatments)
    return f"In simulated data: {sentences}" if readout.simulated else sentences


def preferred(readout: Readout, comparisons: Comparisons, group: str) -> str:
    """Return the verdict on one treatment, with its net preference."""
    reading, control = comparisons.treatments[group], readout.control
    numbers, verdict = reading.numbers, reading.verdict
    about = f" on {group}" if len(comparisons.treatments) > 1 else ""
    had = f"{people(numbers.units)}, {many(numbers.votes, 'vote')}"
    if reading.changed:
        return (
            f"The preference for {group} has changed over time: what earlier readouts showed, later ones exclude. No "
            f"single net preference describes the whole run ({had})."
        )
    if verdict == "no_difference_yet" and not reading.informative:
        return f"Undecided{about}: {had} say nothing yet. More people help, not more votes of the same people."
    ends = written_preference(reading)
    if verdict == "not_enough_data" or ends is None:
        return f"Not enough votes yet{about}: {had}; it takes {MIN_TESTERS} people and {MIN_VOTES} votes."
    low, high, net = ends
    if verdict in ("better", "worse"):
        interval = f"{significant(100 * (1 - readout.alpha))} % interval {low} to {high}, {_validity(reading)}"
        return (
            f"Testers prefer {_liked(reading, group, control)} ({had}; net preference for {group} {net} points, "
            f"{interval})."
        )
    if verdict == "equivalent":
        return (
            f"Testers find {group} and {control} equivalent: the true net preference for {group} lies between {low} "
            f"and {high} points, and less than {significant(100 * numbers.mde, 2)} points does not matter ({had})."
        )
    return (
        f"Undecided: the true net preference for {group} may be anywhere from {low} to {high} points ({had}). More "
        f"people narrow it sooner than more votes of the same people."
    )


def _validity(reading: PreferenceReading) -> str:
    since_ms = reading.held_since_ms
    return "valid however often you look" if since_ms is None else f"held since {written_day(since_ms)}"


def _liked(reading: PreferenceReading, group: str, control: str) -> str:
    """Return the preferred group with its wins, where it still wins more than half of the decided votes."""
    better, share = reading.verdict == "better", reading.numbers.win_share or 0.0
    liked, wins = (group, share) if better else (control, 1 - share)
    return f"{liked}: it wins {100 * wins:.0f} % of the comparisons that had a winner" if wins > 0.5 else liked


def written_preference(reading: PreferenceReading) -> list[str] | None:
    """Return the ends of the interval that decides, as far as they are possible, and the net preference inside; None
    where it says nothing."""
    net, low, high, mde = reading.shown_net, reading.low, reading.high, reading.numbers.mde
    if net is None or low is None or high is None:
        return None
    return differences(100, max(low, -1.0), min(high, 1.0), net, apart=(mde, -mde))


def comparison_heading(comparisons: Comparisons) -> str:
    """Return the verdict in a word, or in one for each of several treatments."""
    if len(comparisons.treatments) < 2:
        return HEADINGS[comparisons.verdict]
    return ", ".join(
        f"{group} {HEADINGS[reading.verdict].lower()}" for group, reading in comparisons.treatments.items()
    )


def votes_of(votes: Preference, group: str, control: str) -> str:
    """Return all votes on a treatment: preferences, ties, both bad."""
    return (
        f"{people(votes.units)} gave {many(votes.votes, 'vote')}: {votes.wins:,} for {group}, {votes.losses:,} for "
        f"{control}, {many(votes.ties, 'tie')} (both good), {votes.both_bad:,} both bad."
    )


def position_warning(votes: Preference) -> str | None:
    """Return the sentence about votes that follow an answer's position; None where they do not."""
    decided, share = votes.wins + votes.losses, votes.left_share
    if share is None or abs(share - 0.5) < max(SIDED, SIDED_Z * 0.5 / math.sqrt(decided)):
        return None
    side, side_share = ("left", share) if share > 0.5 else ("right", 1 - share)
    return (
        f"The {side} answer won {100 * side_share:.0f} % of the votes with a winner, far from half: some testers vote "
        "by place. The sides are drawn by chance, so that no group gains by it, but such votes say nothing about "
        "answers."
    )


def disagreement(readout: Readout, comparisons: Comparisons, group: str) -> list[str]:
    """Return the two verdicts on a treatment where they contradict each other, with possible reasons; else empty."""
    ab, side = readout.main.versus[group].verdict, comparisons.treatments[group].verdict
    if readout.weights_changed or readout.main.versus[group].changed:
        return []
    if ab == side or ab not in _DECIDED or side not in _DECIDED:
        return []
    name = WORDS[readout.primary].name
    control = readout.control
    return [
        f"The two ways disagree on {group}: in the A/B test it is {_than(ab, control)} on {name}, side by side "
        f"{_preferred(side, group, control)}. Both can be right:",
        *_reasons(readout, comparisons, group),
    ]


def _than(verdict: Verdict, control: str) -> str:
    return f"equivalent to {control}" if verdict == "equivalent" else f"{verdict} than {control}"


def _preferred(verdict: Verdict, group: str, control: str) -> str:
    if verdict == "equivalent":
        return f"testers find it equivalent to {control}"
    return f"testers prefer {group if verdict == 'better' else control}"


def _reasons(readout: Readout, comparisons: Comparisons, group: str) -> Iterator[str]:
    """Yield the reasons why both ways can be right; those that the data show have their figures."""
    if readout.primary not in _QUALITY:
        yield f"The A/B test is decided by {WORDS[readout.primary].name}, a comparison by the answers themselves."
    if speed := _speed(readout, comparisons, group):
        yield speed
    rates = "Who rates: only some users of the A/B test do, while every comparer judges both groups."
    if readout.selection.get(group):
        rates = f"{rates} In this data {group}'s raters may not be like {readout.control}'s."
    yield rates
    votes = comparisons.treatments[group].numbers
    undecided = (votes.ties + votes.both_bad) / votes.votes
    if undecided > TIED:
        yield (
            f"Ties: {100 * undecided:.0f} % of the votes had no winner, so that a few questions carry the preference."
        )


def _speed(readout: Readout, comparisons: Comparisons, group: str) -> str | None:
    """Return the wait as a reason; None where the group that the A/B test likes less is not the slower one."""
    times, control = readout.metrics["response_time"], readout.control
    shown = "both answers appear together" if comparisons.reveal == "together" else "both answers are waited for"
    wait = f"A thumb judges the wait as well; side by side {shown}."
    own, theirs = (times.groups[name].value for name in (group, control))
    if not own or not theirs:
        return f"Speed: {wait[0].lower()}{wait[1:]}"
    rank = ("worse", "equivalent", "better")
    liked_less = rank.index(readout.main.versus[group].verdict) < rank.index(comparisons.treatments[group].verdict)
    slower = own / theirs - 1 if liked_less else theirs / own - 1
    if slower < SLOWER:
        return None
    return f"Speed: {group}'s answers take {own:.1f} s, {control}'s {theirs:.1f} s. {wait}"
