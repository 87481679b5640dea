"""The command `python -m lib simulate`: plays simulated visitors, or checks the readout with them.

Owns the progress on standard error and the summaries. The behaviour of visitors is in `demo.behaviour`, the way they
are played in `demo.visitors`, the checks in `demo.soundness` and `demo.comparers`.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from lib.app import App
from lib.commands.definitions import find_definition, live_experiment, recorded
from lib.commands.errors import UsageError
from lib.demo import comparers, serve
from lib.demo.behaviour import SATISFIED
from lib.demo.comparers import Panel, PanelResults
from lib.demo.soundness import Soundness, Watched, check, smallest_effect
from lib.demo.visitors import SPEED, Played, Unplayable, play
from lib.experiments.definitions import Definition
from lib.readout.preferences import preference_mde
from lib.readout.words import WORDS
from lib.settings import Settings
from lib.statistics.differences import ALPHA
from lib.store import StoreError
from lib.store.tallies import only_simulated

PROGRESS_EVERY_S = 2.0
"""Seconds between two lines of progress."""
ALLOWED = 0.05
"""Largest share of experiments without a lift in which the page may ever show a winner or a loser."""
WAYS = ("watched", "planned")
"""The two ways to run an experiment: without and with planned users."""
NOT_TAKING_PART = "(no group)"


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines for standard output. `well` is False where the answer is no."""

    lines: tuple[str, ...]
    well: bool


def visits(settings: Settings, users: int, seed: int, lift: float) -> Summary:
    """Play visits. Raises StoreError, DefinitionError, UsageError."""
    _check_lift(lift)
    with serve(SPEED) as url, closing(App.open(settings, url)) as app:
        try:
            played = play(app, users, seed, lift, _progress(users, "visitors"))
        except Unplayable as error:
            raise UsageError(str(error)) from None
        if not played.saved:
            raise StoreError("The store did not take everything: what is there is not all that was played.")
        with app.store.read() as connection:
            alone = only_simulated(connection, app.experiment, app.experiments.run(app.experiment))
    lines = [
        f"{users:,} simulated visitors in {played.seconds:.0f} s, at {SPEED:g} times the demo model's pace.",
        *_aligned(_counts(played)),
        "The readout shows them: python -m lib readout"
        if alone
        else "The experiment has real events, and the readout shows those alone.",
    ]
    return Summary(tuple(lines), True)


def _counts(played: Played) -> list[list[str]]:
    rows = [["", "visitors", "answers", "failed", "rated", "satisfied", "voted"]]
    for group, counts in played.groups.items():
        numbers = [f"{counts.get(name, 0):,}" for name in ("visitors", "answers", "failed", "rated")]
        rated = counts.get("rated", 0)
        liked = f"{100 * counts.get('liked', 0) / rated:.1f} %" if rated else "–"
        voted = f"{counts['voted']:,}" if "voted" in counts else "–"
        rows.append([group or NOT_TAKING_PART, *numbers, liked, voted])
    return rows


def soundness(settings: Settings, users: int, seed: int, lift: float | None, runs: int) -> Summary:
    """Check the readout; a lift of None: the smallest effect that matters. Raises DefinitionError, UsageError,
    StoreError."""
    began = time.monotonic()
    definition = _definition(settings)
    lift = smallest_effect(definition) if lift is None else lift
    _check_lift(lift)
    figures = check(definition, users, seed, lift, runs, progress=_progress(runs, "pairs of experiments"))
    ab = summarize(figures, users, lift, time.monotonic() - began)
    alpha = ALPHA / (len(definition.groups) - 1)
    panels = comparers.check(
        seed, runs, preference_mde(definition), alpha, _progress(runs, "pairs of experiments that compare")
    )
    compared = summarize_comparisons(panels)
    return Summary((*ab.lines, "", *compared.lines), ab.well and compared.well)


def summarize_comparisons(figures: Mapping[tuple[str, Panel], PanelResults]) -> Summary:
    """Format the figures of comparisons. `well` is False where more experiments than allowed named a winner without
    one."""
    panels = list(dict.fromkeys(panel for _, panel in figures))
    head = [f"{panel.people} × {panel.votes}" for panel in panels]
    wrong = [["no preference, yet a winner or loser", *head]]
    right = [["a win share of 65 % found", *head]]
    for taste in comparers.TASTES:
        label, results = f"tastes differ {taste}", [figures[taste, panel] for panel in panels]
        wrong.append([label, *(_percent(result.without, lambda verdict: verdict is not None) for result in results)])
        right.append([label, *(_percent(result.preferred, lambda verdict: verdict == "better") for result in results)])
    lines = (
        "Comparisons, people × votes of each, a fifth of them ties, looked at after every vote, in percent:",
        "",
        *_aligned(wrong),
        "",
        *_aligned(right),
    )
    runs = len(next(iter(figures.values())).without)
    return Summary(
        lines, all(_is_well(sum(v is not None for v in results.without), runs) for results in figures.values())
    )


def _percent(verdicts: Sequence[str | None], counts: Callable[[str | None], bool]) -> str:
    return f"{100 * sum(map(counts, verdicts)) / len(verdicts):.1f}"


def _is_well(wrong: int, runs: int) -> bool:
    """True unless more experiments are wrong than chance allows."""
    return wrong / runs <= ALLOWED + 2 * math.sqrt(ALLOWED * (1 - ALLOWED) / runs)


def _definition(settings: Settings) -> Definition:
    """Return the experiment that testers get: by the record if there is one, else by the file. Raises UsageError,
    DefinitionError, StoreError."""
    with recorded(settings) as store:
        name = settings.experiment if store is None else live_experiment(settings, store)
        definition = find_definition(settings, name, store)
    if len(definition.groups) < 2:
        raise UsageError(f"{name} has one group: there is nothing to compare.")
    return definition


def summarize(figures: Soundness, users: int, lift: float, seconds: float) -> Summary:
    """Format the figures of a check. `well` is False where more experiments than allowed named a winner without a
    lift."""
    runs = len(next(iter(figures.without.values())))
    experiments = _all(figures)
    looks = sum(experiment.looks for experiment in experiments)
    lines = (
        f"{runs:,} experiments without a difference and {runs:,} with one ({100 * lift:+g} points of satisfaction; of "
        f"every other metric the smallest that matters) at each split, {users:,} visitors each: {looks:,} looks in "
        f"{seconds:.0f} s.",
        "",
        *_aligned(_table("no difference, yet a winner or loser", figures.without, _any)),
        "",
        *_aligned(_table("the difference found", figures.lifted, _right(lift))),
        "",
        *_aligned(_guards(figures)),
        "",
        f"The split was called broken in {_rate(experiments, lambda experiment: experiment.broken)} of them.",
        "± is the standard error. One answer in 100 takes a minute, 3 in 100 fail. Watched: looked at all the time. "
        f"Planned: planned_users = {users:,}, looked at all the time and once at the end. The naive test takes every "
        "rating for a person and every look for the only one.",
    )
    return Summary(lines, _within_limits(figures.without, runs))


def _within_limits(without: Mapping[float, Sequence[Watched]], runs: int) -> bool:
    """Return False where in any cell of the table more experiments are wrong than allowed."""
    return all(
        _is_well(sum(map(_has_verdict(name, way, _any), watched)), runs)
        for watched in without.values()
        for name in watched[0].metrics
        for way in WAYS
    )


def _all(figures: Soundness) -> list[Watched]:
    return [
        experiment
        for splits in (figures.without, figures.lifted)
        for watched in splits.values()
        for experiment in watched
    ]


Counts = Callable[[str, str | None], bool]
"""True for a verdict on a metric that a table counts."""


def _any(_: str, verdict: str | None) -> bool:
    return verdict is not None


def _right(lift: float) -> Counts:
    """Return a function that counts verdicts in the right direction: that of the lift for thumbs, "more" for any other
    metric."""

    def right(metric: str, verdict: str | None) -> bool:
        upwards = lift > 0 if metric in ("satisfaction", "up_per_answer") else metric != "down_per_answer" or lift < 0
        return verdict == ("more" if upwards else "less")

    return right


def _table(title: str, by_split: Mapping[float, Sequence[Watched]], counts: Counts) -> list[list[str]]:
    """Return one row for each metric (and the naive test), two columns for each split."""
    head = [f"{100 * (1 - share):g}/{100 * share:g} {way}" for share in by_split for way in WAYS]
    rows = [[title, *head]]
    metrics = next(iter(by_split.values()))[0].metrics
    rows += [[WORDS[name].name, *_cells(by_split, name, WAYS, counts)] for name in metrics]
    naive = _cells(by_split, "satisfaction", ("naive",), counts)
    rows.append(["satisfaction, naive z-test", *(cell for rate in naive for cell in (rate, "–"))])
    return rows


def _guards(figures: Soundness) -> list[list[str]]:
    """Return a row for each guardrail that may act: by the interval of the readout, and by an ordinary p-value."""
    ways = ("interval", "p < 0.05")
    head = [f"{100 * (1 - share):g}/{100 * share:g} {way}" for share in figures.without for way in ways]
    names = [name for name in next(iter(figures.without.values()))[0].metrics if name != "satisfaction"]
    rows = [["switched off by stop_on", *head]]
    for label, by_split in (("harmless", figures.without), ("harmful", figures.lifted)):
        for name in names:
            cells = [_rate(watched, is_off) for watched in by_split.values() for is_off in _switched_off(name)]
            rows.append([f"a {label} group, {WORDS[name].name}", *cells])
        if len(names) > 1:
            cells = [_rate(watched, is_off) for watched in by_split.values() for is_off in _switched_off(*names)]
            rows.append([f"a {label} group, any of them", *cells])
    return rows


def _switched_off(*metrics: str) -> tuple[Callable[[Watched], bool], Callable[[Watched], bool]]:
    """Return two functions that are True for an experiment whose treatment one of these guardrails would switch off: by
    the interval, and by a p-value."""
    return (
        lambda experiment: any(experiment.metrics[name].harmed(name) for name in metrics),
        lambda experiment: any(experiment.metrics[name].harmed_p for name in metrics),
    )


def _cells(by_split: Mapping[float, Sequence[Watched]], metric: str, ways: Sequence[str], counts: Counts) -> list[str]:
    return [_rate(watched, _has_verdict(metric, way, counts)) for watched in by_split.values() for way in ways]


def _has_verdict(metric: str, way: str, counts: Counts) -> Callable[[Watched], bool]:
    """Return a function that is True for an experiment whose verdict on the metric counts."""
    return lambda experiment: counts(metric, getattr(experiment.metrics[metric], way))


def _share(runs: Sequence[Watched], condition: Callable[[Watched], bool]) -> float:
    return sum(map(condition, runs)) / len(runs)


def _rate(runs: Sequence[Watched], condition: Callable[[Watched], bool]) -> str:
    share = _share(runs, condition)
    return f"{100 * share:.1f} % ± {100 * math.sqrt(share * (1 - share) / len(runs)):.1f}"


def _check_lift(lift: float) -> None:
    """Raise UsageError where the lift would take satisfaction below 0 or above 1."""
    if not -SATISFIED <= lift <= 1 - SATISFIED:
        raise UsageError(
            f"A lift of {lift:g} is impossible: without one, {SATISFIED:g} of the ratings are thumbs up, so that it "
            f"must be from {-SATISFIED:g} to {1 - SATISFIED:g}."
        )


def _progress(total: int, noun: str) -> Callable[[int], None]:
    reported_at = time.monotonic()

    def progress(done: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= PROGRESS_EVERY_S:
            reported_at = time.monotonic()
            sys.stderr.write(f"{done:,} of {total:,} {noun}\n")

    return progress


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first column to the left, numbers to the right.

    >>> _aligned([["", "n"], ["Test", "12"]])
    ['       n', 'Test  12']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
