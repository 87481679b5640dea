"""Readouts of sums made by hand, and the comparison of two reports."""

import math
from collections.abc import Mapping
from typing import Any

from lib.experiments.definitions import METRICS, Definition, Group
from lib.readout.verdicts import Readout, read
from lib.statistics.sums import Scope, Sums, Tally
from tests.support.invented_events import EXPERIMENT, ORIGIN_MS

TWO = Definition(EXPERIMENT, (Group("Control", 50), Group("Test", 50)), "Control")


def shares(n: int, up: float) -> Sums:
    """Return the sums of `n` units with one rating each, a share `up` of them thumbs up."""
    x = round(n * up)
    return Sums(n, x, n, x, n, x, n)


def replace_x(sums: Sums, x: float) -> Sums:
    """Return the sums of the same units with one answer each, `x` of which count."""
    return sums._replace(sx=x, sxx=x, sxy=x)


def times(n: int, mean: float) -> Sums:
    """Return the sums of `n` units with one answer each, half of them 10 % quicker than the mean and half slower."""
    return Sums(n, n * mean, n, n * mean**2 * 1.01, n, n * mean, n)


def readout_of_ratings(groups: Mapping[str, Sums], definition: Definition = TWO, **more: Any) -> Readout:
    """Return the readout of these ratings, one for each answer. Metrics that need other data have none."""
    sums = {metric: dict.fromkeys(groups, Sums(0, 0, 0, 0, 0, 0, 0)) for metric in METRICS}
    sums["satisfaction"] = sums["up_per_answer"] = dict(groups)
    sums["down_per_answer"] = {grp: replace_x(one, one.sy - one.sx) for grp, one in groups.items()}
    sums["rating_rate"] = {grp: replace_x(one, one.sy) for grp, one in groups.items()}
    sums["answers_per_user"] = {
        grp: Sums(one.n, one.n, one.n, one.n, one.n, one.n, one.n) for grp, one in groups.items()
    }
    sums |= more.pop("sums", {})
    return read(Tally(Scope(EXPERIMENT, more.pop("simulated", False)), sums, {}, **more), definition, ORIGIN_MS)


def agree(actual: Any, expected: Any, where: str) -> int:
    """Check that all fields are equal, numbers to a relative 1e-6; return the number of compared numbers."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), (where, actual.keys(), expected.keys())
        return sum(agree(actual[key], value, f"{where}.{key}") for key, value in expected.items())
    if isinstance(expected, int | float) and actual is not None:
        assert math.isclose(actual, expected, rel_tol=1e-6), (where, actual, expected)
        return 1
    assert actual == expected, (where, actual, expected)
    return 0
