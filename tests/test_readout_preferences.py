"""The readout of comparisons against a second calculation from the events alone, and its intervals over many looks."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from lib.demo import comparers
from lib.demo.comparers import _order, _Running
from lib.experiments.definitions import PREFERENCE, Definition, Effect, Group
from lib.planning.power import MODERATE, TIES
from lib.readout.preferences import Comparisons, comparisons_of
from lib.statistics.intervals import Interval, Look
from lib.statistics.sums import VoteSums
from tests.support.invented_events import EXPERIMENT, Line, counted, preferred

TWO = Definition(EXPERIMENT, (Group("control", 1), Group("b", 1)), "control")
THREE = Definition(
    EXPERIMENT, (Group("b", 1), Group("z", 1), Group("control", 1)), "control", mde={PREFERENCE: Effect(0.3)}
)


# A second calculation: from each tester's votes instead of sums, with limits by search instead of a formula


def invent_votes(seed: int, treatments: Sequence[str], testers: int) -> list[Line]:
    """Votes of testers with tastes and diligence of their own, some changed, some delivered twice, in any order."""
    chance, lines, number = random.Random(seed), list[Line](), 0
    for tester in range(testers):
        share, votes = chance.betavariate(4, 2), chance.choice([1, 2, 5, 30])
        for vote in range(votes):
            treatment = chance.choice([*treatments, "gone"])
            pair = [treatment, chance.choice(["control"] * 9 + ["gone"])]
            chance.shuffle(pair)
            wins = treatment if chance.random() < share else pair[pair.index(treatment) - 1]
            for change in range(chance.choice([1, 1, 1, 3])):
                value = chance.choice(["tie", "both_bad", wins, wins, wins, "unknown"])
                about = {"left": pair[0], "right": pair[1]}
                time, number = 1_000 * number + change, number + 1
                lines.append(preferred(f"e{number}", f"c{tester}-{vote}", f"u{tester}", time, value, **about))
    lines += chance.sample(lines, len(lines) // 5)
    chance.shuffle(lines)
    return lines


def recalculate(lines: Sequence[Line], treatment: str, mde: float, alpha: float) -> dict[str, Any]:
    last: dict[str, Line] = {}
    for line in sorted(lines, key=lambda one: (one["time"], one["event_id"])):
        last[line["metadata"]["comparison_id"]] = line
    worth = {treatment: 1, "control": -1, "tie": 0, "both_bad": 0}
    pairs = [
        one for one in last.values() if {one["metadata"]["left"], one["metadata"]["right"]} == {treatment, "control"}
    ]
    votes = [one for one in pairs if one["value"] in worth]
    by_tester: dict[str, list[int]] = {}
    for one in votes:
        by_tester.setdefault(one["user_id"], []).append(worth[one["value"]])
    n, total = len(by_tester), len(votes)
    net = sum(map(sum, by_tester.values())) / total
    off = [sum(one) - net * len(one) for one in by_tester.values()]  # each tester's part of the ratio's error
    variance = sum(one * one for one in off) / total**2 * n / (n - 1)
    decided = [one for one in votes if worth[one["value"]]]
    left = sum(one["value"] == one["metadata"]["left"] for one in decided)
    centre = sum(map(sum, by_tester.values())) / (total + 4)
    variance = max(variance, ((len(decided) + 4) / (total + 4) - centre**2) / total)
    df = max(total**2 / sum(len(one) ** 2 for one in by_tester.values()) - 1, 0.5)
    half = limit(lambda t: mixture(normal_of(t, df), variance, 2 * mde * mde) >= 1 / alpha) * math.sqrt(variance)
    wins = sum(one["value"] == treatment for one in decided)
    return {
        "units": n,
        "votes": total,
        "wins": wins,
        "losses": len(decided) - wins,
        "ties": sum(one["value"] == "tie" for one in votes),
        "both_bad": sum(one["value"] == "both_bad" for one in votes),
        "win_share": wins / len(decided),
        "left_share": left / len(decided),
        "mde": mde,
        "net": net,
        "se": math.sqrt(variance),
        "df": df,
        "cs_low": net - half,
        "cs_high": net + half,
    }


def mixture(z: float, variance: float, tau: float) -> float:
    """Return the likelihood ratio of effects drawn from N(0, tau) against no effect.

    Without an effect, it ever exceeds 1 / alpha with a probability of at most alpha.
    """
    return math.sqrt(variance / (variance + tau)) * math.exp(z * z * tau / (2 * (variance + tau)))


def normal_of(t: float, df: float) -> float:
    """Return the normal quantile that corresponds to a quantile of Student's t (Wallace 1959)."""
    return (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df))


def limit(reached: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    while not reached(high):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("definition", "mde"), [(TWO, 0.2), (THREE, 0.3)], ids=["two groups", "three groups"])
def test_every_number_is_that_of_a_second_calculation(seed: int, definition: Definition, mde: float) -> None:
    treatments = [group.name for group in definition.groups if group.name != "control"]
    lines = invent_votes(seed, treatments, testers=6 + 8 * seed)
    compared = comparisons_of(counted(lines).votes, definition)
    assert compared is not None and list(compared.treatments) == treatments
    for name in treatments:
        numbers, expected = compared.treatments[name].numbers, recalculate(lines, name, mde, 0.05 / len(treatments))
        for field, value in expected.items():
            assert getattr(numbers, field) == pytest.approx(value, rel=1e-9), field


# Many looks


def looks_of(seed: int, share: float, definition: Definition = TWO) -> list[Comparisons]:
    """Return the comparisons of one experiment with 20 testers, read after every vote."""
    chance, panel = random.Random(f"looks {seed}"), comparers.Panel(20, 10)
    shares = [chance.betavariate(share * MODERATE, (1 - share) * MODERATE) for _ in range(panel.people)]
    running, looks, held = _Running(panel.people), list[Comparisons](), dict[Look, Interval]()
    for at, tester in enumerate(_order(chance, panel)):
        running.add(tester, 0 if chance.random() < TIES else 1 if chance.random() < shares[tester] else -1)
        compared = comparisons_of({("control", "b"): running.votes()}, definition, held, at)
        assert compared is not None
        held |= compared.held
        looks.append(compared)
    return looks


def ends(look: Comparisons) -> tuple[float, float]:
    interval = look.treatments["b"].interval
    return (interval.low, interval.high) if interval else (-math.inf, math.inf)


@pytest.mark.parametrize("seed", range(20))
def test_an_interval_never_widens_and_a_verdict_stays(seed: int) -> None:
    looks = looks_of(seed, 0.75)
    for before, after in pairwise(looks):
        assert ends(before)[0] <= ends(after)[0] and ends(after)[1] <= ends(before)[1]
        if before.verdict in ("better", "worse") and not after.treatments["b"].changed:
            assert after.verdict == before.verdict
    assert looks[-1].verdict == "better"


def test_the_intersection_of_all_looks_holds_the_truth() -> None:
    true_net = 0.8 * (2 * 0.65 - 1)
    missed = [not (low <= true_net <= high) for low, high in (ends(looks_of(seed, 0.65)[-1]) for seed in range(200))]
    assert sum(missed) <= 10  # at most 5 % of the experiments, at any look


def comparisons_held(votes: Mapping[tuple[str, str], VoteSums], looks: Mapping[Look, Interval]) -> Comparisons:
    compared = comparisons_of(votes, TWO, looks, 2)
    assert compared is not None
    return compared


def test_too_few_testers_hold_nothing() -> None:
    running = _Running(4)
    for vote in range(80):
        running.add(vote % 4, 1)
    compared = comparisons_held({("control", "b"): running.votes()}, {})
    assert compared.held == {} and compared.verdict == "not_enough_data"


def test_without_known_looks_the_newest_interval_decides() -> None:
    votes = {("control", "b"): _of_testers(20, 8, 1)}
    alone = comparisons_of(votes, TWO)
    assert alone is not None and alone.held == {} and alone.treatments["b"].interval is None
    assert comparisons_held(votes, {}).held == {
        (PREFERENCE, "b"): Interval(alone.treatments["b"].low or 0, 2, alone.treatments["b"].high or 0, 2)
    }


def _of_testers(testers: int, wins: int, losses: int) -> VoteSums:
    running = _Running(testers)
    for tester in range(testers):
        for worth in [1] * wins + [-1] * losses:
            running.add(tester, worth)
    return running.votes()
