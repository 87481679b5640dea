"""The counts of an experiment since a recent time, along indexes by time.

Knows the tables of exposures and answers, not the rules of a readout.
"""

from sqlalchemy import Connection, func, select

from lib.domain.operations import stretch
from lib.statistics.sums import Today
from lib.store.schema import answer, exposure


def today(connection: Connection, experiment: str, since_ms: int, run: int = 1) -> Today:
    """Count exposed units and ended answers by group. Forced groups and simulated visitors are excluded."""
    name = stretch(experiment, run)
    recent = (exposure.c.time_ms >= since_ms) & (exposure.c.experiment == name)
    real = exposure.c.simulated.is_(False) & exposure.c.forced.is_(False)
    units = select(exposure.c.grp, func.count(exposure.c.user_id.distinct())).where(recent & real)
    since = (answer.c.time_ms >= since_ms) & (answer.c.experiment == name) & answer.c.simulated.is_(False)
    ended = select(answer.c.grp, answer.c.finish_reason, func.count()).where(since)
    answers: dict[str | None, dict[str, int]] = {}
    for grp, reason, count in connection.execute(ended.group_by(answer.c.grp, answer.c.finish_reason)):
        answers.setdefault(grp, {})[reason] = count
    return Today({row[0]: row[1] for row in connection.execute(units.group_by(exposure.c.grp))}, answers)
