"""Statsig's config specs: a definition compiled into what Statsig would serve for it, and the way back.

Pure dictionaries, in the form of `download_config_specs`. Knows neither the SDK nor the network.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lib.experiments.definitions import BUCKETS, Definition, Group, ranges


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that a unit came to. `bucket`: the unit's, of 1000, by this rule's salt; None where the rule does not go
    by buckets. `wants`: the buckets that it holds for, in words. `decided`: it is the rule that held."""

    rule: str
    bucket: int | None
    wants: str
    decided: bool


def compile_specs(definitions: Iterable[Definition]) -> dict[str, Any]:
    """What a Statsig server would serve for these experiments, so that the SDK gives every unit the same bucket."""
    return {
        "has_updates": True,
        "time": 1,  # a later time would let the SDK refuse what Statsig itself served before
        "dynamic_configs": [_spec(definition) for definition in definitions],
        "feature_gates": [], "layer_configs": [], "layers": {},
    }  # fmt: skip


def _spec(definition: Definition) -> dict[str, Any]:
    """One experiment as Statsig serves it. The salts are its name: a unit's bucket is the same on any machine."""
    name, unit, default = definition.name, definition.unit, dict(definition.default)
    part = definition.allocation * BUCKETS / 100
    rules = []
    if (taking_part := max(1, round(part)) if part else 0) < BUCKETS:
        outside = _bucket("gte", taking_part, f"{name}.allocation", unit)
        rules.append(_rule("experimentSize", outside, default, unit))
    for group, (_, high) in zip(definition.groups, ranges(definition.groups), strict=True):
        rule = _rule(group.name, _bucket("lt", high, name, unit), dict(group.parameters), unit)
        rules.append(rule | {"groupName": group.name, "isExperimentGroup": True})
    named = {parameter for group in definition.groups for parameter in group.parameters} | set(default)
    return {
        "name": name, "type": "dynamic_config", "entity": "experiment", "salt": name, "enabled": True,
        "isActive": definition.allocation > 0, "idType": unit, "isDeviceBased": unit == "stableID",
        "defaultValue": default, "explicitParameters": sorted(named), "rules": rules,
    }  # fmt: skip


def _rule(name: str, condition: dict[str, Any], value: dict[str, Any], unit: str) -> dict[str, Any]:
    return {
        "name": name, "id": name, "salt": "", "passPercentage": 100, "conditions": [condition], "returnValue": value,
        "idType": unit, "isDeviceBased": unit == "stableID",
    }  # fmt: skip


def _bucket(operator: str, target: int, salt: str, unit: str) -> dict[str, Any]:
    return {
        "type": "user_bucket", "operator": operator, "targetValue": target, "field": None,
        "additionalValues": {"salt": salt}, "idType": unit, "isDeviceBased": unit == "stableID",
    }  # fmt: skip


def derive(spec: Mapping[str, Any]) -> Definition | None:
    """What a served spec says of its experiment; None where it has no groups. Control: the first group."""
    rules = group_rules(spec)
    if not rules:
        return None
    groups, below = [], 0.0
    for rule in rules:
        upto = _below(rule)
        share = upto - below if upto is not None and upto > below else BUCKETS / len(rules)
        below = upto if upto is not None else below
        groups.append(Group(str(rule["groupName"]), share, rule.get("returnValue") or {}))
    return Definition(
        name=str(spec["name"]), groups=tuple(groups), control=groups[0].name, unit=str(spec.get("idType", "userID")),
        allocation=_taking_part(spec), default=spec.get("defaultValue") or {},
    )  # fmt: skip


def group_rules(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rules that stand for groups: those that say so, or, where none does, those with a group's name."""
    named = [rule for rule in spec.get("rules", ()) if rule.get("groupName")]
    return [rule for rule in named if rule.get("isExperimentGroup")] or named


def bucket_of(salt: str, unit: str) -> int:
    """Statsig's own bucket of a unit, from 0 to 999.

    >>> bucket_of("greeting", "ann"), bucket_of("greeting.allocation", "ann")
    (139, 864)
    """
    return int.from_bytes(hashlib.sha256(f"{salt}.{unit}".encode()).digest()[:8], "big") % BUCKETS


def steps(spec: Mapping[str, Any], unit: str, rule_id: str) -> Iterator[Step]:
    """The rules that a unit came to, in order, down to the one that decided, which is `rule_id`."""
    for rule in spec.get("rules", ()):
        decided = rule.get("id") == rule_id
        for condition in rule.get("conditions", ()):
            yield _step(str(rule.get("groupName") or rule.get("name") or rule.get("id")), condition, unit, decided)
        if decided:
            return


def _step(rule: str, condition: Mapping[str, Any], unit: str, decided: bool) -> Step:
    kind, target = str(condition.get("type", "")), condition.get("targetValue")
    if kind.lower() != "user_bucket":
        return Step(rule, None, " ".join(kind.split("_")), decided)
    salt = (condition.get("additionalValues") or {}).get("salt") or ""
    words = {"lt": "below {}", "lte": "up to {}", "gt": "above {}", "gte": "from {} on"}
    several = {"any": "{} chosen ones", "none": "all but {} chosen ones"}
    operator = str(condition.get("operator", ""))
    if operator in words:
        wants = words[operator].format(target)
    else:
        wants = several.get(operator, "{}").format(len(target) if isinstance(target, list) else target)
    return Step(rule, bucket_of(str(salt), unit), wants, decided)


def _below(rule: Mapping[str, Any]) -> float | None:
    """The bucket below which a group's rule holds."""
    for condition in rule.get("conditions", ()):
        if condition.get("type") == "user_bucket" and condition.get("operator") == "lt":
            return float(condition["targetValue"])
    return None


def _taking_part(spec: Mapping[str, Any]) -> float:
    """The percentage of units that no rule in front of the groups' keeps out."""
    for rule in spec.get("rules", ()):
        for condition in rule.get("conditions", ()):
            target = condition.get("targetValue")
            if rule.get("isExperimentGroup") or condition.get("type") != "user_bucket":
                continue
            if condition.get("operator") == "gte":
                return float(target) * 100 / BUCKETS
            if condition.get("operator") == "none":
                return len(target or ()) * 100 / BUCKETS
    return 100.0
