"""Evaluation of a unit's group by the SDK, interpreted with the specs that it evaluated.

Exposes no unit: the assignment carries the exposure that the SDK would send. Knows neither the source of the specs nor
their changes.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from statsig import StatsigUser
from statsig.evaluation_details import EvaluationReason

from lib.domain.assignment import Assignment
from lib.domain.visitor import Visitor
from lib.experiments.archive import Archive
from lib.experiments.experiment import Definition, Status, knows_unit
from lib.experiments.sdk import SdkError, caught_exposures, local_server
from lib.experiments.served import group_rules, is_override, unit_type
from lib.experiments.steps import Step, steps

log = logging.getLogger("parley.experiment")

Sent = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Facts:
    """The ids of the rules that stand for groups, and the kind of id that Parley does not send."""

    group_rules: frozenset[str | None]
    unknown_unit: str | None


class Decider:
    """One SDK server beside the specs that it evaluates, which contain more than its answers."""

    def __init__(self, server: Any, archive: Archive, tier: str = "") -> None:
        self.server, self.archive, self._tier = server, archive, tier
        served = json.loads(archive.specs)
        self._configs = {spec["name"]: spec for spec in served.get("dynamic_configs", ())}
        self._layers = {spec["name"]: spec for spec in served.get("layer_configs", ())}
        self._known: dict[str, _Facts] = {}

    def _facts(self, spec: Mapping[str, Any]) -> "_Facts":
        """Return the facts of a spec that every assignment needs, computed once."""
        name = f"{spec.get('entity')} {spec.get('name')}"
        if name not in self._known:
            id_type, rules = unit_type(spec), {rule.get("id") for rule in group_rules(spec)}
            self._known[name] = _Facts(frozenset(rules), None if knows_unit(id_type) else id_type)
        return self._known[name]

    def decide(self, visitor: Visitor, name: str) -> Assignment:
        """Evaluate an experiment of this name, then a layer; rule "" where there is neither. Exposes no unit."""
        user = StatsigUser(
            user_id=visitor.user_id,
            custom_ids={"stableID": visitor.stable_id, "sessionID": visitor.session_id},
            custom=dict(visitor.custom),
        )
        with caught_exposures() as events:
            evaluated = self.server.get_experiment(user, name)
        if evaluated.evaluation_details.reason is EvaluationReason.unrecognized and name in self._layers:
            return self._of_layer(visitor, user, name)
        spec, sent = self._configs.get(name, {}), _sent(events)
        group = evaluated.group_name if evaluated.passed_rule else None
        assignment = Assignment(name, group, evaluated.rule_id, "", {}, evaluated.value, sent=sent)
        return self._assignment(visitor, spec, spec, assignment)

    def _of_layer(self, visitor: Visitor, user: StatsigUser, name: str) -> Assignment:
        spec = self._layers[name]
        with caught_exposures() as events:
            layer = self.server.get_layer(user, name)
            allocated = layer.allocated_experiment or None
            member = self._configs.get(allocated or "", spec)
            explicit = member.get("explicitParameters") or []
            parameter = "model" if "model" in explicit else next(iter(explicit), None)
            for name_of_parameter in dict.fromkeys([parameter, "model", *layer.get_values()]):
                if not events and name_of_parameter:  # the SDK exposes with the first parameter that the layer has
                    layer.get(name_of_parameter)
        group = self.archive.label(name, allocated, layer.group_name) if allocated and layer.group_name else None
        assignment = Assignment(
            name,
            group,
            layer.rule_id,
            "",
            {},
            layer.get_values(),
            layer=True,
            allocated=allocated,
            parameter=parameter,
            sent=_sent(events),
        )
        return self._assignment(visitor, spec, member, assignment)

    def _assignment(
        self, visitor: Visitor, spec: Mapping[str, Any], member: Mapping[str, Any], evaluated: Assignment
    ) -> Assignment:
        """Interpret the SDK's answer with the specs: `member` is the experiment that decided, `spec` the one whose
        defaults apply."""
        forced, facts = _is_forced(evaluated), self._facts(member)
        unknown = facts.unknown_unit or self._facts(spec).unknown_unit
        counts = (forced or evaluated.rule_id in facts.group_rules) and not unknown
        defaults = spec.get("defaultValue") or {}
        return replace(
            evaluated,
            group=evaluated.group if counts else None,
            forced=forced,
            defaults=defaults,
            ids=visitor.ids(),
            user_id=unit_of(visitor, member.get("idType", "userID")),
            unknown_unit=unknown,
            parameters=defaults if unknown or evaluated.rule_id in ("", "error") else evaluated.parameters,
        )

    def explain(self, visitor: Visitor, name: str) -> tuple[Assignment, list[Step]]:
        """Return the decision, and the rules that led to it: of the experiment, or of the layer's that decided."""
        decided = self.decide(visitor, name)
        spec = self._configs.get(decided.allocated or name) or self._layers.get(name) or {}
        return decided, list(steps(spec, decided.user_id, decided.rule_id))

    def definition(self, name: str) -> Definition | None:
        """Return the groups of an experiment or a layer; None where there is none or it never had groups."""
        return self.archive.definition(name, self._tier)

    def status(self, name: str) -> Status:
        """Return its status in Statsig."""
        return self.archive.status(name, self._tier)


def _is_forced(assignment: Assignment) -> bool:
    """Return True where an override decided: a rule, a replaced configuration, or the SDK's own."""
    metadata = (assignment.sent or {}).get("metadata", {})
    local = str(metadata.get("reason", "")).endswith(f":{EvaluationReason.local_override.value}")
    return is_override(assignment.rule_id) or "overrideConfigName" in metadata or local


def _sent(events: list[dict[str, Any]]) -> Sent:
    """Return the exposure of this evaluation as Statsig expects it; {} where the SDK would send none. It has the
    event's own ids and no private attributes."""
    if not events:
        return {}
    first = events[0]
    keys = ("eventName", "metadata", "secondaryExposures", "statsigMetadata")
    return {key: first[key] for key in keys if key in first} | {"custom": first["user"].get("custom")}


def overridden(assignment: Assignment) -> Sent | None:
    """Return the exposure of an assignment as the SDK sends it once a group is forced."""
    if not assignment.sent:
        return assignment.sent
    metadata = dict(assignment.sent["metadata"])
    metadata.pop("configVersion", None)
    metadata.pop("overrideConfigName", None)
    source = str(metadata.get("reason", "")).partition(":")[0]
    metadata |= {"ruleID": "override", "reason": f"{source}:{EvaluationReason.local_override.value}"}
    if assignment.layer:
        metadata |= {"allocatedExperiment": "", "isExplicitParameter": "false"}
    else:
        metadata["rulePassed"] = "false"
    return {**assignment.sent, "metadata": metadata, "secondaryExposures": []}


def unit_of(visitor: Visitor, id_type: str) -> str:
    """Return the visitor's id that an experiment randomises by."""
    ids = {name.lower(): value for name, value in visitor.ids().items()}
    return ids.get(id_type.lower(), visitor.user_id)


def cached_decider(archive: Archive, key: str, tier: str) -> Decider | None:
    """Return the decider on the stored specs; None where there are none that the SDK accepts."""
    if not archive.specs:
        return None
    try:
        decider = Decider(local_server(archive.specs, key, tier), archive, tier)
    except Exception as error:
        log.warning("the kept definitions cannot be used", extra={"error": type(error).__name__})
        return None
    return decider if decider.server.is_store_populated() else None


def bundled_decider(specs: str, key: str, tier: str) -> Decider:
    """Return the decider on our own file. With an SDK that cannot be started, no unit gets a group."""
    archive = Archive(specs=specs)
    try:
        return Decider(local_server(specs, key, tier), archive, tier)
    except SdkError as error:
        log.error("%s", error)
        return Decider(None, archive, tier)
