"""Votes on comparisons, from the `preference` events of the ledger: the last vote of each comparison. Knows no verdict.

A unit that compares is never exposed, so that nothing here depends on the units of the A/B test.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from lib.domain.events import PREFERENCE
from lib.statistics.sums import Ballot, Scope
from lib.store.schema import event


def ballots(connection: Connection, scope: Scope) -> list[Ballot]:
    """The last vote of every comparison of the experiment, by time and then event id.

    Invitations and tiers are facts of exposures: a scope that is narrowed to one has no votes.
    """
    if scope.invitation is not None or scope.tier is not None:
        return []
    return list(dict(_votes(connection, scope)).values())


def _votes(connection: Connection, scope: Scope) -> Iterator[tuple[str, Ballot]]:
    rows = select(event.c.user_id, event.c.value, event.c.metadata)
    rows = rows.where(event.c.name == PREFERENCE, event.c.simulated == scope.simulated)
    if scope.since_ms is not None:
        rows = rows.where(event.c.time_ms >= scope.since_ms)
    if scope.until_ms is not None:
        rows = rows.where(event.c.time_ms < scope.until_ms)
    for unit, value, metadata in connection.execute(rows.order_by(event.c.time_ms, event.c.event_id)):
        about = json.loads(metadata)
        if about.get("experiment") == scope.experiment:
            yield about["comparison_id"], Ballot(unit, about["left"], about["right"], _text(value))


def _text(value: Any) -> str:
    return str(json.loads(value or "null"))
