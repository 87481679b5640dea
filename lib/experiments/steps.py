"""The rules that led to a unit's group, each with its buckets, gate or field.

Pure dictionaries, in the form of `download_config_specs`. Evaluates only buckets; the SDK reports which rule held.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lib.experiments.experiment import BUCKETS, knows_unit
from lib.experiments.served import bucket_count, is_override


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was evaluated. `bucket`: the unit's, of 1000, by this rule's salt; None for a rule without buckets.
    `wants`: the condition in words. `decided`: True for the rule that held."""

    rule: str
    bucket: int | None
    wants: str
    decided: bool


def bucket_of(salt: str, unit: str) -> int:
    """Return Statsig's own bucket of a unit, from 0 to 999.

    >>> bucket_of("greeting", "ann"), bucket_of("greeting.allocation", "ann")
    (139, 864)
    """
    return int.from_bytes(hashlib.sha256(f"{salt}.{unit}".encode()).digest()[:8], "big") % BUCKETS


def steps(spec: Mapping[str, Any], unit: str, rule_id: str) -> Iterator[Step]:
    """Yield the rules that were evaluated, in order, down to the one that decided, which is `rule_id`."""
    for rule in spec.get("rules", ()):
        decided = rule.get("id") == rule_id
        name = str(rule.get("groupName") or rule.get("name") or rule.get("id"))
        if is_override(str(rule.get("id"))):
            name += ", forced"
        for condition in rule.get("conditions", ()):
            yield _step(name, condition, unit, decided)
        if decided:
            return


def _step(rule: str, condition: Mapping[str, Any], unit: str, decided: bool) -> Step:
    if str(condition.get("type", "")).lower() != "user_bucket":
        return Step(rule, None, _wants(condition), decided)
    target = condition.get("targetValue")
    salt = (condition.get("additionalValues") or {}).get("salt") or ""
    words = {"lt": "buckets below {}", "lte": "buckets up to {}", "gt": "buckets above {}", "gte": "buckets from {} on"}
    several = {"any": "{} chosen buckets", "none": "all but {} chosen buckets"}
    operator = str(condition.get("operator", ""))
    if operator in words:
        wants = words[operator].format(target)
    else:
        wants = several.get(operator, "{}").format(bucket_count(target) if isinstance(target, list | dict) else target)
    id_type = str(condition.get("idType") or "userID")
    if not knows_unit(id_type):
        return Step(rule, None, f"{wants}, by {id_type}, which Parley does not send", decided)
    return Step(rule, bucket_of(str(salt), unit), wants, decided)


def _wants(condition: Mapping[str, Any]) -> str:
    """Return the condition of a rule without buckets in words: the gate, or the field and its values.

    >>> _wants({"type": "pass_gate", "targetValue": "employees"})
    'passes gate employees'
    >>> _wants({"type": "user_field", "field": "locale", "operator": "any", "targetValue": ["de-DE", "fr-FR"]})
    'locale is any of de-DE, fr-FR'
    """
    condition_type, target = str(condition.get("type", "")).lower(), condition.get("targetValue")
    values = ", ".join(map(str, target)) if isinstance(target, list | dict) else str(target)
    if condition_type == "public":
        return "every unit"
    if condition_type.endswith(("pass_gate", "fail_gate")):
        verb = "passes" if condition_type.endswith("pass_gate") else "fails"
        gates = values.replace("segment:", "segment ") if "segment:" in values else f"gate {values}"
        return f"{verb} {gates}"
    unit = condition.get("idType", "userID") if condition_type == "unit_id" else None
    subject = condition.get("field") or unit or condition_type
    operator = str(condition.get("operator") or "is")
    return f"{' '.join(str(subject).split('_'))} {_OPERATORS.get(operator, ' '.join(operator.split('_')))} {values}"


_OPERATORS = {
    "any": "is any of", "none": "is none of", "any_case_sensitive": "is any of", "none_case_sensitive": "is none of",
    "eq": "is", "neq": "is not", "gt": "is above", "gte": "is at least", "lt": "is below", "lte": "is at most",
    "in_segment_list": "is in the list", "not_in_segment_list": "is not in the list",
    "str_contains_any": "contains any of", "str_contains_none": "contains none of",
    "str_starts_with_any": "starts with any of", "str_ends_with_any": "ends with any of", "str_matches": "matches",
}  # fmt: skip
