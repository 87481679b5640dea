"""The words of comparisons: every verdict, the votes, the place of answers, and a disagreement with the A/B test."""

from dataclasses import replace

import pytest

from lib.experiments.definitions import Definition, Effect, Group
from lib.readout.preferences import Comparisons, comparisons_of
from lib.readout.sentences import sentence
from lib.readout.side_by_side import (
    comparison_heading,
    disagreement,
    position_warning,
    preference_sentence,
    votes_of,
)
from lib.readout.verdicts import Readout
from lib.statistics.sums import Sums, VoteSums
from tests.support.invented_readouts import TWO, readout_of_ratings, shares, times

CONTROL_FIRST = ("Control", "Test")


def votes(people: int, wins: int, losses: int, ties: int = 0, both_bad: int = 0, left: float = 0.5) -> VoteSums:
    """Return the votes of testers who all vote alike, seen from the second group; the numbers are per tester."""
    x, y = wins - losses, wins + losses + ties + both_bad
    sums = Sums(people, people * x, people * y, people * x * x, people * y * y, people * x * y, people)
    decided = people * (wins + losses)
    return VoteSums(sums, decided, people * both_bad, round(left * decided))


def compared(given: VoteSums, definition: Definition = TWO) -> tuple[Readout, Comparisons]:
    readout = readout_of_ratings({"Control": Sums(), "Test": Sums()}, definition, votes={CONTROL_FIRST: given})
    assert readout.comparisons is not None
    return readout, readout.comparisons


@pytest.mark.parametrize(
    ("given", "verdict", "sentence_begins"),
    [
        (votes(30, 6, 3, 1), "better", "Testers prefer Test: it wins 67 % of the comparisons that had a winner ("),
        (votes(30, 3, 6, 1), "worse", "Testers prefer Control: it wins 67 % of the comparisons that had a winner (30 "),
        (votes(300, 5, 5), "equivalent", "Testers find Test and Control equivalent: the true net preference for"),
        (votes(8, 3, 2, 1), "no_difference_yet", "Undecided: the true net preference for Test may be anywhere from −"),
        (votes(4, 9, 0), "not_enough_data", "Not enough votes yet: 4 people, 36 votes; it takes 5 people and 20"),
        (votes(19, 1, 0), "not_enough_data", "Not enough votes yet: 19 people, 19 votes; it takes 5 people and 20 "),
    ],
)
def test_every_verdict_has_its_sentence(given: VoteSums, verdict: str, sentence_begins: str) -> None:
    readout, comparisons = compared(given)
    assert comparisons.verdict == comparisons.treatments["Test"].verdict == verdict
    assert preference_sentence(readout, comparisons).startswith(sentence_begins)


def test_votes_that_are_nearly_all_of_one_tester_say_nothing() -> None:
    busy = Sums(6, 40, 2975, 30 * 30 + 20, 2950 * 2950 + 125, 30 * 2950 + 50, 6)
    readout, comparisons = compared(VoteSums(busy, 1500, 3, 700))
    assert comparisons.verdict == "no_difference_yet" and comparisons.treatments["Test"].shown_net is None
    assert preference_sentence(readout, comparisons) == (
        "Undecided: 6 people, 2,975 votes say nothing yet. More people help, not more votes of the same people."
    )


def test_no_net_preference_beyond_all_votes_is_reported() -> None:
    readout, comparisons = compared(votes(7, 3, 1))
    reading = comparisons.treatments["Test"]
    assert reading.low is not None and reading.low > -1 and reading.high is not None and reading.high > 1
    assert "to +100 points" in preference_sentence(readout, comparisons)


def test_a_preference_is_reported_with_its_interval() -> None:
    readout, comparisons = compared(votes(30, 6, 3, 1))
    assert preference_sentence(readout, comparisons).endswith(
        "(30 people, 300 votes; net preference for Test +30 points, 95 % interval +12 to +48, valid however often you "
        "look)."
    )


def test_simulated_votes_are_reported_as_such() -> None:
    readout, comparisons = compared(votes(30, 6, 3, 1))
    assert preference_sentence(replace(readout, simulated=True), comparisons).startswith(
        "In simulated data: Testers prefer"
    )


def test_ties_and_both_bad_stand_apart() -> None:
    _, comparisons = compared(votes(30, 6, 3, 2, 1))
    assert votes_of(comparisons.treatments["Test"].numbers, "Test", "Control") == (
        "30 people gave 360 votes: 180 for Test, 90 for Control, 60 ties (both good), 30 both bad."
    )


def test_votes_on_a_pair_count_from_the_treatments_side_whichever_name_comes_first() -> None:
    definition = Definition("e", (Group("z", 1), Group("a", 1)), "z")
    comparisons = comparisons_of({("a", "z"): votes(30, 3, 6, 1)}, definition)
    assert (
        comparisons is not None and comparisons.verdict == "better" and comparisons.treatments["a"].numbers.wins == 180
    )


def test_votes_on_other_pairs_count_for_nothing() -> None:
    definition = Definition("e", (Group("A", 1), Group("B", 1), Group("C", 1)), "A")
    lot = votes(30, 9, 0)
    assert comparisons_of({("B", "C"): lot, ("A", "A"): lot, ("A", "gone"): lot}, definition) is None
    comparisons = comparisons_of({("B", "C"): lot, ("A", "B"): lot}, definition)
    assert comparisons is not None and [one.numbers.votes for one in comparisons.treatments.values()] == [270, 0]
    assert comparison_heading(comparisons) == "B better, C not enough data"
    assert comparisons.verdict == "better"


def test_the_smallest_preference_that_matters_is_the_definitions() -> None:
    _, comparisons = compared(votes(300, 10, 8), replace(TWO, mde={"preference": Effect(0.5)}))
    assert comparisons.treatments["Test"].numbers.mde == 0.5


@pytest.mark.parametrize(
    ("share", "begins"),
    [(0.8, "The left answer won 80 % of the votes with a winner"), (0.2, "The right answer won 80 %"), (0.55, None)],
)
def test_votes_that_go_by_the_place_are_reported(share: float, begins: str | None) -> None:
    _, comparisons = compared(votes(30, 6, 3, left=share))
    warning = position_warning(comparisons.treatments["Test"].numbers)
    assert (warning or "").startswith(begins or "") and bool(warning) == bool(begins)


def test_a_few_votes_that_chance_puts_on_the_left_are_not_reported() -> None:
    _, comparisons = compared(votes(5, 2, 2, left=0.7))
    assert position_warning(comparisons.treatments["Test"].numbers) is None


def both(up: float, given: VoteSums, seconds: float = 3.0, reveal: str = "stream") -> list[str]:
    """Return the sentences about an A/B test in which `up` of Test's ratings are thumbs up, of Control's 65 %, and
    about votes."""
    readout = readout_of_ratings(
        {"Control": shares(1_000, 0.65), "Test": shares(1_000, up)},
        replace(TWO, reveal=reveal),
        sums={"response_time": {"Control": times(1_000, 3.0), "Test": times(1_000, seconds)}},
        votes={CONTROL_FIRST: given},
    )
    assert readout.comparisons is not None
    assert "comparisons" not in sentence(readout) and "Testers" not in sentence(readout)
    return disagreement(readout, readout.comparisons, "Test")


def test_two_ways_that_agree_or_are_undecided_do_not_disagree() -> None:
    assert both(0.8, votes(30, 6, 3, 1)) == []
    assert both(0.5, votes(8, 3, 2, 1)) == both(0.71, votes(30, 6, 3, 1)) == []


def test_two_ways_that_contradict_each_other_say_so_and_why() -> None:
    first, *reasons = both(0.45, votes(30, 5, 2, 3), seconds=4.5)
    assert first == (
        "The two ways disagree on Test: in the A/B test it is worse than Control on satisfaction, side by side testers "
        "prefer Test. Both can be right:"
    )
    assert reasons == [
        "Speed: Test's answers take 4.5 s, Control's 3.0 s. A thumb judges the wait as well; side by side both answers "
        "are waited for.",
        "Who rates: only some users of the A/B test do, while every comparer judges both groups.",
    ]


def test_speed_is_not_a_reason_where_the_less_liked_group_is_not_slower() -> None:
    assert not any(one.startswith("Speed") for one in both(0.45, votes(30, 6, 3, 1), seconds=2.0))


def test_votes_without_a_winner_and_answers_shown_together_are_reasons() -> None:
    sentences = " ".join(both(0.85, votes(30, 1, 3, 4, 2), seconds=2.0, reveal="together"))
    assert "side by side testers prefer Control" in sentences and "both answers appear together" in sentences
    assert "Ties: 60 % of the votes had no winner" in sentences


def test_equivalent_in_one_way_and_decided_in_the_other_is_a_disagreement() -> None:
    assert both(0.85, votes(300, 5, 5))[0].endswith(
        "side by side testers find it equivalent to Control. Both can be right:"
    )
