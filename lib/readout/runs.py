"""The names of a run and of the settings of its intervals, which decide what may be compared and intersected.

A run is a stretch of an experiment with unchanged groups, weights and parameters. Knows neither events nor SQL.
"""

from dataclasses import asdict

from lib.experiments.book import comparable, digest
from lib.experiments.definitions import Definition


def run_of(definition: Definition) -> str:
    """Return the name of the run that a definition describes: other groups, weights or parameters have another name.

    >>> from lib.experiments.definitions import Group
    >>> one = Definition("e", (Group("A", 1), Group("B", 1)), "A")
    >>> run_of(one) == run_of(Definition("e", (Group("A", 50), Group("B", 50)), "A"))
    True
    """
    since = definition.since and definition.since.isoformat()
    terms = comparable(definition) | {"default": dict(definition.default), "since": since}
    return digest(terms | ({"run": definition.run} if definition.run > 1 else {}))


def terms_of(definition: Definition) -> str:
    """Return the name of a run's intervals: another control, MDE or plan has intervals of its own."""
    effects = {name: asdict(effect) for name, effect in definition.mde.items()}
    terms = digest({"control": definition.control, "mde": effects, "planned": definition.planned_users})
    return f"{run_of(definition)} {terms}"
