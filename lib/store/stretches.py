"""The names under which the record keeps the exposures and answers of each run of an experiment."""

from sqlalchemy import Connection, select

from lib.domain.operations import stretch
from lib.store.schema import experiment_state, exposure


def run_names(connection: Connection, experiment: str) -> list[str]:
    """Return the names under which the record keeps the exposures of all runs of an experiment."""
    c = experiment_state.c
    last = connection.scalar(select(c.run).where(c.experiment == experiment)) or 1
    return [stretch(experiment, number) for number in range(1, last + 1)]


def first_exposure(connection: Connection, experiment: str, number: int) -> int | None:
    """Return the time at which a real unit first met a run."""
    name = stretch(experiment, number)
    mine = (exposure.c.experiment == name) & exposure.c.simulated.is_(False)
    first = select(exposure.c.time_ms).where(mine).order_by(exposure.c.time_ms).limit(1)
    return connection.scalar(first)
