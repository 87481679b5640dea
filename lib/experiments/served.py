"""The specs that Statsig serves, read: an experiment's groups, shares and state, a layer's experiments, overrides.

Takes dictionaries, returns definitions. Knows neither the SDK nor the network. The inverse of `specs`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lib.experiments.experiment import BUCKETS, Definition, Group, State, knows_unit

LAUNCHED, ABANDONED, UNSTARTED = "launchedGroup", "abandoned", "prestart"
"""The rules that Statsig serves instead of the groups: after a decision, for an abandoned experiment, before the
start."""


@dataclass(frozen=True, slots=True)
class Member:
    """One experiment of a layer. `buckets`: how many of the layer's 1000 it gets. `prefix`: distinguishes its groups
    from those of the layer's other experiments. `ended_ms`: when it stopped, None while it runs."""

    spec: Mapping[str, Any]
    buckets: float
    prefix: str = ""
    ended_ms: int | None = None

    def label(self, group: str) -> str:
        """Return the name that a group of this experiment has in the layer."""
        return self.prefix + group


def is_override(rule_id: str) -> bool:
    """Return True for a rule that forces a group on a unit, in every form that the SDK and Statsig's console know.

    >>> [is_override(rule) for rule in ("override", "abc:userID:id_override", "abc:override", "overrides")]
    [True, True, True, False]
    """
    return rule_id == "override" or rule_id.endswith((":override", ":id_override"))


def state_of(spec: Mapping[str, Any] | None, tier: str = "") -> State:
    """Return the state of an experiment for processes of this tier. `spec` None: it is not served."""
    if spec is None:
        return "archived"
    if not spec.get("enabled", True):
        return "disabled"
    ids = {rule.get("id"): rule for rule in spec.get("rules", ())}
    if LAUNCHED in ids:
        return "decided"
    if ABANDONED in ids:
        return "abandoned"
    if UNSTARTED in ids and _holds_for_all(ids[UNSTARTED], tier):
        return "not_started"
    if not group_rules(spec):
        return "stopped"
    return "running" if _taking_part(spec) else "paused"


def shipped_group(spec: Mapping[str, Any] | None) -> str | None:
    """Return the group that a decision gave to everyone."""
    rules = spec.get("rules", ()) if spec else ()
    return next((rule.get("groupName") for rule in rules if rule.get("id") == LAUNCHED), None)


def derive(spec: Mapping[str, Any]) -> Definition | None:
    """Return the definition of a served spec; None where it has no groups. Control: the first group."""
    rules = group_rules(spec)
    if not rules:
        return None
    groups, below = [], 0.0
    for rule in rules:
        share, below = _share(rule, below, BUCKETS / len(rules))
        groups.append(Group(str(rule["groupName"]), share, rule.get("returnValue") or {}))
    return Definition(
        name=str(spec["name"]),
        groups=tuple(groups),
        control=groups[0].name,
        unit=unit_type(spec),
        allocation=_taking_part(spec),
        default=spec.get("defaultValue") or {},
    )


def derive_layer(layer: Mapping[str, Any], members: Iterable[Member]) -> Definition | None:
    """Return a layer as one experiment: the groups of its experiments side by side, each with its share of the layer.

    None where no experiment has groups. The allocation is the layer's: the percentage that its experiments share.
    """
    groups: list[Group] = []
    for member in members:
        definition = derive(member.spec)
        total = sum(group.weight for group in definition.groups) if definition else 0
        if definition is None or not member.buckets or not total:
            continue
        groups += [
            Group(member.label(group.name), group.weight / total * member.buckets, group.parameters, member.ended_ms)
            for group in definition.groups
        ]
    if not groups:
        return None
    running = [group for group in groups if group.ended_ms is None]
    taking_part = sum(group.weight for group in running or groups)
    return Definition(
        name=str(layer["name"]),
        groups=tuple(groups),
        control=groups[0].name,
        unit=unit_type(layer),
        allocation=min(100.0, round(taking_part * 100 / BUCKETS, 6)),
        default=layer.get("defaultValue") or {},
    )


def layer_buckets(layer: Mapping[str, Any], experiment: Mapping[str, Any]) -> float:
    """Return how many of a layer's 1000 buckets one experiment gets by the layer's rules and its own."""
    total, salts = 0.0, set()
    for rule in layer.get("rules", ()):
        if rule.get("configDelegate") != experiment.get("name") or is_override(str(rule.get("id"))):
            continue
        for condition in rule.get("conditions", ()):
            target = condition.get("targetValue")
            if _is_bucket(condition):
                salts.add((condition.get("additionalValues") or {}).get("salt"))
                total += bucket_count(target) if isinstance(target, list | dict) else float(target or 0)
            elif str(condition.get("type", "")).lower() == "public":
                total += BUCKETS
    own = _taking_part(experiment, but_salts=salts) / 100  # the layer's own buckets are repeated in its experiments
    return min(total, BUCKETS) * own


def unit_type(spec: Mapping[str, Any]) -> str:
    """Return the kind of id that a spec randomises by: one that Parley does not send, if there is any.

    The rules count as well: one rule by another kind of id puts every unit into the same bucket.
    """
    conditions = [condition for rule in spec.get("rules", ()) for condition in rule.get("conditions", ())]
    buckets = [each for each in conditions if _is_bucket(each) and each.get("idType")]
    kinds = [str(spec.get("idType") or "userID"), *(str(each["idType"]) for each in buckets)]
    return next((kind for kind in kinds if not knows_unit(kind)), kinds[0])


def group_rules(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rules that stand for groups: those marked so, or, where none is, those with a group's name."""
    candidates = [rule for rule in spec.get("rules", ()) if rule.get("groupName") and not _is_reserved(rule)]
    return [rule for rule in candidates if rule.get("isExperimentGroup")] or candidates


def is_disabled(rule: Mapping[str, Any], spec: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return True for a group that now gets the default although it got something else under the rule `before`."""
    default, value = spec.get("defaultValue") or {}, rule.get("returnValue") or {}
    changed = value == default and (before.get("returnValue") or {}) != value
    return changed or (not rule.get("passPercentage", 100) and bool(before.get("passPercentage", 100)))


def _is_bucket(condition: Mapping[str, Any]) -> bool:
    return str(condition.get("type", "")).lower() == "user_bucket"


def _is_reserved(rule: Mapping[str, Any]) -> bool:
    rule_id = str(rule.get("id"))
    return rule_id in (LAUNCHED, ABANDONED, UNSTARTED) or is_override(rule_id)


def _holds_for_all(rule: Mapping[str, Any], tier: str) -> bool:
    """Return True for a rule that every unit of this tier meets: an experiment may have started in one tier only."""
    for condition in rule.get("conditions", ()):
        condition_type, tiers = str(condition.get("type", "")).lower(), condition.get("targetValue") or []
        if condition_type == "environment_field":
            listed = tier.lower() in [str(tier_name).lower() for tier_name in tiers]
            if listed != (str(condition.get("operator", "")).startswith("any")):
                return False
        elif condition_type != "public":
            return False
    return True


def _share(rule: Mapping[str, Any], below: float, unknown: float) -> tuple[float, float]:
    """Return a group's buckets of 1000, and the bucket at which the next group begins; `unknown` where its rule names
    none.

    >>> test = {"conditions": [{"type": "user_bucket", "operator": "lt", "targetValue": 500}]}
    >>> _share(test, 200, 333), _share(test, 500, 333), _share({}, 0, 333)
    ((300.0, 500.0), (0.0, 500.0), (333.0, 0))
    """
    passing = float(rule.get("passPercentage", 100) or 0) / 100
    for condition in rule.get("conditions", ()):
        if not _is_bucket(condition):
            continue
        target = condition.get("targetValue")
        if condition.get("operator") == "lt":
            upto = float(target or 0)
            return max(upto - below, 0.0) * passing, max(upto, below)
        if condition.get("operator") == "any":
            return bucket_count(target) * passing, below
    return unknown * passing, below


def bucket_count(buckets: Any) -> int:
    """Return the number of Statsig's buckets in a list; -1 stands for none."""
    return len([each for each in buckets or () if int(each) >= 0])


def _taking_part(spec: Mapping[str, Any], but_salts: Collection[str | None] = ()) -> float:
    """Return the percentage of units that no rule before the groups' excludes."""
    part = 1.0
    groups = [id(rule) for rule in group_rules(spec)]
    for rule in spec.get("rules", ()):
        if id(rule) in groups:
            break
        for condition in rule.get("conditions", ()):
            target, operator = condition.get("targetValue"), condition.get("operator")
            salt = (condition.get("additionalValues") or {}).get("salt")
            if not _is_bucket(condition) or salt in but_salts:
                continue
            if operator == "gte":
                part *= float(target or 0) / BUCKETS
            elif operator == "none":
                part *= bucket_count(target) / BUCKETS
            elif operator == "any":
                part *= 1 - bucket_count(target) / BUCKETS
    return round(part * 100, 6)
