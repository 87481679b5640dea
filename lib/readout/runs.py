"""The names of a run and of the settings of its intervals, which decide what may be compared and intersected.

A run is a stretch of an experiment with unchanged groups, weights and parameters. Knows neither events nor SQL.
"""

import hashlib
import json
from dataclasses import asdict

from lib.experiments.definitions import Definition


def run_of(definition: Definition) -> str:
    """Return the name of the run that a definition describes: other groups, weights or parameters have another name.

    >>> from lib.experiments.definitions import Group
    >>> one = Definition("e", (Group("A", 1), Group("B", 1)), "A")
    >>> run_of(one) == run_of(Definition("e", (Group("A", 50), Group("B", 50)), "A"))
    True
    """
    shares = definition.shares
    groups = {group.name: [round(shares[group.name], 6), dict(group.parameters)] for group in definition.groups}
    since = definition.since and definition.since.isoformat()
    found = {"unit": definition.unit, "default": dict(definition.default), "groups": groups, "since": since}
    return _digest(found | ({"run": definition.run} if definition.run > 1 else {}))


def terms_of(definition: Definition) -> str:
    """Return the name of a run's intervals: another control, MDE or plan has intervals of its own."""
    effects = {name: asdict(effect) for name, effect in definition.mde.items()}
    terms = _digest({"control": definition.control, "mde": effects, "planned": definition.planned_users})
    return f"{run_of(definition)} {terms}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
