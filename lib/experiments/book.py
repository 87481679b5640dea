"""Every experiment of the record: its state, newest version and run, and the definition that these give together.

Read from the record by every replica, so that all of them decide alike. Changes nothing; acts are in `acts`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from lib.domain.operations import ExperimentState, Run, Version
from lib.experiments.experiment import Definition, DefinitionError
from lib.experiments.versions import (
    breaks,
    canonical,
    comparable,
    copied,
    difference,
    digest,
    read_version,
    run_key,
    to_toml,
    two_groups,
)
from lib.store import Connection, states

__all__ = [
    "Book",
    "RecordedExperiment",
    "breaks",
    "canonical",
    "changed_since",
    "comparable",
    "copied",
    "difference",
    "digest",
    "in_force",
    "of_run",
    "read_book",
    "run_key",
    "to_toml",
    "two_groups",
]

log = logging.getLogger("parley.experiment")


@dataclass(frozen=True, slots=True)
class RecordedExperiment:
    """One experiment of the record. `written` is the newest version; `definition` is the part in force.

    An experiment that does not run has an allocation of 0 in force, and groups that are switched off are marked.
    `reached` is the percentage of units that have taken part in the open run. An allocation of 0 %, which pauses the
    run, does not lower it.
    """

    state: ExperimentState
    version: Version | None = None
    run: Run | None = None
    written: Definition | None = None
    definition: Definition | None = None
    reached: float = 0.0

    @property
    def compared(self) -> Definition | None:
        """The newest version with the allocation that the next one must not go below in the same run."""
        return self.written and replace(self.written, allocation=max(self.written.allocation, self.reached))

    @property
    def running(self) -> bool:
        """True while new units take part."""
        return self.state.stage == "running" and bool(self.written and self.written.allocation)


Book = Mapping[str, RecordedExperiment]


def changed_since(recorded: RecordedExperiment, file: str) -> bool:
    """Return True where the experiments file's table has changed since the newest version was made, and differs from
    it."""
    if recorded.version is None or recorded.written is None:
        return True
    return recorded.version.file != file and canonical(recorded.written) != file


def read_book(connection: Connection) -> dict[str, RecordedExperiment]:
    """Return every experiment of the record by name."""
    return {name: read_recorded(connection, state) for name, state in states.states(connection).items()}


def read_recorded(connection: Connection, state: ExperimentState) -> RecordedExperiment:
    """Return one experiment by its state."""
    name = state.experiment
    version = states.version(connection, name, state.version) if state.version else None
    run = states.run(connection, name, state.run) if state.run else None
    written = _read(name, version.text) if version else None
    if written is None:
        return RecordedExperiment(state, version, run)
    reached = written.allocation or _reached(connection, run)
    return RecordedExperiment(state, version, run, written, in_force(written, state, run), reached)


def _reached(connection: Connection, run: Run | None) -> float:
    """Return the last allocation above 0 of an open run."""
    if run is None or run.ended_ms is not None:
        return 0.0
    for version in states.versions(connection, run.experiment):
        earlier = _read(run.experiment, version.text)
        if earlier is not None and earlier.allocation:
            return earlier.allocation
        if version.time_ms <= run.begun_ms:
            break
    return 0.0


def in_force(written: Definition, state: ExperimentState, run: Run | None) -> Definition:
    """Return a version as it is in force under this state."""
    groups = tuple(
        replace(group, ended_ms=state.disabled[group.name]) if group.name in state.disabled else group
        for group in written.groups
    )
    return replace(
        written,
        groups=groups,
        allocation=written.allocation if state.stage == "running" else 0.0,
        run=max(state.run, 1),
        until_ms=run.ended_ms if run else None,
    )


def of_run(connection: Connection, name: str, number: int) -> Definition | None:
    """Return the definition of a run, from the last version in force during it; None where there is no such run."""
    run = states.run(connection, name, number)
    version = states.version(connection, name, run.version) if run and run.version else None
    written = _read(name, version.text) if version else None
    if run is None or written is None:
        return None
    state = states.states(connection)[name]
    groups = written.groups
    if state.run == number:
        groups = in_force(written, state, run).groups
    return replace(written, groups=groups, run=number, until_ms=run.ended_ms)


@lru_cache(maxsize=200)
def _read(name: str, text: str) -> Definition | None:
    try:
        return read_version(name, text, served=True)  # an act checked it before, or it came from Statsig
    except DefinitionError as error:
        log.error("a stored version cannot be read", extra={"experiment": name, "cause": str(error)[:200]})
        return None
