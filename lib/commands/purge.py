"""The command `python -m lib purge`: counts old events, and deletes them with the operator's consent."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from lib.store import Store
from lib.store.purge import Old, old, purge

STEP = 500_000
"""Events between two lines of progress."""


def purge_old_events(store: Store, before_ms: int, sure: bool, progress: Callable[[str], object]) -> Iterator[str]:
    """Yield the lines for the operator; events are deleted only if `sure`. Raises StoreError."""
    counts = old(store, before_ms)
    moment = datetime.fromtimestamp(before_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not sure:
        return _preview(counts, moment)
    deleted = reported = 0
    for step in purge(store, before_ms):
        deleted += step
        if deleted >= reported + STEP:
            reported = deleted
            progress(f"{deleted:,} of {counts.events:,}")
    return _summary(deleted, counts, moment, file=not store.shared)


def _preview(counts: Old, moment: str) -> Iterator[str]:
    yield f"{_many(counts.events)} from before {moment} can be deleted."
    if counts.unsent:
        yield f"{counts.unsent:,} of them were never sent to Statsig and will not be."
    yield from _stay(counts)
    if counts.events:
        yield "The Events page and exports would no longer have them: export first what you want to keep."
        yield "The readout does not change. Nothing was deleted yet: repeat this with --yes."


def _summary(deleted: int, counts: Old, moment: str, *, file: bool) -> Iterator[str]:
    yield f"{_many(deleted)} from before {moment} were deleted."
    yield from _stay(counts)
    if deleted and file:
        yield "The file keeps its size; new events use the space that was freed."


def _stay(counts: Old) -> Iterator[str]:
    if counts.waiting:
        yield f"{_many(counts.waiting)} wait for Statsig and stay."


def _many(count: int) -> str:
    """
    >>> _many(1), _many(1200)
    ('1 event', '1,200 events')
    """
    return f"{count:,} event" + ("" if count == 1 else "s")
