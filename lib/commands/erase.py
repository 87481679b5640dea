"""The report of `python -m lib erase`: what was deleted here, and the request that deletes the rest at Statsig."""

import json
import shlex
from collections.abc import Iterator

from lib.store import Erased


def report(erased: Erased, unit: str, *, statsig: bool) -> Iterator[str]:
    """Yield the lines for the operator. `statsig`: True where Parley is connected to Statsig."""
    votes = f"{_many(erased.votes, 'vote')} on comparisons, " if erased.votes else ""
    if erased.nothing:
        yield f"There is nothing of {unit} here."
    else:
        yield (
            f"Erased of {unit}: {_many(erased.conversations, 'conversation')}, {_many(erased.messages, 'message')}, "
            f"{_many(erased.answers, 'answer')}, {votes}{_many(erased.events, 'event')} "
            f"({erased.undelivered} of them not delivered to Statsig yet)."
        )
    if erased.running:
        yield f"{_many(erased.running, 'answer')} of theirs is still running: run this again in five minutes."
    if erased.at_statsig:
        yield from _ask_statsig(unit)
    elif statsig:
        yield "Statsig has acknowledged no event of theirs. Events of an earlier database may still be there."
    yield "Copies of the database (backups, exports) are not touched."


def facts(erased: Erased) -> dict[str, int]:
    """Return the counts of an erasure for the audit log, without the unit."""
    names = ("conversations", "messages", "answers", "events")
    return {name: getattr(erased, name) for name in names}


def _ask_statsig(unit: str) -> Iterator[str]:
    body = json.dumps({"unit_type": "user_id", "ids": unit})
    yield "Statsig has events of theirs. Ask for their deletion there, with a server key of the project:"
    yield (
        '  curl -X POST https://api.statsig.com/v1/delete_user_data -H "statsig-api-key: $STATSIG_SECRET_KEY" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    yield "It answers with a request id, is offered with Enterprise contracts (else write to their support), and takes"
    yield "up to 30 days. Only user ids can be deleted so; for another unit of the experiment, write to their support."


def _many(count: int, noun: str) -> str:
    """
    >>> _many(1, "answer"), _many(2, "answer")
    ('1 answer', '2 answers')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
