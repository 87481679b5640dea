"""Statsig's config specs: a definition compiled into what Statsig would serve for it.

Plain dictionaries in the form of `download_config_specs`. Knows neither the SDK nor the network. The inverse of
`served`.
"""

from collections.abc import Iterable
from typing import Any

from lib.experiments.experiment import BUCKETS, Definition, ranges


def compile_specs(definitions: Iterable[Definition]) -> dict[str, Any]:
    """Return the specs that Statsig would serve for these experiments, so that the SDK gives every unit the same
    bucket."""
    return {
        "has_updates": True,
        "time": 1,  # a later time would let the SDK refuse specs that Statsig served earlier
        "dynamic_configs": [_spec(definition) for definition in definitions],
        "feature_gates": [],
        "layer_configs": [],
        "layers": {},
    }


def _spec(definition: Definition) -> dict[str, Any]:
    """Return one experiment as Statsig serves it. The salts are its name: a unit's bucket is the same on any
    machine. A group that was switched off gets the default."""
    name, unit, default = definition.name, definition.unit, dict(definition.default)
    part = definition.allocation * BUCKETS / 100
    rules = []
    if (taking_part := max(1, round(part)) if part else 0) < BUCKETS:
        outside = _bucket("gte", taking_part, f"{name}.allocation", unit)
        rules.append(_rule("experimentSize", outside, default, unit))
    for group, (_, high) in zip(definition.groups, ranges(definition.groups), strict=True):
        value = default if group.ended_ms is not None else dict(group.parameters)
        rule = _rule(group.name, _bucket("lt", high, name, unit), value, unit)
        rules.append(rule | {"groupName": group.name, "isExperimentGroup": True})
    parameters = {parameter for group in definition.groups for parameter in group.parameters} | set(default)
    return {
        "name": name,
        "type": "dynamic_config",
        "entity": "experiment",
        "salt": name,
        "enabled": True,
        "isActive": definition.allocation > 0,
        "idType": unit,
        "isDeviceBased": unit == "stableID",
        "defaultValue": default,
        "explicitParameters": sorted(parameters),
        "rules": rules,
    }


def _rule(name: str, condition: dict[str, Any], value: dict[str, Any], unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": name,
        "salt": "",
        "passPercentage": 100,
        "conditions": [condition],
        "returnValue": value,
        "idType": unit,
        "isDeviceBased": unit == "stableID",
    }


def _bucket(operator: str, target: int, salt: str, unit: str) -> dict[str, Any]:
    return {
        "type": "user_bucket",
        "operator": operator,
        "targetValue": target,
        "field": None,
        "additionalValues": {"salt": salt},
        "idType": unit,
        "isDeviceBased": unit == "stableID",
    }
