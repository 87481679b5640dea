"""The time of an event, in milliseconds since 1970, UTC."""

import time

DAY_MS = 86_400_000
"""Milliseconds of a day."""


def now_ms() -> int:
    """Return the milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
