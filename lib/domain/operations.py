"""The operator's record of an experiment: its versions, runs and decisions, and the audit log of every act.

Each value has its author, time and reason. Times in milliseconds since 1970 (UTC).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["draft", "running", "paused", "ended"]
"""`draft`: never started; `paused`: no new unit takes part; `ended`: the last run is over and no other has begun."""
Act = Literal[
    "version",
    "start",
    "ramp",
    "pause",
    "end",
    "decide",
    "disable",
    "enable",
    "guardrail",
    "schedule",
    "choose",
    "new run",
    "invite",
    "revoke",
    "erase",
    "force",
    "read texts",
    "export",
]
"""The acts of the audit log."""
PARLEY, FILE = "Parley", "the experiments file"
"""The authors other than people: a guardrail or a schedule that acts, and the file that a process started with."""


@dataclass(frozen=True, slots=True)
class Version:
    """One state of an experiment's definition, as TOML with one table. Numbers begin at 1 and have no gaps.

    `file` is the digest of the table that the experiments file had at the time; empty where it had none.
    """

    experiment: str
    number: int
    text: str
    author: str
    reason: str
    time_ms: int
    file: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of an experiment with unchanged groups, weights and parameters.

    `version` is the newest one that was in force; runs with the same `key` are comparable. `ended_ms` is
    None while it is open.
    """

    experiment: str
    number: int
    version: int
    key: str
    begun_ms: int
    author: str
    reason: str
    ended_ms: int | None = None
    end_author: str = ""
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """The state of one experiment: its stage, the newest version and run (0: none), and what is scheduled.

    `live`: testers get this one. `setting` is the value of PARLEY_EXPERIMENT at the time. `disabled` has the groups
    that were switched off, with the moment. `revision` grows with every change.
    """

    experiment: str
    stage: Stage = "draft"
    revision: int = 0
    live: bool = False
    setting: str = ""
    version: int = 0
    run: int = 0
    disabled: Mapping[str, int] = field(default_factory=dict)
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The conclusion that an operator drew from a run. `group`: whose parameters became the default, None where the run
    ended without a choice; `parameters`: the default from then on; `readout`: the JSON of the readout as it stood."""

    id: str
    experiment: str
    run: int
    time_ms: int
    author: str
    reason: str
    group: str | None
    parameters: Mapping[str, Any]
    readout: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log. `subject` is the experiment, the invitation or the unit that the act was about."""

    id: str
    time_ms: int
    operator: str
    act: Act
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


def stretch(experiment: str, run: int) -> str:
    """Return the name under which the record keeps the exposures and answers of a run. An experiment's name has no @.

    >>> stretch("greeting", 1), stretch("greeting", 3)
    ('greeting', 'greeting@3')
    """
    return experiment if run <= 1 else f"{experiment}@{run}"


def run_of(stretched: str) -> int:
    """Return the run in a name of `stretch`.

    >>> run_of("greeting"), run_of("greeting@3")
    (1, 3)
    """
    _, at, run = stretched.rpartition("@")
    return int(run) if at and run.isdigit() else 1
