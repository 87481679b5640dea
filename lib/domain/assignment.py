"""The decision for one unit: its group and its parameters, as they were served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Assignment:
    """The decision for one unit: its group and the raw parameters, as served. `group` None: not taking part.

    `user_id` is the value of the experiment's unit, one of `ids`. `defaults` are the experiment's parameters for units
    that do not take part; they also replace a bad value or a model that does not exist. Where `experiment` names a
    layer, `allocated` is the layer's experiment that decided, and `parameter` one that it sets.

    `invitation` is the id of the visitor's invitation. `unknown_unit` is the kind of id that the experiment
    randomises by, where Parley sends none of that kind; then no unit is exposed. `sent` is the exposure that the SDK
    itself would send for this evaluation: {} where it would send none, None where that is not known. With `compare`
    the unit compares two answers instead of taking part in the A/B test, so it has no group and is never exposed.
    `run` is the run of the experiment in which the decision was made.
    """

    experiment: str
    group: str | None
    rule_id: str
    user_id: str
    ids: Mapping[str, str]
    parameters: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    forced: bool = False
    layer: bool = False
    allocated: str | None = None
    parameter: str | None = None
    invitation: str | None = None
    unknown_unit: str | None = None
    sent: Mapping[str, Any] | None = field(default=None, compare=False)
    compare: bool = False
    run: int = 1
