"""The one way in which a test waits: until a condition holds. A wait that takes too long fails with its condition.

Tests of how soon something happens measure that with `within`."""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

ENOUGH_S = 180.0
"""More seconds than any expected event needs on the busiest machine. A wait ends as soon as its condition holds."""
PAUSE_S = 0.01
USUAL_S = 0.025
"""Seconds that the sum in `slowness` takes on a machine of the usual speed."""

T = TypeVar("T")


def until(holds: Callable[[], T | None], within_s: float = ENOUGH_S, *, show: Callable[[], object] | None = None) -> T:
    """Return the first true value of `holds`.

    Raises AssertionError after `within_s` seconds, with the condition's source, its last value and what `show` returns.
    """
    deadline = time.monotonic() + within_s
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(late(holds, within_s, value, show))
        time.sleep(PAUSE_S)
    return value


async def until_async(holds: Callable[[], T | None], within_s: float = ENOUGH_S) -> T:
    """Return the first true value of `holds`, as `until` does, while the event loop goes on."""
    deadline = time.monotonic() + within_s
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(late(holds, within_s, value))
        await asyncio.sleep(PAUSE_S)
    return value


def slowness() -> float:
    """Return the factor by which this machine is slower than usual at the moment, at least 1."""
    began = time.perf_counter()
    sum(number * number for number in range(300_000))
    return max(1.0, (time.perf_counter() - began) / USUAL_S)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, or in proportion longer on a machine that is slower than usual.

    For tests that run alone.
    """
    before, began = slowness(), time.monotonic()
    yield
    took = time.monotonic() - began
    slower = max(before, slowness())
    assert took < seconds * slower, f"took {took:.2f} s of {seconds:g} s, {slower:.1f} times slower than usual"


def late(
    holds: Callable[[], object], within_s: float, value: object = None, show: Callable[[], object] | None = None
) -> str:
    """Return the message of a wait that took too long."""
    message = f"not within {within_s:g} s: {_source(holds)}; its last value: {value!r}"
    return message if show is None else f"{message}\n{show()}"


def _source(holds: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(holds).split())
    except (OSError, TypeError):
        return repr(holds)
