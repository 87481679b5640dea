"""The units that compare two answers, and the two groups of a question. Pure functions of a definition.

Hashes decide, so that every replica decides alike after every restart. Knows neither a unit's past nor invitations.
"""

from lib.domain.rating import BOTH_BAD, TIE
from lib.experiments.experiment import BUCKETS, Definition, Group
from lib.experiments.steps import bucket_of

RULE = "compare"
"""The rule id of an assignment to compare."""


def compares(definition: Definition, unit: str) -> bool:
    """Return True where a unit is among the percent that compare. The salt is not that of groups or allocation.

    >>> groups = (Group("A", 1), Group("B", 1))
    >>> shares = (0, 0.1, 20, 100)
    >>> for share in shares:
    ...     chosen = Definition("greeting", groups, "A", compare=share)
    ...     print(sum(compares(chosen, f"unit {number}") for number in range(1_000)))
    0
    3
    233
    1000
    """
    part = definition.compare * BUCKETS / 100
    return bucket_of(f"{definition.name}.{RULE}", unit) < (max(1, round(part)) if part else 0)


def pair(definition: Definition, conversation_id: str, turn: int) -> tuple[Group, Group] | None:
    """Return control and the treatment that a question of a conversation goes to; None where nothing can be compared.

    The treatments take turns, beginning with one that depends on the conversation. A group that is named like a vote
    for neither answer (`tie`, `both_bad`) is left out.

    >>> three = Definition("greeting", (Group("A", 1), Group("B", 1), Group("C", 1)), "A")
    >>> [pair(three, "one", turn)[1].name for turn in (1, 2, 3, 4)]
    ['B', 'C', 'B', 'C']
    >>> pair(Definition("two", (Group("A", 1), Group("tie", 1)), "A"), "one", 1) is None
    True
    """
    control = definition.group(definition.control)
    served = [group for group in definition.groups if group.ended_ms is None and group.weight > 0]
    served = [group for group in served if group.name not in (TIE, BOTH_BAD)]
    treatments = [group for group in served if group.name != definition.control]
    if control is None or control not in served or not treatments:
        return None
    first = bucket_of(f"{definition.name}.pair", conversation_id)
    return control, treatments[(first + turn - 1) % len(treatments)]


def running(definition: Definition) -> bool:
    """Return True where units may compare now: the experiment runs, is not paused, and has two groups."""
    return definition.status.state == "running" and definition.allocation > 0 and pair(definition, "", 1) is not None
