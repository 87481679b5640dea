"""What `python -m lib simulate` does and tells: visitors who were never there, and the check of the readout with them.

Owns the progress on standard error and the summaries. How visitors behave is `demo.behaviour`, how they are played
`demo.visitors`, and the check is `soundness`.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from lib.app import App
from lib.demo import serve
from lib.demo.behaviour import SATISFIED
from lib.demo.soundness import Soundness, Watched, check, smallest_effect
from lib.demo.visitors import SPEED, Played, play
from lib.experiments.evaluator import Experiments
from lib.settings import Settings
from lib.store import StoreError
from lib.store.sums import only_simulated

TOLD_EVERY_S = 2.0
ALLOWED = 0.05
"""Experiments without a lift of which the page may say that there is a winner or a loser, ever."""
NOT_TAKING_PART = "(no group)"


class SimulationError(Exception):
    """It cannot be played like this; the message says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """Lines for standard output. `well` is False where the answer is no."""

    lines: tuple[str, ...]
    well: bool


def visits(settings: Settings, users: int, seed: int, lift: float) -> Told:
    """Let visitors come. Raises StoreError, DefinitionError, Unplayable, SimulationError."""
    _possible(lift)
    with serve(SPEED) as url, closing(App.open(settings, url)) as app:
        played = play(app, users, seed, lift, _progress(users, "visitors"))
        if not played.saved:
            raise StoreError("The store did not take everything: what is there is not all that was played.")
        with app.store.read() as connection:
            alone = only_simulated(connection, settings.experiment)
    lines = [
        f"{users:,} simulated visitors in {played.seconds:.0f} s, at {SPEED:g} times the demo model's pace.",
        *_aligned(_counts(played)),
        "The readout shows them: python -m lib readout"
        if alone
        else "The experiment has real events, and the readout shows those alone.",
    ]
    return Told(tuple(lines), True)


def _counts(played: Played) -> list[list[str]]:
    rows = [["", "visitors", "answers", "failed", "rated", "satisfied"]]
    for group, counts in played.groups.items():
        numbers = [f"{counts.get(name, 0):,}" for name in ("visitors", "answers", "failed", "rated")]
        rated = counts.get("rated", 0)
        liked = f"{100 * counts.get('liked', 0) / rated:.1f} %" if rated else "–"
        rows.append([group or NOT_TAKING_PART, *numbers, liked])
    return rows


def soundness(settings: Settings, users: int, seed: int, lift: float | None, runs: int) -> Told:
    """Check the readout; a lift of None: the smallest effect that matters. Raises DefinitionError, SimulationError."""
    began = time.monotonic()
    with closing(Experiments.open(settings.experiments_file)) as experiments:
        definition = experiments.definitions.get(settings.experiment)
        if definition is None or len(definition.groups) < 2:
            raise SimulationError(f"{settings.experiments_file} has no experiment {settings.experiment} of two groups.")
        lift = smallest_effect(definition) if lift is None else lift
        _possible(lift)
        progress = _progress(2 * runs, "experiments")
        found = check(experiments, definition.name, users, seed, lift, runs, progress)
    return judged(found, users, lift, time.monotonic() - began)


def judged(found: Soundness, users: int, lift: float, seconds: float) -> Told:
    """The figures of a check; well, unless more experiments than chance allows named a winner where there was none."""
    runs = len(found.without)
    looks = sum(one.looks for one in (*found.without, *found.lifted))
    wrong = _share(found.without, lambda one: one.verdict is not None)
    lines = (
        f"{runs:,} experiments without a lift and {runs:,} with {100 * lift:+g} points, {users:,} visitors each: "
        f"{looks:,} looks, one after every rating, in {seconds:.0f} s.",
        *_aligned(_rates(found.without, found.lifted, better="better" if lift > 0 else "worse")),
        "± is the standard error. The naive test takes every rating for a person and every look for the only one.",
    )
    return Told(lines, wrong <= ALLOWED + 2 * math.sqrt(ALLOWED * (1 - ALLOWED) / runs))


def _rates(without: Sequence[Watched], lifted: Sequence[Watched], better: str) -> list[list[str]]:
    worse = "worse" if better == "better" else "better"
    return [
        ["", "Parley", "naive z-test"],
        ["no lift, yet a winner or loser", *_both(without, "better", "worse")],
        ["the lift found", *_both(lifted, better)],
        ["the lift told the wrong way round", *_both(lifted, worse)],
        ["the split called broken", _rate((*without, *lifted), lambda one: one.broken), "–"],
    ]


def _both(runs: Sequence[Watched], *verdicts: str) -> tuple[str, str]:
    return _rate(runs, lambda one: one.verdict in verdicts), _rate(runs, lambda one: one.naive in verdicts)


def _share(runs: Sequence[Watched], is_so: Callable[[Watched], bool]) -> float:
    return sum(map(is_so, runs)) / len(runs)


def _rate(runs: Sequence[Watched], is_so: Callable[[Watched], bool]) -> str:
    share = _share(runs, is_so)
    return f"{100 * share:.1f} % ± {100 * math.sqrt(share * (1 - share) / len(runs)):.1f}"


def _possible(lift: float) -> None:
    """Visitors cannot be satisfied more than always, or less than never."""
    if not -SATISFIED <= lift <= 1 - SATISFIED:
        raise SimulationError(
            f"A lift of {lift:g} is impossible: without one, {SATISFIED:g} of the ratings are thumbs up, so that it "
            f"must be from {-SATISFIED:g} to {1 - SATISFIED:g}."
        )


def _progress(total: int, what: str) -> Callable[[int], None]:
    told_at = time.monotonic()

    def progress(done: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= TOLD_EVERY_S:
            told_at = time.monotonic()
            sys.stderr.write(f"{done:,} of {total:,} {what}\n")

    return progress


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right.

    >>> _aligned([["", "n"], ["Test", "12"]])
    ['       n', 'Test  12']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
