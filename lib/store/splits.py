"""The weights of an experiment over time: without them a changed split would look like a broken one.

Owns the table `weights`. Knows no statistic.
"""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from lib.statistics.sums import Weights
from lib.store.schema import weights


def weights_over_time(connection: Connection, experiment: str) -> tuple[Weights, ...]:
    """Return the shares of the experiment's groups, oldest first."""
    query = select(weights).where(weights.c.experiment == experiment).order_by(weights.c.since_ms)
    return tuple(Weights(row.since_ms, json.loads(row.shares)) for row in connection.execute(query))


def keep_weights(connection: Connection, experiment: str, shares: Mapping[str, float], time_ms: int) -> None:
    """Store these shares as valid from now on; does nothing where they are unchanged."""
    stored = weights_over_time(connection, experiment)
    if stored and (stored[-1].like(shares) or stored[-1].since_ms >= time_ms):
        return
    row = {"experiment": experiment, "since_ms": time_ms, "shares": json.dumps(dict(shares))}
    connection.execute(insert(weights), row)
