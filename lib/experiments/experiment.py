"""One experiment as a value: its groups with weights and parameters, its status, and the settings of its readout.

Knows neither a file nor Statsig's SDK. Other rooms import these names from `definitions`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate, pairwise
from typing import Any, Literal, get_args

from lib.domain.visitor import UnitType

METRICS = (
    "satisfaction", "rating_rate", "up_per_answer", "down_per_answer", "error_rate", "response_time",
    "time_to_first_token", "completion_tokens", "cost_per_answer", "answers_per_user",
)  # fmt: skip
"""The metrics of a readout: the names that `primary`, `guardrails` and `mde` accept."""
PREFERENCE = "preference"
"""The result of comparisons: not a metric of the A/B test, but `mde` accepts it."""
UNITS: tuple[str, ...] = get_args(UnitType)
REVEALS = ("stream", "together")
NAME = re.compile(r"[A-Za-z0-9_.\- ]{1,64}")
BUCKETS = 1000
"""Statsig's own number of buckets: shares are exact to a tenth of a percent."""

State = Literal["running", "not_started", "paused", "decided", "abandoned", "stopped", "disabled", "archived"]
"""The state of a served experiment. `decided`: one group was shipped to everybody; `stopped`: no groups are served any
more; `disabled`: the whole configuration is switched off; `archived`: it is not served at all."""


class DefinitionError(Exception):
    """Invalid local experiments. `problems`: one line each, with line, table and key."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Group:
    """One of the compared groups. `weight` is relative to the other groups' weights.

    `ended_ms`: when Statsig disabled the group or ended its experiment in a layer, in milliseconds since 1970 (UTC), as
    noticed here; None while it is served.
    """

    name: str
    weight: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The status of an experiment in Statsig. `since_ms`: when Parley noticed that it no longer runs, in milliseconds
    since 1970 (UTC); None where it runs, and where it did not run when Parley first met it. `shipped`: the group that a
    decision gave to everyone."""

    state: State = "running"
    since_ms: int | None = None
    shipped: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """The smallest difference that matters: absolute in the metric's unit, or a share of the control's value."""

    size: float
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """One experiment: its groups, and the settings of its readout.

    `allocation` is the percentage of units that take part, `default` the parameters of the other units. The readout
    counts exposures from `since` on (UTC); None: from the first. `planned_users` is the number of units that the A/B
    test is planned for. `compare` is the percentage of units that compare two answers instead, `reveal` the way in
    which they see them, `stop_on` the guardrails that switch a harmed group off. `run` is the number of the run, and
    `until_ms` its end in milliseconds since 1970 (UTC), None while it is open.
    """

    name: str
    groups: tuple[Group, ...]
    control: str
    unit: str = "userID"
    allocation: float = 100.0
    default: Mapping[str, Any] = field(default_factory=dict)
    primary: str = "satisfaction"
    guardrails: tuple[str, ...] = ("error_rate", "response_time")
    mde: Mapping[str, Effect] = field(default_factory=dict)
    since: date | None = None
    planned_users: int | None = None
    compare: float = 0.0
    reveal: str = REVEALS[0]
    stop_on: tuple[str, ...] = ()
    status: Status = Status()
    run: int = 1
    until_ms: int | None = None

    @property
    def shares(self) -> dict[str, float]:
        """The configured share of the participating units for each group; 0 everywhere where no unit takes part."""
        total = sum(group.weight for group in self.groups)
        return {group.name: group.weight / total if total else 0.0 for group in self.groups}

    @property
    def unknown_unit(self) -> str | None:
        """The id that the experiment randomises by where Parley sends none of that kind, so that all units would be the
        same one. None where Parley sends it."""
        return None if knows_unit(self.unit) else self.unit

    def group(self, name: str) -> Group | None:
        """Return the group of this name, None without one."""
        return next((group for group in self.groups if group.name == name), None)


def knows_unit(unit: str) -> bool:
    """Return True where Parley sends an id of this kind, spelt as the SDK looks for it.

    >>> [knows_unit(unit) for unit in ("userID", "userid", "stableID", "stableid", "companyID")]
    [True, True, True, False, False]
    """
    return unit in UNITS or unit.lower() == "userid"


def ranges(groups: tuple[Group, ...]) -> list[tuple[int, int]]:
    """Return the range of buckets of each group's weight, end excluded.

    >>> ranges((Group("a", 1), Group("b", 1), Group("c", 1)))
    [(0, 333), (333, 667), (667, 1000)]
    >>> ranges((Group("a", 0), Group("b", 0)))
    [(0, 0), (0, 0)]
    """
    weights = [group.weight for group in groups]
    total = sum(weights) or 1
    return list(pairwise([0, *(round(BUCKETS * upto / total) for upto in accumulate(weights))]))
