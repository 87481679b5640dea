"""Config specs in the shapes that Statsig serves: running, decided, overridden, layered, held out.

    specs(experiment(rules=[*groups()]))                  # one that runs
    specs(experiment(rules=[launched("Test")], isActive=False))

Each function returns a dictionary as `download_config_specs` has it. `NAMED` holds one of every shape.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lib.domain.models import CONTROL_MODEL, TEST_MODEL

NAME = "statsig_openai_integration"
Spec = dict[str, Any]


def specs(*configs: Spec, gates: Iterable[Spec] = (), layers: Iterable[Spec] = (), **more: Any) -> Spec:
    """Return the response to one request for definitions."""
    return {
        "dynamic_configs": list(configs), "feature_gates": list(gates), "layer_configs": list(layers),
        "layers": {each["name"]: [rule["configDelegate"] for rule in each["rules"]] for each in layers},
        "has_updates": True, "time": 1754459045320, "company_id": "x", "response_format": "dcs-v1", "id_lists": {},
        "diagnostics": {}, "sdk_flags": {}, "sdk_configs": {"sampling_mode": "none"},
    } | more  # fmt: skip


def condition(
    kind: str, target: Any = None, operator: str | None = None, field: str | None = None, **more: Any
) -> Spec:
    """Return one condition of a rule."""
    return {
        "type": kind, "targetValue": target, "operator": operator, "field": field, "additionalValues": {},
        "isDeviceBased": False, "idType": "userID",
    } | more  # fmt: skip


PUBLIC = condition("public")


def rule(rule_id: str, value: Any, *conditions: Spec, passing: float = 100, **more: Any) -> Spec:
    """Return one rule. `passing` is the percentage of units that get its value."""
    return {
        "name": rule_id, "id": rule_id, "salt": "", "passPercentage": passing, "conditions": list(conditions),
        "returnValue": value, "isDeviceBased": False, "idType": "userID",
    } | more  # fmt: skip


def buckets(operator: str, target: Any, salt: str, unit: str = "userID") -> Spec:
    """Return a condition that compares a unit's bucket with `target`."""
    return condition("user_bucket", target, operator, additionalValues={"salt": salt}, idType=unit)


def groups(name: str = NAME, unit: str = "userID", **models: str) -> list[Spec]:
    """Return the rule that allocates all units, and one rule for each of the equal groups, given their models."""
    models = models or {"Control": CONTROL_MODEL, "Test": TEST_MODEL}
    part = 1000 // len(models)
    everybody = rule("layerAssignment", {"model": TEST_MODEL}, buckets("any", [-1], f"{name}-alloc", unit), idType=unit)
    return [everybody] + [
        rule(
            f"{name}-{group}", {"model": model}, buckets("lt", part * (number + 1), f"{name}-grp", unit), idType=unit,
            groupName=group, isExperimentGroup=True,
        )
        for number, (group, model) in enumerate(models.items())
    ]  # fmt: skip


def experiment(name: str = NAME, rules: Sequence[Spec] = (), **more: Any) -> Spec:
    """Return one experiment that runs."""
    return {
        "name": name, "type": "dynamic_config", "salt": f"{name}-salt", "enabled": True,
        "defaultValue": {"model": TEST_MODEL}, "rules": list(rules), "isDeviceBased": False, "idType": "userID",
        "entity": "experiment", "isActive": True, "hasSharedParams": False, "version": 7,
        "explicitParameters": ["model"],
    } | more  # fmt: skip


def gate(name: str, *rules: Spec, entity: str = "feature_gate") -> Spec:
    """Return a gate, a holdout or a segment."""
    return {
        "name": name, "type": "feature_gate", "salt": f"{name}-salt", "enabled": True, "defaultValue": False,
        "entity": entity, "idType": "userID", "isDeviceBased": False, "rules": list(rules), "version": 3,
    }  # fmt: skip


def override(group: str, unit: str, model: str = TEST_MODEL) -> Spec:
    """Return the rule with which the console forces a group on one user."""
    user = condition("user_field", [unit], "any", "userID")
    return rule(f"9aa{group}:userID:id_override", {"model": model}, user, groupName=group)


def launched(group: str, model: str = TEST_MODEL) -> Spec:
    """Return the only rule of a decided experiment."""
    return rule("launchedGroup", {"model": model}, PUBLIC, groupName=group)


def layer(name: str, parts: Mapping[str, Sequence[int]], **more: Any) -> Spec:
    """Return a layer whose buckets these experiments share."""
    delegates = [
        rule(
            "experimentAssignment",
            {"model": TEST_MODEL},
            buckets("any", list(part), "ls"),
            configDelegate=experiment,
        )
        for experiment, part in parts.items()
    ]
    return {
        "name": name, "type": "dynamic_config", "salt": "ls", "enabled": True, "defaultValue": {"model": TEST_MODEL},
        "entity": "layer", "idType": "userID", "isDeviceBased": False, "version": 2, "explicitParameters": [],
        "rules": delegates,
    } | more  # fmt: skip


def running(**more: Any) -> Spec:
    return specs(experiment(rules=groups()), **more)


def shipped() -> Spec:
    return specs(experiment(rules=[launched("Test")], isActive=False, version=8), time=1754459045321)


def running_override() -> Spec:
    return specs(experiment(rules=[override("Control", "op1", CONTROL_MODEL), override("Test", "op2"), *groups()]))


def not_started() -> Spec:
    rules = [override("Test", "op2"), rule("prestart", {"model": TEST_MODEL}, PUBLIC)]
    return specs(experiment(rules=rules, isActive=False))


def abandoned() -> Spec:
    return specs(
        experiment(rules=[rule("abandoned", {"model": TEST_MODEL}, PUBLIC)], isActive=False), time=1754459045322
    )


def stopped() -> Spec:
    return specs(experiment(rules=[], isActive=False), time=1754459045323)


def disabled() -> Spec:
    return specs(experiment(rules=groups(), enabled=False), time=1754459045324)


def archived() -> Spec:
    return specs(time=1754459045325)


def paused() -> Spec:
    rules = groups()
    rules[0]["conditions"] = [buckets("none", [-1], f"{NAME}-alloc")]
    return specs(experiment(rules=rules), time=1754459045326)


def disabled_group() -> Spec:
    rules = groups()
    rules[1]["returnValue"] = {"model": TEST_MODEL}
    return specs(experiment(rules=rules, version=8), time=1754459045327)


def company_unit() -> Spec:
    return specs(experiment(rules=groups(unit="companyID"), idType="companyID"))


def holdout() -> Spec:
    held = rule("HoldExp", {"model": TEST_MODEL}, condition("pass_gate", "global_holdout", "any"), passing=0)
    some = rule("HoldRule:10.00:1", True, PUBLIC, passing=10)
    return specs(experiment(rules=[held, *groups()]), gates=[gate("global_holdout", some, entity="holdout")])


def targeted() -> Spec:
    """Return gates inside gates, a segment, fields of the user, the tier, and rules that only some units pass."""
    german = rule("german", True, condition("user_field", ["de-DE", "de-AT"], "any", "locale"), passing=70)
    phone = rule("phone", True, condition("user_field", ["phone"], "none", "device"))
    nested = rule(
        "nested", True, condition("pass_gate", "speaks_german"), condition("fail_gate", "segment:phones"), passing=80
    )
    insiders = condition("multi_pass_gate", ["german_desk", "speaks_german"])
    tester = rule("tester", {"model": CONTROL_MODEL}, insiders, passing=50, groupName="Insiders")
    zone = rule("zone", {"model": TEST_MODEL}, condition("user_field", ["Paris"], "str_contains_any", "timezone"))
    closed = rule("tier", {"model": TEST_MODEL}, condition("environment_field", ["production"], "any", "tier"))
    return specs(
        experiment(rules=[tester, zone, closed, *groups()]),
        gates=[
            gate("speaks_german", german), gate("segment:phones", phone, entity="segment"), gate("german_desk", nested),
        ],
    )  # fmt: skip


def sampled() -> Spec:
    """Return an experiment that samples the exposures of units that do not take part, as a large project may."""
    rules = groups()
    rules[0]["conditions"] = [buckets("none", list(range(300)), f"{NAME}-alloc")]
    rules[0]["samplingRate"] = 5
    return specs(experiment(rules=rules), sdk_configs={"sampling_mode": "on", "special_case_sampling_rate": 7})


def mapped() -> Spec:
    """Return an experiment that another configuration replaces for some users."""
    other = experiment("other", rules=groups("other", Control=CONTROL_MODEL, Test=TEST_MODEL))
    some = rule("some", None, condition("user_field", ["de-DE"], "any", "locale"))
    mapping = {NAME: [{"new_config_name": "other", "rules": [{"rule_name": "some", "start_time": 0}]}]}
    return specs(experiment(rules=groups()), other, overrides=mapping, override_rules={"some": some})


def layer_two() -> Spec:
    warm = groups("exp_temp")
    for each, temperature in zip(warm[1:], (0.2, 1.2), strict=True):
        each["returnValue"] = {"model": TEST_MODEL, "temperature": temperature}
    return specs(
        experiment("exp_model", rules=groups("exp_model")),
        experiment("exp_temp", rules=warm, explicitParameters=["temperature"]),
        layers=[layer("chat_layer", {"exp_model": range(500), "exp_temp": range(500, 800)})],
    )


NAMED: Mapping[str, Callable[[], Spec]] = {
    each.__name__: each
    for each in (
        running, shipped, running_override, not_started, abandoned, stopped, disabled, archived, paused, disabled_group,
        company_unit, holdout, targeted, sampled, mapped, layer_two,
    )
}  # fmt: skip
