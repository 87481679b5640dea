"""Comparisons that are watched after every vote: rarely wrong, and decided as often as the planner says."""

import random

import pytest

from lib.commands.simulate import summarize_comparisons
from lib.demo.comparers import PEOPLE, TASTES, VOTES, WIN_SHARE, Panel, PanelResults, _Running, check, watch
from lib.planning.power import MODERATE, STRONG, comparison_power
from lib.statistics.preferences import preference


def watch_panels(panel: Panel, win_share: float, tastes: float, runs: int) -> list[str | None]:
    return [watch(random.Random(f"held {number}"), panel, win_share, tastes) for number in range(runs)]


@pytest.mark.parametrize("tastes", [MODERATE, STRONG])
def test_a_false_winner_is_rare_with_a_look_after_every_vote(tastes: float) -> None:
    verdicts = watch_panels(Panel(20, 10), 0.5, tastes, 200)
    assert sum(verdict is not None for verdict in verdicts) <= 10


@pytest.mark.parametrize(
    ("panel", "tastes"),
    [(Panel(20, 20), MODERATE), (Panel(30, 10), MODERATE), (Panel(50, 10), MODERATE), (Panel(110, 10), STRONG)],
)
def test_the_planned_power_is_that_of_the_simulation(panel: Panel, tastes: float) -> None:
    verdicts = watch_panels(panel, WIN_SHARE, tastes, 150)
    power = comparison_power(panel.people, panel.votes, WIN_SHARE, 0.2, 0.05, tastes=tastes)
    assert abs(sum(verdict == "better" for verdict in verdicts) / 150 - power) < 0.1


def test_a_preference_for_control_is_found_as_worse() -> None:
    assert set(watch_panels(Panel(50, 10), 0.2, MODERATE, 20)) == {"worse"}


def test_the_running_sums_are_those_of_all_votes() -> None:
    running = _Running(3)
    for tester, worth in [(0, 1), (1, -1), (0, 1), (2, 0), (0, -1), (1, -1)]:
        running.add(tester, worth)
    assert running.votes().sums == (3, -1, 6, 5, 14, -1, 3)
    one = preference(running.votes(), 0.2, 0.05)
    assert (one.units, one.votes, one.wins, one.losses, one.ties) == (3, 6, 2, 3, 1)


def test_a_check_plays_every_panel_each_way() -> None:
    heard: list[int] = []
    results = check(seed=1, runs=2, progress=heard.append)
    assert heard == [1, 2] and len(results) == len(TASTES) * len(PEOPLE) * len(VOTES)
    assert all((len(one.without), len(one.preferred)) == (2, 2) for one in results.values())
    assert results == check(seed=1, runs=2)


def test_the_figures_stand_in_a_table_for_each_kind_of_taste() -> None:
    panels = [Panel(30, 10), Panel(50, 10)]
    results = {
        (taste, panel): PanelResults([None] * 39 + ["worse"], ["better"] * 30 + [None] * 9 + ["worse"])
        for taste in TASTES
        for panel in panels
    }
    text = summarize_comparisons(results)
    rows = [" ".join(line.split()) for line in text.lines]
    assert rows[2] == "no preference, yet a winner or loser 30 × 10 50 × 10"
    assert rows[3] == "tastes differ moderately 2.5 2.5" and rows[7] == "tastes differ moderately 75.0 75.0"
    assert text.well


def test_more_false_winners_than_chance_explains_fail_the_check() -> None:
    wrong = PanelResults(["better"] * 17 + [None] * 183, [None] * 200)
    assert not summarize_comparisons({(taste, Panel(30, 10)): wrong for taste in TASTES}).well
