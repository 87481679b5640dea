"""The held intervals of a run, in the table `held`. Compares bounds, knows no statistics."""

from collections.abc import Mapping

from sqlalchemy import Connection, case, select

from lib.statistics.intervals import Interval, Look
from lib.store.facts import insert_into
from lib.store.schema import held


def held_intervals(connection: Connection, experiment: str, simulated: bool, run: str) -> dict[Look, Interval]:
    """Return the intervals that the readouts of a run have stored."""
    of_run = select(held).where(held.c.experiment == experiment, held.c.simulated == simulated, held.c.run == run)
    rows = connection.execute(of_run)
    return {(row.metric, row.grp): Interval(row.low, row.low_ms, row.high, row.high_ms) for row in rows}


def hold(
    connection: Connection, experiment: str, simulated: bool, run: str, intervals: Mapping[Look, Interval]
) -> None:
    """Keep the narrower of the stored bounds and these, whichever replica gave them."""
    rows = [
        {
            "experiment": experiment,
            "simulated": simulated,
            "run": run,
            "metric": metric,
            "grp": grp,
            **interval._asdict(),
        }
        for (metric, grp), interval in sorted(intervals.items())
    ]
    if not rows:
        return
    statement = insert_into(connection, held)
    new = statement.excluded
    higher, lower = new.low > held.c.low, new.high < held.c.high
    changed = {
        "low": case((higher, new.low), else_=held.c.low),
        "low_ms": case((higher, new.low_ms), else_=held.c.low_ms),
        "high": case((lower, new.high), else_=held.c.high),
        "high_ms": case((lower, new.high_ms), else_=held.c.high_ms),
    }
    connection.execute(statement.on_conflict_do_update(index_elements=list(held.primary_key), set_=changed), rows)
