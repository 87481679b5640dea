"""Held intervals: the intersection of the intervals of all looks at one difference.

A confidence sequence may be intersected over its looks: all of them hold together with the same confidence. A verdict
therefore stays at the next look. Pure.
"""

from typing import NamedTuple

Look = tuple[str, str]
"""A metric and a treatment."""


class Interval(NamedTuple):
    """The highest lower and the lowest upper bound, with the times of the looks that gave them."""

    low: float
    low_ms: int
    high: float
    high_ms: int

    @property
    def since_ms(self) -> int:
        """The last time at which it narrowed."""
        return max(self.low_ms, self.high_ms)


def together(before: Interval | None, low: float | None, high: float | None, now_ms: int) -> Interval | None:
    """Return the intersection of the held interval with the newest one; None where neither is known.

    >>> together(Interval(0.01, 1, 0.2, 1), -0.02, 0.15, 2)
    Interval(low=0.01, low_ms=1, high=0.15, high_ms=2)
    """
    if low is None or high is None:
        return before
    if before is None:
        return Interval(low, now_ms, high, now_ms)
    lower = (low, now_ms) if low > before.low else (before.low, before.low_ms)
    upper = (high, now_ms) if high < before.high else (before.high, before.high_ms)
    return Interval(*lower, *upper)
