"""One experiment while an act changes it, inside the transaction.

Adds versions, begins and ends runs. `rules` decides which act may do so.
"""

from dataclasses import dataclass, replace

from lib.domain.operations import Run, Version, stretch
from lib.experiments.book import RecordedExperiment
from lib.experiments.experiment import Definition
from lib.experiments.versions import run_key, to_toml
from lib.store import Connection, states
from lib.store.splits import keep_weights
from lib.store.stretches import first_exposure


class ActError(Exception):
    """An act that is refused. The message is a sentence for the operator; nothing has changed."""


class Conflict(ActError):
    """Another operator saved first; `newest` is that version."""

    def __init__(self, newest: Version) -> None:
        super().__init__(
            f"{newest.author} saved version {newest.number} meanwhile ({newest.reason or 'no reason given'}). "
            "Yours is not saved: compare the two, then save yours on top of it."
        )
        self.newest = newest


@dataclass
class Change:
    """One experiment while an act changes it. `state` is written at the end of the act; `file` is the digest of the
    experiments file's table, `setting` the value of PARLEY_EXPERIMENT. `served`: Statsig decides the groups."""

    connection: Connection
    recorded: RecordedExperiment
    time_ms: int
    author: str
    file: str
    setting: str
    served: bool

    def __post_init__(self) -> None:
        self.state = self.recorded.state

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.state.experiment

    @property
    def written(self) -> Definition:
        """The newest version before the act. Raises ActError where there is none."""
        if self.recorded.written is None:
            raise ActError(f"There is no version of {self.name} yet.")
        return self.recorded.written

    @property
    def compared(self) -> Definition:
        """The newest version, with the allocation that a new one must not go below in the open run."""
        return self.recorded.compared or self.written

    @property
    def open_run(self) -> Run | None:
        """The run that was open before the act."""
        run = self.recorded.run
        return run if run is not None and run.ended_ms is None else None

    def add_version(self, definition: Definition, reason: str) -> Version:
        """Keep a new version. Groups that it no longer has are no longer marked as switched off."""
        number = self.state.version + 1
        text = to_toml(definition)
        new = Version(self.name, number, text, self.author, reason.strip(), self.time_ms, self.file)
        states.add_version(self.connection, new)
        groups = {group.name for group in definition.groups}
        disabled = {name: since for name, since in self.state.disabled.items() if name in groups}
        self.state = replace(self.state, version=number, disabled=disabled)
        return new

    def end_run(self, reason: str) -> None:
        """End the open run, if there is one."""
        if run := self.open_run:
            states.end_run(self.connection, run.experiment, run.number, self.time_ms, self.author, reason)

    def begin_run(self, definition: Definition, reason: str) -> int:
        """Begin the next run; return its number. Exposures from before the record knew runs belong to the first."""
        number = self.state.run + 1
        first_ms = first_exposure(self.connection, self.name, number)
        begun_ms = min(self.time_ms, first_ms or self.time_ms)
        key = run_key(definition)
        new = Run(self.name, number, self.state.version, key, begun_ms, self.author, reason)
        states.add_run(self.connection, new)
        keep_weights(self.connection, stretch(self.name, number), definition.shares, self.time_ms)
        self.state = replace(self.state, run=number)
        return number

    def continue_run(self) -> None:
        """Put the newest version into force in the open run."""
        if run := self.open_run:
            states.renew_run(self.connection, run.experiment, run.number, self.state.version)
