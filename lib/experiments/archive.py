"""The definitions that Statsig served last, and the last ones of the experiments that it ended.

Kept in the store as one text, so that a start without Statsig decides as before, and so that the readout of an ended
experiment keeps its groups. Text in, values out; knows neither the SDK nor the store.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from lib.experiments.experiment import Definition, Status
from lib.experiments.served import (
    Member,
    derive,
    derive_layer,
    group_rules,
    is_disabled,
    layer_buckets,
    shipped_group,
    state_of,
)

log = logging.getLogger("parley.experiment")

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Archive:
    """The known state of a project. `origin` identifies the project of `specs`, without the key.

    `ended`: by experiment its last spec that ran, its state, since when, the shipped group, and its layer with the
    buckets that it had there. `disabled`: by experiment and group, since when Statsig gives it the default, and its
    parameters before. `first`: the experiment of each layer whose groups keep their own names. Times in milliseconds
    since 1970, as noticed here.
    """

    origin: str = ""
    specs: str = ""
    ended: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    disabled: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, origin: str) -> "Archive":
        """Read the stored text; its specs only where they have this origin. Raises ValueError where it is damaged."""
        stored = json.loads(text or "{}")
        if not isinstance(stored, dict):
            raise ValueError("not an object")
        parts = {name: dict(stored.get(name) or {}) for name in ("ended", "disabled", "first")}
        return cls(origin, str(stored["specs"]) if stored.get("origin") == origin else "", **parts)

    def text(self) -> str:
        """Return the text to store."""
        parts = {"ended": self.ended, "disabled": self.disabled, "first": self.first}
        return json.dumps({"origin": self.origin, "specs": self.specs, **parts})

    def after(self, specs: str, tier: str, now_ms: int) -> "Archive":
        """Return the archive after Statsig served these specs: the experiments that no longer run, the disabled groups,
        the names of a layer's groups."""
        old, new = _project(self.specs), _project(specs)
        ended = {name: dict(entry) for name, entry in self.ended.items()}
        for name, spec in old.configs.items():
            if name not in ended and _runs(spec, tier):
                layer = old.layer_of(name)
                buckets = layer_buckets(old.layers[layer], spec) if layer else 0.0
                ended[name] = {"spec": spec, "since_ms": now_ms, "layer": layer, "buckets": buckets}
        for name, entry in list(ended.items()):
            state = state_of(new.configs.get(name), tier)
            if state == "running":
                del ended[name]
            elif state != "archived" or "state" not in entry:
                ended[name] = entry | {"state": state, "shipped": shipped_group(new.configs.get(name))}
        first = dict(self.first) | {
            name: members[0] if len(members) == 1 else ""
            for name in new.layers
            if name not in self.first and (members := list(new.running_members(name, tier)))
        }
        return Archive(self.origin, specs, ended, self._disabled(old, new, now_ms), first)

    def _disabled(self, old: "_Project", new: "_Project", now_ms: int) -> dict[str, dict[str, Mapping[str, Any]]]:
        disabled: dict[str, dict[str, Mapping[str, Any]]] = {}
        for name, spec in new.configs.items():
            earlier = self.disabled.get(name, {})
            before = {rule.get("groupName"): rule for rule in group_rules(old.configs.get(name, {}))}
            for rule in group_rules(spec):
                group, default = str(rule.get("groupName")), spec.get("defaultValue") or {}
                remains = group in earlier and (
                    rule.get("returnValue") == default or not rule.get("passPercentage", 100)
                )
                if remains:
                    disabled.setdefault(name, {})[group] = earlier[group]
                elif group in before and is_disabled(rule, spec, before[group]):
                    entry = {"since_ms": now_ms, "parameters": before[group].get("returnValue") or {}}
                    disabled.setdefault(name, {})[group] = entry
        return disabled

    def label(self, layer: str, experiment: str, group: str) -> str:
        """Return the name of an experiment's group in its layer: groups of two experiments are never one group."""
        return self._prefix(layer, experiment) + group

    def _prefix(self, layer: str, experiment: str) -> str:
        return "" if self.first.get(layer) == experiment else f"{experiment}: "

    def definition(self, name: str, tier: str = "") -> Definition | None:
        """Return the groups of an experiment or a layer, as served or, once it ended, as served last."""
        project = _project(self.specs)
        if name in project.configs or (name in self.ended and name not in project.layers):
            return self._experiment(project, name, tier)
        layer = project.layers.get(name)
        if layer is None:
            return None
        definition = derive_layer(layer, self._members(project, name, tier))
        if definition is None:
            return None
        status = self.status(name, tier)
        if status.since_ms is not None:  # its groups ended with it
            definition = replace(definition, groups=tuple(replace(group, ended_ms=None) for group in definition.groups))
        return replace(definition, status=status)

    def status(self, name: str, tier: str = "") -> Status:
        """Return the status of an experiment in Statsig now."""
        if entry := self.ended.get(name):
            return _ended(entry)
        project = _project(self.specs)
        if name in project.layers and name not in project.configs:
            if any(member.ended_ms is None for member in self._members(project, name, tier)):
                return Status()
            past = [entry for entry in self.ended.values() if entry.get("layer") == name]
            return _ended(max(past, key=lambda entry: entry["since_ms"])) if past else Status("not_started")
        spec = project.configs.get(name)
        return Status(state_of(spec, tier), None, shipped_group(spec)) if spec else Status()

    def _experiment(self, project: "_Project", name: str, tier: str) -> Definition | None:
        entry = self.ended.get(name)
        definition = derive(entry["spec"] if entry else project.configs[name])
        if definition is None:
            return None
        disabled = self.disabled.get(name, {})
        groups = tuple(
            replace(group, ended_ms=disabled[group.name]["since_ms"], parameters=disabled[group.name]["parameters"])
            if group.name in disabled
            else group
            for group in definition.groups
        )
        return replace(definition, groups=groups, status=self.status(name, tier))

    def _members(self, project: "_Project", layer: str, tier: str) -> Iterator[Member]:
        """Yield a layer's experiments that run or ran, in the order of the layer."""
        past = [name for name, entry in self.ended.items() if entry.get("layer") == layer]
        for name in dict.fromkeys([*project.members.get(layer, ()), *past]):
            prefix = self._prefix(layer, name)
            if entry := self.ended.get(name):
                yield Member(entry["spec"], entry.get("buckets") or 0.0, prefix, entry["since_ms"])
            elif (spec := project.configs.get(name)) and _runs(spec, tier):
                yield Member(spec, layer_buckets(project.layers[layer], spec), prefix)


def _runs(spec: Spec | None, tier: str) -> bool:
    """Return True for an experiment that runs, False for a spec that this module cannot read."""
    try:
        return spec is not None and state_of(spec, tier) == "running"
    except (TypeError, ValueError, AttributeError):
        return False


def _ended(entry: Spec) -> Status:
    return Status(entry["state"], entry["since_ms"], entry.get("shipped"))


class _Project:
    """Specs by name, read-only."""

    def __init__(self, specs: str) -> None:
        served = json.loads(specs or "{}")
        self.configs: dict[str, Spec] = {spec["name"]: spec for spec in served.get("dynamic_configs", ())}
        self.layers: dict[str, Spec] = {spec["name"]: spec for spec in served.get("layer_configs", ())}
        self.members: Mapping[str, list[str]] = served.get("layers") or {}

    def layer_of(self, experiment: str) -> str | None:
        """Return the layer that an experiment is in."""
        return next((name for name in self.layers if experiment in self.members.get(name, ())), None)

    def running_members(self, layer: str, tier: str) -> Iterator[str]:
        """Return the experiments of a layer that have started and get units."""
        for name in self.members.get(layer, ()):
            spec = self.configs.get(name)
            if spec and _runs(spec, tier) and layer_buckets(self.layers[layer], spec):
                yield name


@lru_cache(maxsize=4)
def _project(specs: str) -> _Project:
    """Parse specs once: every page view asks for its definition."""
    return _Project(specs)


def last_known(
    definitions: Mapping[str, Definition], experiment: str, *, key: str, api_url: str | None, cached: str | None
) -> Definition | None:
    """Return the last known definition without asking Statsig; `cached` as in `Experiments.open`."""
    archive = read_archive(cached, origin_of(api_url, key))
    try:
        served, status = archive.definition(experiment), archive.status(experiment)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        log.warning("the kept definitions cannot be read", extra={"error": type(error).__name__})
        served, status = None, Status()
    return merged(definitions.get(experiment), served, status)


def merged(ours: Definition | None, served: Definition | None, status: Status) -> Definition | None:
    """Return the served groups with the other settings of our file."""
    if ours is None or served is None:
        either = served or ours
        return either and replace(either, status=status)
    return replace(
        ours,
        groups=served.groups,
        control=ours.control if served.group(ours.control) else served.control,
        unit=served.unit,
        allocation=served.allocation,
        default=served.default,
        status=status,
    )


def origin_of(api_url: str | None, key: str) -> str:
    """Return an identifier of the project that does not contain the key."""
    return hashlib.sha256(f"{api_url} {key}".encode()).hexdigest()[:16]


def read_archive(cached: str | None, origin: str) -> Archive:
    """Return the stored archive, where it is intact."""
    try:
        return Archive.read(cached, origin)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the kept definitions cannot be read", extra={"error": type(error).__name__})
        return Archive(origin)
