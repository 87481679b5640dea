"""Versions of a definition: as TOML and back, the difference of two, and the differences that begin a new run.

Text and definitions in, text and sentences out. Knows neither the store nor operators.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lib.experiments.definitions import read_definitions
from lib.experiments.experiment import Definition, DefinitionError, Effect, Group

BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML takes without quotes."""
INHERITED = ("model", "provider")
"""Parameters that a group without them takes from the default."""


def to_toml(definition: Definition) -> str:
    """Return the table of an experiment as `.streamlit/experiments.toml` has it; what is a default is left out.

    >>> from lib.experiments.definitions import Group
    >>> one = Definition("greeting", (Group("A", 1, {"model": "m"}),), "A")
    >>> print(to_toml(one), end="")
    [greeting]
    unit = "userID"
    allocation = 100
    default = {}
    control = "A"
    primary = "satisfaction"
    guardrails = ["error_rate", "response_time"]
    <BLANKLINE>
    [greeting.groups.A]
    weight = 1
    <BLANKLINE>
    [greeting.groups.A.parameters]
    model = "m"
    """
    name = _key(definition.name)
    lines = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in _settings(definition))]
    if definition.mde:
        lines += ["", f"[{name}.mde]", *(f"{_key(key)} = {_effect(effect)}" for key, effect in definition.mde.items())]
    for group in definition.groups:
        table = f"{name}.groups.{_key(group.name)}"
        lines += ["", f"[{table}]", f"weight = {_number(group.weight)}", "", f"[{table}.parameters]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in group.parameters.items() if value is not None]
    return "\n".join(lines) + "\n"


def _settings(definition: Definition) -> Iterator[tuple[str, Any]]:
    yield "unit", definition.unit
    yield "allocation", _whole(definition.allocation)
    yield "default", dict(definition.default)
    yield "control", definition.control
    yield "primary", definition.primary
    yield "guardrails", list(definition.guardrails)
    if definition.stop_on:
        yield "stop_on", list(definition.stop_on)
    if definition.since:
        yield "since", definition.since.isoformat()
    if definition.planned_users:
        yield "planned_users", definition.planned_users
    if definition.compare:
        yield "compare", _whole(definition.compare)
        yield "reveal", definition.reveal


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def _number(value: float) -> str:
    return str(_whole(value))


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _quoted(key)


def _value(value: Any) -> str:
    """Return a value as TOML, which has no null: what is null inside of a table or a list is left out.

    >>> _value({"a": None, "b": [1, None]})
    '{ b = [1] }'
    >>> _value("one\\ntwo"), _value([1, "a"]), _value({"a b": True}), _value('say "hi"')
    ('\"\"\"\\none\\ntwo\"\"\"', '[1, "a"]', '{ "a b" = true }', '"say \\\\"hi\\\\""')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value if item is not None)}]"
    text = str(value)
    return _block(text) if "\n" in text else _quoted(text)


def _quoted(text: str) -> str:
    """Return a basic string: JSON's escapes are those of TOML, except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _block(text: str) -> str:
    """Return a multi-line string, so that a diff of two prompts goes line by line."""
    inside = "\n".join(_quoted(line)[1:-1] for line in text.split("\n"))
    if '""' not in text and not text.endswith('"'):
        inside = inside.replace('\\"', '"')
    return f'"""\n{inside}"""'


def _effect(effect: Effect) -> str:
    return f'"{100 * effect.size:.10g}%"' if effect.relative else repr(effect.size)


def read_version(name: str, text: str, providers: Collection[str] | None = None, *, served: bool = False) -> Definition:
    """Return the definition that this TOML gives an experiment; `served`: see `read_definitions`. Raises
    DefinitionError with everything that is wrong, another table than the experiment's own included."""
    definitions = read_definitions(text, providers, served=served)
    if set(definitions) != {name}:
        has = ", ".join(definitions) or "no table"
        raise DefinitionError([f"expected one table, [{name}]; there is {has}"])
    return definitions[name]


def digest(value: object) -> str:
    """Return a short name for a value of JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def run_key(definition: Definition) -> str:
    """Return the key of a run: other groups, weights or parameters have another key and begin a new run.

    >>> from lib.experiments.definitions import Group
    >>> one = Definition("e", (Group("A", 1), Group("B", 1)), "A")
    >>> run_key(one) == run_key(Definition("e", (Group("A", 50), Group("B", 50)), "A"))
    True
    """
    return digest(comparable(definition))


def comparable(definition: Definition) -> dict[str, Any]:
    """Return the parts of a definition that users must share to be compared."""
    shares = definition.shares
    groups = {group.name: [round(shares[group.name], 6), dict(group.parameters)] for group in definition.groups}
    return {"unit": definition.unit, "groups": groups}


def breaks(old: Definition, new: Definition) -> list[str]:
    """Return the differences that keep users from before and after a change from being compared; empty without any.

    >>> from lib.experiments.definitions import Group
    >>> old = Definition("e", (Group("A", 1), Group("B", 1, {"model": "m"})), "A")
    >>> breaks(old, Definition("e", (Group("A", 1), Group("B", 3, {"model": "n"}), Group("C", 4)), "A"))
    ['weights', 'model of B', 'group C added']
    >>> breaks(old, Definition("e", old.groups, "A", allocation=10))
    ['a smaller allocation']
    >>> breaks(old, Definition("e", old.groups[::-1], "A", default={"model": "n"}))
    ['order of the groups', 'model of A']
    """
    breaking = ["unit"] if old.unit != new.unit else []
    both = [group.name for group in new.groups if old.group(group.name)]
    if any(abs(_among(old, both)[name] - _among(new, both)[name]) > 1e-6 for name in both):
        breaking.append("weights")
    if [group.name for group in old.groups if group.name in both] != both:  # buckets are dealt out in this order
        breaking.append("order of the groups")
    for name in both:
        before, after = _parameters(old, name), _parameters(new, name)
        breaking += [f"{key} of {name}" for key in {**before, **after} if before.get(key) != after.get(key)]
    breaking += [f"group {group.name} added" for group in new.groups if old.group(group.name) is None]
    breaking += [f"group {group.name} removed" for group in old.groups if new.group(group.name) is None]
    if new.allocation < old.allocation and new.allocation:
        breaking.append("a smaller allocation")
    return breaking


def _among(definition: Definition, names: list[str]) -> dict[str, float]:
    total = sum(definition.shares[name] for name in names)
    return {name: definition.shares[name] / total if total else 0.0 for name in names}


def _parameters(definition: Definition, group: str) -> Mapping[str, Any]:
    """Return the parameters of a group, with the default's model and provider where it names none."""
    described = definition.group(group)
    inherited = {name: definition.default[name] for name in INHERITED if name in definition.default}
    return {**inherited, **(described.parameters if described else {})}


def difference(old: str, new: str) -> str:
    """Return how two versions differ, as a unified diff of their TOML; empty where they do not.

    >>> print(difference("a = 1\\nb = 2\\n", "a = 1\\nb = 3\\n"))
    @@ -1,2 +1,2 @@
     a = 1
    -b = 2
    +b = 3
    """
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3)
    return "\n".join(list(lines)[2:])


def canonical(definition: Definition) -> str:
    """Return the digest of everything that a table says, however it is written."""
    return digest(to_toml(definition))


def two_groups(name: str, model: str) -> Definition:
    """Return the definition that a new experiment begins with: two groups that still are the same.

    >>> two_groups("greeting", "m").shares
    {'Control': 0.5, 'Test': 0.5}
    """
    groups = tuple(Group(group, 50, {"model": model}) for group in ("Control", "Test"))
    return Definition(name, groups, groups[0].name, default={"model": model})


def copied(definition: Definition, name: str) -> Definition:
    """Return the same groups and settings for another experiment, which counts from its own first exposure on."""
    return replace(definition, name=name, since=None)
