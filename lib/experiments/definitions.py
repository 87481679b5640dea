"""Definitions read from TOML in the format of `.streamlit/experiments.toml`, with every problem by line, table and key.

Checks no parameter's value: that happens when an answer begins.
"""

import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from lib.domain.plain_text import decode, toml_problem
from lib.domain.rating import BOTH_BAD, TIE
from lib.experiments.experiment import (
    METRICS,
    NAME,
    PREFERENCE,
    REVEALS,
    UNITS,
    Definition,
    DefinitionError,
    Effect,
    Group,
    Status,
    ranges,
)

__all__ = [
    "KEYS",
    "METRICS",
    "PREFERENCE",
    "Definition",
    "DefinitionError",
    "Effect",
    "Group",
    "Status",
    "read_definitions",
    "read_definitions_file",
]

KEYS = (
    "unit", "allocation", "default", "groups", "control", "primary", "guardrails", "mde", "since", "planned_users",
    "compare", "reveal", "stop_on",
)  # fmt: skip
GROUP_KEYS = ("weight", "parameters")
RESERVED = ("override", "default", "disabled", "experimentSize", "launchedGroup", "abandoned", "prestart")
"""Statsig's own names of rules: a group with such a name could not be distinguished from them."""
Wrong = Callable[[tuple[str, ...], str], None]
"""A function that reports a problem with a key: the path to it from the top of the file, and the message."""


def read_definitions_file(file: Path, providers: Collection[str] | None = None) -> dict[str, Definition]:
    """Return the experiments of this file by name. Raises DefinitionError, whose problems name the file."""
    try:
        return read_definitions(decode(file.read_bytes()), providers)
    except DefinitionError as error:
        raise DefinitionError([f"{file}: {problem}" for problem in error.problems]) from None
    except OSError as error:
        raise DefinitionError([f"{file}: cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise DefinitionError([f"{file}: {error}"]) from None


def read_definitions(
    text: str, providers: Collection[str] | None = None, *, served: bool = False
) -> dict[str, Definition]:
    """Return the experiments of this TOML by name. Raises DefinitionError with all problems, including an unknown
    provider where `providers` are given.

    `served`: the TOML was made from what Statsig serves, where names are free, a weight may be 0 and the unit any id.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError([toml_problem(text, error)]) from None
    problems: list[str] = []

    def wrong(path: tuple[str, ...], message: str) -> None:
        line = _line(text, path)
        place = " ".join([f"[{path[0]}]", ".".join(path[1:])]).strip()
        problems.append(f"line {line}: {place}: {message}" if line else f"{place}: {message}")

    definitions = {name: _definition(name, table, wrong, served) for name, table in tables.items()}
    for definition in definitions.values() if providers is not None else ():
        _check_providers(definition, providers or (), wrong)
    if problems:
        raise DefinitionError(problems)
    return definitions


def _check_providers(definition: Definition, providers: Collection[str], wrong: Wrong) -> None:
    places: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [(("default",), definition.default)]
    places += [(("groups", group.name, "parameters"), group.parameters) for group in definition.groups]
    for path, parameters in places:
        value = parameters.get("provider")
        if value is not None and str(value).strip().lower() not in providers:
            names = ", ".join(providers)
            wrong((definition.name, *path, "provider"), f"no such provider: {value!r}; known are {names}")


def _definition(name: str, table: Any, wrong: Wrong, served: bool) -> Definition:
    """Return the definition as far as it can be read; problems are passed to `wrong`."""
    wrong_ours: Wrong = _ignore if served else wrong
    if not isinstance(table, dict):
        wrong((name,), "expected a table, one for each experiment")
        table = {"groups": {"none": {"weight": 1}}}
    if not NAME.fullmatch(name):
        wrong_ours((name,), "a name is at most 64 letters, digits, spaces, _ . or -")
    _check_keys((name,), table, KEYS, wrong)
    default = table.get("default", {})
    if not isinstance(default, dict):
        wrong((name, "default"), "expected a table of parameters")
        default = {}
    groups = _groups(name, table.get("groups"), wrong, wrong_ours)
    guardrails = _guardrails(name, table.get("guardrails"), wrong)
    compare = _percentage((name, "compare"), table.get("compare", 0), wrong)
    for group in groups if compare else ():
        if group.name in (TIE, BOTH_BAD):
            wrong_ours((name, "groups", group.name), "with compare, this name would be a vote for neither answer")
    return Definition(
        name=name,
        groups=groups,
        control=_control(name, table.get("control"), groups, wrong),
        unit=_one_of((name, "unit"), table.get("unit", "userID"), UNITS, "unit", wrong_ours),
        allocation=_percentage((name, "allocation"), table.get("allocation", 100), wrong),
        default=_plain(default),
        primary=_one_of((name, "primary"), table.get("primary", "satisfaction"), METRICS, "metric", wrong),
        guardrails=guardrails,
        mde=_mde(name, table.get("mde", {}), wrong),
        since=_since(name, table.get("since"), wrong),
        planned_users=_planned_users(name, table.get("planned_users"), wrong),
        compare=compare,
        reveal=_one_of((name, "reveal"), table.get("reveal", REVEALS[0]), REVEALS, "way to reveal answers", wrong),
        stop_on=_stop_on(name, table.get("stop_on", []), guardrails, wrong),
    )


def _check_keys(path: tuple[str, ...], table: Mapping[str, Any], keys: tuple[str, ...], wrong: Wrong) -> None:
    for key in table:
        if key not in keys:
            wrong((*path, key), f"unknown key; known are {', '.join(keys)}")


def _ignore(path: tuple[str, ...], message: str) -> None:
    """Report nothing."""


def _groups(name: str, tables: Any, wrong: Wrong, wrong_ours: Wrong) -> tuple[Group, ...]:
    """Return the groups; `wrong_ours` reports problems that are allowed in a table from Statsig."""
    if not isinstance(tables, dict) or not tables:
        wrong((name, "groups"), "there are no groups; expected at least one, with a weight and parameters")
        return ()
    groups = tuple(_group((name, "groups", group), table, wrong, wrong_ours) for group, table in tables.items())
    if all(group.weight > 0 for group in groups):
        for group, (low, high) in zip(groups, ranges(groups), strict=True):
            if low == high:
                wrong_ours((name, "groups", group.name, "weight"), "too small beside the others: under 1 unit of 1000")
    return groups


def _group(path: tuple[str, ...], table: Any, wrong: Wrong, wrong_ours: Wrong) -> Group:
    if not isinstance(table, dict):
        wrong(path, "expected a table with a weight and parameters")
        table = {"weight": 1}
    if not NAME.fullmatch(path[-1]) or path[-1] in RESERVED:
        wrong_ours(path, f"a name is at most 64 letters, digits, spaces, _ . or -, and none of {', '.join(RESERVED)}")
    _check_keys(path, table, GROUP_KEYS, wrong)
    weight, parameters = table.get("weight"), table.get("parameters", {})
    if not _is_number(weight) or weight <= 0:
        report = wrong_ours if weight == 0 else wrong
        report((*path, "weight"), "is missing" if weight is None else f"expected a number above 0, not {weight!r}")
        weight = 0
    if not isinstance(parameters, dict):
        wrong((*path, "parameters"), "expected a table of parameters")
        parameters = {}
    return Group(path[-1], weight, _plain(parameters))


def _control(name: str, value: Any, groups: tuple[Group, ...], wrong: Wrong) -> str:
    names = [group.name for group in groups]
    if value is None or not names:
        return names[0] if names else ""
    return _one_of((name, "control"), value, names, "group", wrong)


def _one_of(path: tuple[str, ...], value: Any, accepted: Iterable[str], noun: str, wrong: Wrong) -> str:
    if value not in list(accepted):
        wrong(path, f"no such {noun}: {value!r}; known are {', '.join(accepted)}")
    return str(value)


def _percentage(path: tuple[str, ...], value: Any, wrong: Wrong) -> float:
    if _is_number(value) and 0 <= value <= 100:
        return float(value)
    wrong(path, f"expected a percentage from 0 to 100, not {value!r}")
    return 0.0


def _planned_users(name: str, value: Any, wrong: Wrong) -> int | None:
    if value is None or (_is_number(value) and value >= 1 and value == int(value)):
        return None if value is None else int(value)
    wrong((name, "planned_users"), f"expected a whole number of users above 0, not {value!r}")
    return None


def _stop_on(name: str, value: Any, guardrails: tuple[str, ...], wrong: Wrong) -> tuple[str, ...]:
    if not isinstance(value, list):
        wrong((name, "stop_on"), "expected a list of guardrails")
        return ()
    return tuple(_one_of((name, "stop_on"), metric, guardrails, "guardrail", wrong) for metric in value)


def _guardrails(name: str, value: Any, wrong: Wrong) -> tuple[str, ...]:
    if value is None:
        return ("error_rate", "response_time")
    if not isinstance(value, list):
        wrong((name, "guardrails"), "expected a list of metrics")
        return ()
    return tuple(_one_of((name, "guardrails"), metric, METRICS, "metric", wrong) for metric in value)


def _mde(name: str, table: Any, wrong: Wrong) -> dict[str, Effect]:
    if not isinstance(table, dict):
        wrong((name, "mde"), "expected a table: one difference for each metric")
        return {}
    effects = {}
    for metric, value in table.items():
        _one_of((name, "mde", metric), metric, (*METRICS, PREFERENCE), "metric", wrong)
        effects[metric] = effect = _effect(value)
        if metric == PREFERENCE and not (not effect.relative and 0 < effect.size <= 1):
            wrong((name, "mde", metric), f"expected a net preference above 0 and up to 1, not {value!r}")
        elif not (math.isfinite(effect.size) and effect.size > 0):
            wrong((name, "mde", metric), f'expected a number above 0 or a share such as "10%", not {value!r}')
    return effects


def _effect(value: Any) -> Effect:
    """
    >>> _effect(0.1), _effect("10%"), _effect("a lot")
    (Effect(size=0.1, relative=False), Effect(size=0.1, relative=True), Effect(size=nan, relative=False))
    """
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*%\s*", value):
        return Effect(float(value.strip().removesuffix("%")) / 100, relative=True)
    return Effect(float(value) if _is_number(value) else math.nan)


def _since(name: str, value: Any, wrong: Wrong) -> date | None:
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        wrong((name, "since"), f"expected a date such as 2026-11-23, not {str(value)!r}")
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _plain(value: Any) -> Any:
    """Return TOML's values as JSON has them: a date, which no parameter is, becomes its text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float) else str(value)


def _line(text: str, path: tuple[str, ...]) -> int | None:
    """Return the line of a key, as near as it can be found: tomllib gives none for a valid file.

    >>> _line('[a]\\nunit = "x"\\n[a.groups]\\nA = { weight = 0 }', ("a", "groups", "A", "weight"))
    4
    """
    header: tuple[str, ...] = ()
    best, nearest = 0, None
    for number, line in enumerate(text.splitlines(), 1):
        keys = _keys(line) if line.lstrip().startswith("[") else _keys(line.partition("=")[0] + "= 0")
        if line.lstrip().startswith("["):
            header, keys = keys, ()
        full = (*header, *keys)
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(full, path, strict=False))))
        if shared > best:
            best, nearest = shared, number
    return nearest


def _keys(line: str) -> tuple[str, ...]:
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys = []
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        keys.append(key)
    return tuple(keys)
