"""The Statsig SDK, kept quiet: what it is started with, what it may say, and how it is asked.

Owns every reach into the SDK's insides. Nothing leaves this process but requests to the configured address: no error
report, no diagnostics, no download of its own. Knows neither when Statsig is asked nor what stands in for it.
"""

import json
import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lib.experiments.later import later

later("grpc")  # before the SDK is imported
with suppress(PackageNotFoundError):
    later("charset_normalizer", __version__=version("charset_normalizer"), __path__=[])  # what is asked at its import

from statsig import OutputLogger, StatsigOptions, StatsigServer, StatsigUser
from statsig.evaluation_details import DataSource, EvaluationReason
from statsig.interface_network import NetworkEndpoint, NetworkProtocol
from statsig.interface_observability_client import ObservabilityClient
from statsig.statsig_error_boundary import _StatsigErrorBoundary
from statsig.statsig_errors import StatsigNameError, StatsigRuntimeError, StatsigValueError
from statsig.statsig_options import ProxyConfig

from lib.domain.assignment import Assignment
from lib.domain.visitor import Visitor
from lib.experiments.definitions import Definition, Group
from lib.experiments.specs import Step, derive, group_rules, steps

log = logging.getLogger("parley.statsig")

REQUEST_S = 10
"""How long one request to Statsig may stay silent."""
AGAIN_S = 600
"""How long the same trouble of the SDK is not told again."""
KEY_LIKE = re.compile(r"secret-[^\s/'\"?]+")


class Decider:
    """One SDK server beside the specs that it evaluates, which say more than its answers do."""

    def __init__(self, server: Any, specs: str) -> None:
        self.server = server
        served = json.loads(specs)
        self._configs = {spec["name"]: spec for spec in served.get("dynamic_configs", ())}
        self._layers = {spec["name"]: spec for spec in served.get("layer_configs", ())}
        self._members: Mapping[str, list[str]] = served.get("layers") or {}

    def decide(self, visitor: Visitor, name: str) -> Assignment:
        """Ask for an experiment of this name, then for a layer; rule "" where there is neither. Exposes nobody."""
        user = StatsigUser(
            user_id=visitor.user_id,
            custom_ids={"stableID": visitor.stable_id, "sessionID": visitor.session_id},
            custom=dict(visitor.custom),
        )
        found = self.server.get_experiment(user, name, log_exposure=False)
        if found.evaluation_details.reason is EvaluationReason.unrecognized and name in self._layers:
            return self._of_layer(visitor, self.server.get_layer(user, name, log_exposure=False))
        spec = self._configs.get(name, {})
        group = found.group_name if found.passed_rule else None
        return _assignment(visitor, spec, spec, Assignment(name, group, found.rule_id, "", {}, found.value))

    def _of_layer(self, visitor: Visitor, layer: Any) -> Assignment:
        spec, allocated = self._layers[layer.name], layer.allocated_experiment or None
        member = self._configs.get(allocated or "", spec)
        explicit = member.get("explicitParameters") or []
        found = Assignment(
            layer.name, layer.group_name if allocated else None, layer.rule_id, "", {}, layer.get_values(), layer=True,
            allocated=allocated, parameter="model" if "model" in explicit else next(iter(explicit), None),
        )  # fmt: skip
        return _assignment(visitor, spec, member, found)

    def explain(self, visitor: Visitor, name: str) -> tuple[Assignment, list[Step]]:
        """The decision, and the rules that led to it: of the experiment, or of the layer's that decided."""
        decided = self.decide(visitor, name)
        spec = self._configs.get(decided.allocated or name) or self._layers.get(name) or {}
        return decided, list(steps(spec, decided.user_id, decided.rule_id))

    def definition(self, name: str) -> Definition | None:
        """Of an experiment, or of a layer: that of its experiment (with several, their groups side by side)."""
        if name in self._configs:
            return derive(self._configs[name])
        members = [self._configs[each] for each in self._members.get(name, ()) if each in self._configs]
        found = [definition for definition in map(derive, members) if definition]
        if not found:
            return None
        groups: dict[str, Group] = {}
        for group in (group for definition in found for group in definition.groups):
            groups.setdefault(group.name, group)
        default = self._layers.get(name, {}).get("defaultValue") or {}
        return replace(found[0], name=name, groups=tuple(groups.values()), default=default)


def _assignment(visitor: Visitor, spec: Mapping[str, Any], member: Mapping[str, Any], found: Assignment) -> Assignment:
    """What the SDK found, read with the specs: `member` is the experiment that decided, `spec` whose defaults count."""
    forced = found.rule_id == "override" or found.rule_id.endswith(":override")
    counts = forced or found.rule_id in {rule.get("id") for rule in group_rules(member)}
    defaults = spec.get("defaultValue") or {}
    return replace(
        found, group=found.group if counts else None, forced=forced, defaults=defaults, ids=visitor.ids(),
        user_id=unit_of(visitor, member.get("idType", "userID")),
        parameters=defaults if found.rule_id in ("", "error") else found.parameters,
    )  # fmt: skip


def unit_of(visitor: Visitor, id_type: str) -> str:
    """The value of the visitor's id that an experiment randomises by."""
    ids = {name.lower(): value for name, value in visitor.ids().items()}
    return ids.get(id_type.lower(), visitor.user_id)


@dataclass(slots=True)
class Memory:
    """Why Statsig's definitions could not be fetched the last time; None when they could."""

    error: str | None = None


def local(specs: str, key: str, tier: str) -> Decider:
    """The SDK on these specs alone: nothing asks, nothing is sent."""
    server = quiet_server()
    more = {"local_mode": True, "bootstrap_values": specs, "initialize_sources": [DataSource.BOOTSTRAP]}
    server.initialize(key, _options(tier, _Lines(Memory(), logging.DEBUG), **more))
    return Decider(server, specs)


def network_options(
    tier: str, api_url: str | None, memory: Memory, served: Callable[[str], object], flushed: Callable[..., object]
) -> StatsigOptions:
    """The SDK on what Statsig serves and nothing else. `served` hears every new spec, `flushed` every batch sent."""

    def on_rules(specs: str) -> None:
        memory.error = None
        try:
            served(specs)
        except Exception as error:
            log.error("Statsig's definitions could not be taken over", extra={"error": type(error).__name__})

    return _options(
        tier, _Lines(memory), api=api_url, timeout=REQUEST_S,
        rules_updated_callback=on_rules,
        events_flushed_callback=flushed,
        initialize_sources=[DataSource.NETWORK], config_sync_sources=[DataSource.NETWORK],
        observability_client=_Pulse(memory), proxy_configs=_id_list_files(api_url),
        event_queue_size=10_000, retry_queue_size=1_000,  # batches are ours, and no queue may overflow
    )  # fmt: skip


def quiet_server() -> Any:
    """An SDK server that reports to nobody. Untyped, as most of the SDK is."""
    server = StatsigServer()
    server._errorBoundary = _Boundary()
    return server


def start(server: Any, key: str, options: StatsigOptions) -> bool:
    """Ask Statsig for the first time, for as long as that takes; whether events can be handed over from now on."""
    try:
        server.initialize(key, options)
        if server.is_initialized():
            _leave_retries_to_us(server)
    except Exception as error:
        log.error("the Statsig SDK did not start", extra={"error": type(error).__name__})
    return bool(server.is_initialized())


def _options(tier: str, lines: "_Lines", **more: Any) -> StatsigOptions:
    return StatsigOptions(
        tier=tier, disable_diagnostics=True, disable_ua_parser=True, disable_country_lookup=True, custom_logger=lines,
        **more,
    )  # fmt: skip


def _id_list_files(api_url: str | None) -> dict[NetworkEndpoint, ProxyConfig] | None:
    """Id lists name the addresses of their files; where an address was set, the files come from there too."""
    if api_url is None:
        return None
    return {NetworkEndpoint.DOWNLOAD_ID_LIST_FILE: ProxyConfig(NetworkProtocol.HTTP, api_url)}


def _leave_retries_to_us(server: Any) -> None:
    """The SDK would send a refused batch again by itself, beside the outbox, and Statsig would count it twice."""
    processor = server._logger.event_batch_processor
    add = processor.add_to_batched_events_queue
    processor.add_to_batched_events_queue = lambda batch: None if batch.retries else add(batch)


class _Boundary(_StatsigErrorBoundary):
    """The SDK's own would post stack traces and the key to a public address, and print to standard output."""

    def __init__(self) -> None:
        super().__init__(is_silent=True)  # type: ignore[no-untyped-call]

    def set_diagnostics(self, diagnostics: Any) -> None:
        """Diagnostics travel as events of the SDK's own; they name addresses with the key in them."""
        diagnostics.add_marker = lambda marker: False
        diagnostics.log_diagnostics = lambda *_, **__: None

    def capture(self, tag: str, task: Any, recover: Any, extra: dict[str, Any] | None = None) -> Any:
        """Run it; after a fault that is not the caller's, the SDK's substitute."""
        try:
            return task()
        except (StatsigNameError, StatsigRuntimeError, StatsigValueError):
            raise
        except Exception as error:
            self.log_exception(tag, error)
            return recover()

    def log_exception(self, tag: str, exception: Exception, *_: Any, **__: Any) -> None:
        """A line in our log and nothing else; what concerns requests and events is told where it is dealt with."""
        told = tag.startswith(("request:", "statsig::log_event"))
        log.log(logging.DEBUG if told else logging.WARNING, "%s: %s", tag, type(exception).__name__)


class _Lines(OutputLogger):
    """The SDK's log lines in our log, without the key, and each kind of them only now and then."""

    def __init__(self, memory: Memory, level: int = logging.WARNING) -> None:
        self._memory, self._level = memory, level
        self._said: dict[str, float] = {}

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A failure to fetch definitions is remembered; one to send events is told by `delivery`."""
        line = _clean(msg)
        if "/download_config_specs/" in line:
            self._memory.error = line.rpartition(" failed with error ")[2][:200]
        level = logging.DEBUG if "/log_event " in line or self._repeated(line) else self._level
        log.log(level, "%s", line)

    def _repeated(self, line: str) -> bool:
        kind, now = re.sub(r"0x\w+|\d+", "", line), time.monotonic()
        if now - self._said.get(kind, -math.inf) < AGAIN_S:
            return True
        if len(self._said) >= 100:
            self._said.clear()
        self._said[kind] = now
        return False

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """As a warning: the SDK's errors are no worse than its warnings."""
        self.warning(msg)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """As a warning, too."""
        self.warning(msg)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """The SDK's account of itself, for whoever looks for a fault of it."""
        log.debug("%s", _clean(msg))

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """As information."""
        self.info(msg)

    def set_log_level(self, log_level: Any) -> None:
        """Levels are our own affair."""


class _Pulse(ObservabilityClient):
    """Hears from the SDK how each look for new definitions ended: the only sign of life that has no news in it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def distribution(self, metric_name: str, value: float, tags: dict[str, Any] | None = None) -> None:
        """The SDK's measurement of one thing that it did."""
        if tags and metric_name.endswith(".config_sync_overall.latency"):
            failed = not tags.get("process_success")
            self._memory.error = (self._memory.error or str(tags.get("error"))) if failed else None


def _clean(message: object) -> str:
    """
    >>> _clean("Request to https://api.example/v1/download_config_specs/secret-Ab1.json failed\\n")
    'Request to https://api.example/v1/download_config_specs/[secret] failed'
    """
    return " ".join(KEY_LIKE.sub("[secret]", str(message)).split())[:500]
