"""What happened in an experiment since a moment not long ago: along indexes by time, whatever there was before it.

Knows the tables of exposures and answers; knows nothing of how a readout counts.
"""

from sqlalchemy import Connection, func, select

from lib.statistics.sums import Today
from lib.store.schema import answer, exposure


def today(connection: Connection, experiment: str, since_ms: int) -> Today:
    """Units that met it and answers that ended, by group. Forced groups and nobody real are left out."""
    met = (exposure.c.time_ms >= since_ms) & (exposure.c.experiment == experiment)
    real = exposure.c.simulated.is_(False) & exposure.c.forced.is_(False)
    units = select(exposure.c.grp, func.count(exposure.c.user_id.distinct())).where(met & real)
    since = (answer.c.time_ms >= since_ms) & (answer.c.experiment == experiment) & answer.c.simulated.is_(False)
    ended = select(answer.c.grp, answer.c.finish_reason, func.count()).where(since)
    answers: dict[str | None, dict[str, int]] = {}
    for grp, reason, count in connection.execute(ended.group_by(answer.c.grp, answer.c.finish_reason)):
        answers.setdefault(grp, {})[reason] = count
    return Today({row[0]: row[1] for row in connection.execute(units.group_by(exposure.c.grp))}, answers)
