"""The one way in which a test waits: until a condition holds. A wait that takes too long says what it waited for."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import TypeVar

ENOUGH_S = 180.0
"""Longer than anything takes that is expected to happen, on the busiest machine. A wait that succeeds ends at once."""
PAUSE_S = 0.01

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
