"""Weights that changed during an experiment, by the record of the weights or by the exposures.

Users from before and after a change cannot be compared, and their split fits neither set of weights. Knows no verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lib.experiments.definitions import Definition
from lib.statistics.splits import split, stretches
from lib.statistics.sums import Weights

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of an experiment in which new units were split by the same shares."""

    from_ms: int
    until_ms: int
    counts: Mapping[str, int]


def weights_changed(
    first_ms: int | None, weights: Sequence[Weights], definition: Definition, as_of_ms: int | None
) -> int | None:
    """Return when the weights last changed after the first counted exposure, None where the record has no change."""
    if first_ms is None or not weights:
        return None
    if not weights[-1].like(definition.shares):
        return as_of_ms or first_ms
    steps = pairwise(weights)
    changes = [new.since_ms for old, new in steps if new.since_ms > first_ms and not old.like(new.shares)]
    return max(changes, default=None)


def shares_changed(arrivals: Sequence[tuple[int, Mapping[str, int]]], definition: Definition) -> list[Stretch]:
    """Return the stretches in which new units were split by different shares.

    Empty where one set of shares explains all arrivals, and where the last stretch does not have the configured
    shares: then the split is broken, not changed.
    """
    names = [group.name for group in definition.groups]
    hours = [(start, {name: units.get(name, 0) for name in names}) for start, units in arrivals]
    parts = [_stretch(hours[first:end]) for first, end in stretches([units for _, units in hours])]
    if len(parts) < 2 or split(parts[-1].counts, definition.shares).broken:
        return []
    return parts


def _stretch(hours: Sequence[tuple[int, Mapping[str, int]]]) -> Stretch:
    counts: dict[str, int] = {}
    for _, units in hours:
        for name, n in units.items():
            counts[name] = counts.get(name, 0) + n
    return Stretch(hours[0][0], hours[-1][0] + HOUR_MS, counts)
