"""The check of the readout: it judges as the readout does, and its figures are those of what was played."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lib.commands.simulate import judged
from lib.demo import soundness
from lib.demo.behaviour import SATISFIED, acts, visitor
from lib.demo.soundness import Soundness, Watched, check, judged_by_satisfaction, smallest_effect, watch
from lib.experiments.definitions import Effect
from lib.experiments.evaluator import Experiments
from lib.readout.verdicts import read
from lib.statistics.sums import Scope
from tests.support.app_process import ROOT
from tests.support.invented_events import Line, answered, counted, exposed, rated

EXPERIMENT = "statsig_openai_integration"


@pytest.fixture(scope="module")
def experiments() -> Iterator[Experiments]:
    with closing(Experiments.open(ROOT / ".streamlit/experiments.toml")) as opened:
        yield opened


def as_events(experiments: Experiments, users: int, seed: int, lift: float) -> list[Line]:
    """The same visitors, as an export would have them: the long way round."""
    lines: list[Line] = []
    for number in range(users):
        who = visitor(seed, number)
        group = experiments.assign(who, EXPERIMENT).group
        user, said = who.user_id, {"experiment": EXPERIMENT, "simulated": True}
        lines.append(exposed(f"x{number}", user, group, 0, **said))
        for place, act in enumerate(acts(seed, number, lift if group == "Test" else 0.0)):
            answer_id = f"a{number}-{place}"
            lines.append(answered(answer_id, user, place + 1, group=group, **said))
            for order, vote in enumerate(act.votes):
                name = vote or "rating_withdrawn"
                lines.append({**rated(f"r{answer_id}-{order}", answer_id, user, place * 9 + order + 2, name)})
                lines[-1]["metadata"] |= said
    return lines


@pytest.mark.parametrize("lift", [0.0, 0.15])
def test_what_is_added_up_in_memory_is_what_the_store_counts(experiments: Experiments, lift: float) -> None:
    definition = judged_by_satisfaction(experiments.definitions[EXPERIMENT])
    *_, last = soundness._ratings(experiments, definition, 120, 4, lift)
    stored = counted(as_events(experiments, 120, 4, lift), Scope(EXPERIMENT, simulated=True))
    assert {name: group.sums() for name, group in last.items()} == stored.sums["satisfaction"]
    short = read(soundness._tally(definition, last), definition, None)
    whole = read(stored, definition, None)
    assert short.metrics["satisfaction"] == whole.metrics["satisfaction"]
    assert (short.split, short.verdict) == (whole.split, whole.verdict)


def test_every_rating_is_a_look(experiments: Experiments) -> None:
    definition = judged_by_satisfaction(experiments.definitions[EXPERIMENT])
    ratings = sum(len(act.votes) for number in range(60) for act in acts(5, number))
    assert watch(experiments, definition, 60, 5, 0.0).looks == ratings


def test_watched_all_the_time_the_page_is_rarely_wrong_where_a_naive_test_often_is(experiments: Experiments) -> None:
    found = check(experiments, EXPERIMENT, users=120, seed=1, lift=0.3, runs=25)
    assert sum(one.verdict is not None for one in found.without) <= 3  # at 4 % in truth, more of them once in 50 seeds
    assert sum(one.naive is not None for one in found.without) >= 4
    assert sum(one.verdict == "better" for one in found.lifted) >= 20
    assert found == check(experiments, EXPERIMENT, users=120, seed=1, lift=0.3, runs=25)


def test_progress_is_told_after_every_experiment(experiments: Experiments) -> None:
    told: list[int] = []
    check(experiments, EXPERIMENT, users=5, seed=1, lift=0.1, runs=3, progress=told.append)
    assert told == [1, 2, 3, 4, 5, 6]


def test_who_does_not_take_part_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text("[e]\nallocation = 50\n[e.groups]\nA = { weight = 1 }\nB = { weight = 1 }\n")
    with closing(Experiments.open(file)) as experiments:
        definition = judged_by_satisfaction(experiments.definitions["e"])
        *_, last = soundness._ratings(experiments, definition, 200, 1, 0.0)
    assert 60 < sum(group.n for group in last.values()) < 140


def test_the_smallest_effect_is_that_of_the_definition(experiments: Experiments) -> None:
    definition = experiments.definitions[EXPERIMENT]
    assert smallest_effect(definition) == 0.10
    assert smallest_effect(replace(definition, mde={"satisfaction": Effect(0.05)})) == 0.05
    assert smallest_effect(replace(definition, mde={"satisfaction": Effect(0.2, relative=True)})) == 0.2 * SATISFIED


def watched(verdict: str | None, naive: str | None = None, broken: bool = False) -> Watched:
    return Watched(verdict, naive, broken, looks=10)


def test_the_figures_come_with_their_standard_errors() -> None:
    without = (*(watched(None, "worse") for _ in range(48)), watched("better"), watched("worse", broken=True))
    lifted = (*(watched("better") for _ in range(20)), watched("worse"), *(watched(None, "better") for _ in range(29)))
    told = judged(Soundness(without, lifted), users=300, lift=0.1, seconds=61.7)
    assert told.well
    assert told.lines[0] == (
        "50 experiments without a lift and 50 with +10 points, 300 visitors each: 1,000 looks, one after every "
        "rating, in 62 s."
    )
    assert [" ".join(line.split()) for line in told.lines[1:6]] == [
        "Parley naive z-test",
        "no lift, yet a winner or loser 4.0 % ± 2.8 96.0 % ± 2.8",
        "the lift found 40.0 % ± 6.9 58.0 % ± 7.0",
        "the lift told the wrong way round 2.0 % ± 2.0 0.0 % ± 0.0",
        "the split called broken 1.0 % ± 1.0 –",
    ]


def test_a_drop_is_found_as_worse() -> None:
    told = judged(Soundness((watched(None),), (watched("worse"),)), users=300, lift=-0.1, seconds=1)
    assert "-10 points" in told.lines[0] and " ".join(told.lines[3].split()).startswith("the lift found 100.0 %")


@pytest.mark.parametrize("wrong, well", [(0, True), (16, True), (17, False), (60, False)])
def test_the_answer_is_no_when_chance_does_not_explain_the_wrong_ones(wrong: int, well: bool) -> None:
    without = tuple(watched("better" if number < wrong else None) for number in range(200))
    assert judged(Soundness(without, without), users=300, lift=0.1, seconds=1).well is well
