"""Statsig: who gets which group, and from which definitions that is decided.

Owns when Statsig is asked (beside the start, never before it), what stands in for it while it does not answer, and what
is kept of its answers. Nothing here exposes anybody: an exposure is an event like any other, and `delivery` sends it.
Knows no model, no database and no page; the SDK itself is `sdk`'s affair.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.visitor import Visitor
from lib.experiments.definitions import Definition, DefinitionError, read_definitions
from lib.experiments.sdk import Decider, Memory, local, network_options, quiet_server, start
from lib.experiments.specs import Step, compile_specs

__all__ = ["Definition", "DefinitionError", "Experiments", "Source", "Step", "compile_definitions", "read_file"]

log = logging.getLogger("parley.experiment")

FIRST_ANSWER_S = 2.0
"""How long a question waits for Statsig's first answer; nobody waits again once somebody has waited in vain."""
CLOSE_S = 2.0
"""How long the end waits for the SDK's threads."""

Flushed = Callable[[bool, list[dict[str, Any]], int | None, Exception | None], None]


@dataclass(frozen=True, slots=True)
class Source:
    """Where decisions come from: `network` (Statsig), `cached` (what it served last) or `bundled` (our own file).

    `error` says why Statsig could not be asked the last time; None when it could, or when there is no key.
    """

    name: Literal["network", "cached", "bundled"]
    since_ms: int
    error: str | None = None


class Experiments:
    """Who gets what. Every method may be called from any thread; `assign` never raises."""

    def __init__(self, definitions: Mapping[str, Definition], fallback: Decider, source: Source) -> None:
        self.definitions = definitions
        self._fallback, self._source = fallback, source
        self._decider: Decider | None = None  # Statsig's own definitions, once it has served any
        self._server: Any = None
        self._connected_ms, self._memory = 0, Memory()
        self._ready, self._late, self._closed = threading.Event(), False, False
        self._flushed: Flushed | None = None
        self._unknown: set[str] = set()

    @classmethod
    def open(
        cls, file: Path, *, key: str | None = None, api_url: str | None = None, tier: str = "development",
        cached: str | None = None, keep: Callable[[str], object] | None = None,
    ) -> "Experiments":  # fmt: skip
        """Ready to assign at once. With a key, Statsig is asked in the background, again and again.

        `keep` is handed what Statsig serves, whenever that changes, and `cached` is what it was handed last. Raises
        DefinitionError when the file is broken.
        """
        spec, definitions = read_file(file)
        if key is None:
            return cls(definitions, local(json.dumps(spec), "secret-local", tier), Source("bundled", now_ms()))
        origin = _origin(api_url, key)
        kept = _kept(cached, origin, key, tier)
        source = Source("cached" if kept else "bundled", now_ms())
        log.info("until Statsig answers, %s definitions decide", source.name)
        opened = cls(definitions, kept or local(json.dumps(spec), key, tier), source)
        opened._connect(key, api_url, tier, lambda specs: keep(_envelope(origin, specs)) if keep else None)
        return opened

    @property
    def source(self) -> Source:
        """What decides at this moment, and since when."""
        if self._from_network():
            return Source("network", self._connected_ms, self._memory.error)
        return replace(self._source, error=self._memory.error)

    @property
    def server(self) -> Any:
        """The SDK's object that takes events; None without a key and until it is ready to take them."""
        return self._server if self._ready.is_set() and not self._closed else None

    def on_flushed(self, callback: Flushed) -> None:
        """From now on, `callback` hears what became of each batch of events that the SDK sent."""
        self._flushed = callback

    def assign(self, visitor: Visitor, experiment: str) -> Assignment:
        """The decision for this visitor. Exposes nobody, and waits at most for Statsig's first answer."""
        self._await_first_answer()
        try:
            assignment = (self._from_network() or self._fallback).decide(visitor, experiment)
        except Exception as error:
            log.error("no assignment could be made", extra={"experiment": experiment, "error": type(error).__name__})
            return Assignment(experiment, None, "error", visitor.user_id, visitor.ids(), {}, {})
        if assignment.rule_id == "" and experiment not in self._unknown:
            self._unknown.add(experiment)
            log.warning("there is no such experiment or layer", extra={"experiment": experiment})
        return assignment

    def explain(self, unit: str, experiment: str) -> tuple[Assignment, list[Step]]:
        """What this unit gets now, and the rules that led to it. Exposes nobody.

        The unit is taken for every kind of id at once; what targeting may know of its visitor is not known here.
        """
        somebody = Visitor(unit, unit, unit, unit)
        return (self._from_network() or self._fallback).explain(somebody, experiment)

    def force(self, visitor: Visitor, experiment: str, group: str) -> Assignment:
        """This group for this visitor, marked as forced, so that no readout counts it. Raises ValueError: no such."""
        own = self.assign(visitor, experiment)
        definition = self.definition(experiment)
        chosen = definition.group(group) if definition else None
        if definition is None or chosen is None:
            known = ", ".join(each.name for each in definition.groups) if definition else "none"
            raise ValueError(f"{experiment} has no group {group}; it has {known}.")
        return replace(own, group=group, rule_id="override", parameters=chosen.parameters, forced=True)

    def definition(self, experiment: str) -> Definition | None:
        """What is compared: the groups as they are served, the rest as our file says it; None where nobody knows it."""
        served = (self._from_network() or self._fallback).definition(experiment)
        return _merged(self.definitions.get(experiment), served)

    def close(self) -> None:
        """End the SDK's threads, and wait for them a moment at most. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        servers = [self._fallback.server] + ([self._server] if self._server else [])
        threads = [threading.Thread(target=server.shutdown, name="statsig-end", daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CLOSE_S)

    def _from_network(self) -> Decider | None:
        """Who decides by what Statsig served; None until it did, although the SDK calls an empty store a success."""
        return self._decider if self._ready.is_set() else None

    def _await_first_answer(self) -> None:
        if self._server is not None and not self._late and not self._ready.wait(FIRST_ANSWER_S):
            self._late = True

    def _connect(self, key: str, api_url: str | None, tier: str, keep: Callable[[str], object]) -> None:
        newest = ""

        def served(specs: str) -> None:
            nonlocal newest
            if specs == newest:
                return
            if not newest:
                log.info("Statsig's definitions decide")
            newest = specs
            self._connected_ms = self._connected_ms or now_ms()
            self._decider = Decider(self._server, specs)
            keep(specs)

        def flushed(ok: bool, events: list[dict[str, Any]], status: int | None, error: Exception | None) -> None:
            if self._flushed:
                self._flushed(ok, events, status, error)

        def begin() -> None:
            if start(self._server, key, options):
                self._ready.set()

        self._server = quiet_server()
        options = network_options(tier, api_url, self._memory, served, flushed)
        threading.Thread(target=begin, name="statsig-start", daemon=True).start()


def compile_definitions(text: str) -> tuple[dict[str, Any], dict[str, Definition]]:
    """The config spec and the definitions of this TOML. Raises DefinitionError."""
    definitions = read_definitions(text)
    return compile_specs(definitions.values()), definitions


def read_file(file: Path) -> tuple[dict[str, Any], dict[str, Definition]]:
    """The same of a file, which the problems then name."""
    try:
        return compile_definitions(file.read_text(encoding="utf-8"))
    except DefinitionError as error:
        raise DefinitionError([f"{file}: {problem}" for problem in error.problems]) from None
    except UnicodeDecodeError:
        raise DefinitionError([f"{file}: not UTF-8 text"]) from None
    except OSError as error:
        raise DefinitionError([f"{file}: cannot be read: {error.strerror}"]) from None


def last_known(
    definitions: Mapping[str, Definition], experiment: str, *, key: str, api_url: str | None, cached: str | None
) -> Definition | None:
    """What is compared as far as it was known last, without asking Statsig; `cached` as in `Experiments.open`."""
    try:
        envelope = json.loads(cached or "{}")
        ours = envelope.get("origin") == _origin(api_url, key)
        served = Decider(None, envelope["specs"]).definition(experiment) if ours else None
    except (ValueError, KeyError, AttributeError) as error:
        log.warning("the kept definitions cannot be read", extra={"error": type(error).__name__})
        served = None
    return _merged(definitions.get(experiment), served)


def _merged(ours: Definition | None, served: Definition | None) -> Definition | None:
    """The groups as they are served, the rest as our file says it."""
    if ours is None or served is None:
        return served or ours
    return replace(
        ours, groups=served.groups, control=ours.control if served.group(ours.control) else served.control,
        unit=served.unit, allocation=served.allocation, default=served.default,
    )  # fmt: skip


def _origin(api_url: str | None, key: str) -> str:
    """Whose definitions these are, told without the key."""
    return hashlib.sha256(f"{api_url} {key}".encode()).hexdigest()[:16]


def _envelope(origin: str, specs: str) -> str:
    """Specs together with whose they are: another key or address must not be answered from them."""
    return json.dumps({"origin": origin, "specs": specs})


def _kept(cached: str | None, origin: str, key: str, tier: str) -> Decider | None:
    """What was kept, where it is ours and whole."""
    try:
        envelope = json.loads(cached or "{}")
        decider = local(envelope["specs"], key, tier) if envelope.get("origin") == origin else None
    except Exception as error:
        log.warning("the kept definitions cannot be read", extra={"error": type(error).__name__})
        return None
    return decider if decider and decider.server.is_store_populated() else None
