"""Statsig's evaluation: the group of a unit, and the definitions that decide it.

Owns the requests to Statsig (in the background, so that no start waits for them), the fallback while it does not
answer, and the stored answers. Nothing here exposes a unit: an exposure is an event, which `delivery` sends. Knows no
model, no database and no page; the SDK is in `sdk`.
"""

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
from lib.experiments.archive import Archive, last_known, merged, origin_of, read_archive
from lib.experiments.book import Book
from lib.experiments.decider import Decider, bundled_decider, cached_decider, overridden
from lib.experiments.definitions import read_definitions, read_definitions_file
from lib.experiments.experiment import Definition, DefinitionError, Status
from lib.experiments.sdk import Memory, SdkError, network_options, quiet_server, start
from lib.experiments.specs import compile_specs
from lib.experiments.steps import Step

__all__ = [
    "Definition",
    "DefinitionError",
    "Experiments",
    "Source",
    "Step",
    "compile_definitions",
    "last_known",
    "read_file",
]

log = logging.getLogger("parley.experiment")

FIRST_ANSWER_S = 2.0
"""Seconds that a question waits for Statsig's first answer. After one wait in vain no question waits again."""
CLOSE_S = 2.0
"""Seconds that shutdown waits for the SDK's threads."""

Flushed = Callable[[bool, list[dict[str, Any]], int | None, Exception | None], None]


@dataclass(frozen=True, slots=True)
class Source:
    """The source of decisions: `network` (Statsig), `cached` (what it served last) or `bundled` (our own file).

    `error` is the reason of the last failed fetch; None after a success, or without a key.
    """

    name: Literal["network", "cached", "bundled"]
    since_ms: int
    error: str | None = None


class Experiments:
    """The assignment of units. Every method is thread-safe; `assign` never raises."""

    def __init__(self, definitions: Mapping[str, Definition], fallback: Decider, source: Source) -> None:
        self.definitions = definitions
        self._fallback, self._source = fallback, source
        self._decider: Decider | None = None  # Statsig's own definitions, once it has served any
        self._server: Any = None
        self._connected_ms, self._memory = 0, Memory()
        self._ready, self._late, self._closed = threading.Event(), False, False
        self._flushed: Flushed | None = None
        self._changed: Callable[[], object] = lambda: None
        self._archive = Archive()
        self._keep: Callable[[str], object] = lambda text: None
        self._reported: set[tuple[str, str]] = set()
        self._key, self._keyed = "", False
        self._tier = ""
        self._live: str | None = None
        self._swap = threading.Lock()

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        key: str | None = None,
        api_url: str | None = None,
        tier: str = "development",
        cached: str | None = None,
        keep: Callable[[str], object] | None = None,
    ) -> "Experiments":
        """Return an evaluator that can assign at once. With a key, Statsig is polled in the background.

        `keep` receives Statsig's definitions whenever they change, and `cached` is the text that it received last.
        Raises DefinitionError when the file is broken.
        """
        spec, definitions = read_file(file)
        bundled, origin = json.dumps(spec), "" if key is None else origin_of(api_url, key)
        archive = read_archive(cached, origin)
        cached_specs = None if key is None else cached_decider(archive, key, tier)
        source = Source("cached" if cached_specs else "bundled", now_ms())
        evaluator = cls(definitions, cached_specs or bundled_decider(bundled, key or "secret-local", tier), source)
        evaluator._key, evaluator._keyed, evaluator._tier = key or "secret-local", key is not None, tier
        if key is not None:
            log.info("until Statsig answers, %s definitions decide", source.name)
            evaluator._archive, evaluator._keep = archive, keep or evaluator._keep
            evaluator._connect(key, api_url)
        return evaluator

    @property
    def source(self) -> Source:
        """The source that decides at this moment, and since when."""
        if self._from_network():
            return Source("network", self._connected_ms, self._memory.error)
        return replace(self._source, error=self._memory.error)

    @property
    def server(self) -> Any:
        """The SDK's object that takes events; None without a key and until it is ready to take them."""
        return self._server if self._ready.is_set() and not self._closed else None

    @property
    def settled(self) -> bool:
        """False while Statsig's first answer, which may replace the current definitions, is awaited."""
        return self._server is None or self._ready.is_set() or self._late or self._memory.error is not None

    def on_flushed(self, callback: Flushed) -> None:
        """Call `callback` from now on with the result of each batch of events that the SDK sent."""
        self._flushed = callback

    def on_change(self, callback: Callable[[], object]) -> None:
        """Call `callback` from now on whenever Statsig serves other definitions."""
        self._changed = callback

    def follow(self, book: Book, setting: str) -> None:
        """Decide by the record from now on. With a key, `setting` (PARLEY_EXPERIMENT) names Statsig's experiment, and
        the record's allocation counts while Statsig cannot be reached."""
        definitions = {name: recorded.definition for name, recorded in book.items() if recorded.definition is not None}
        if self._keyed:
            allocations = {
                name: recorded.written.allocation for name, recorded in book.items() if recorded.written is not None
            }
            self.apply(
                {name: replace(recorded, allocation=allocations[name]) for name, recorded in definitions.items()},
                setting,
            )
        else:
            self.apply(definitions, next((name for name, recorded in book.items() if recorded.state.live), None))

    def apply(self, definitions: Mapping[str, Definition], live: str | None) -> None:
        """Decide by these definitions from now on, beside those of the file that they do not name; `live` is the
        experiment that testers get. Where Statsig decides, they only set what the readout compares."""
        newest = {**self.definitions, **definitions}
        if self._source.name != "bundled" or newest == self.definitions:
            self.definitions, self._live = newest, live
            return
        fallback = bundled_decider(json.dumps(compile_specs(newest.values())), self._key, self._tier)
        with self._swap:  # a decision and its run are of one version
            old, self._fallback = self._fallback, fallback
            self.definitions, self._live = newest, live
        self._source = replace(self._source, since_ms=now_ms())
        if old.server:
            end = threading.Timer(CLOSE_S, old.server.shutdown)  # a question may be asking it
            end.daemon = True
            end.start()

    @property
    def live(self) -> str | None:
        """The experiment that testers get, as the record has it; None before the record was read."""
        return self._live

    def run(self, experiment: str) -> int:
        """Return the number of the current run of an experiment, or of its last one."""
        definition = self.definitions.get(experiment)
        return definition.run if definition else 1

    def served(self, assignment: Assignment) -> Assignment:
        """Return the assignment for the next question: a group that was switched off gets the default."""
        definition = self.definitions.get(assignment.experiment)
        group = definition.group(assignment.group) if definition and assignment.group else None
        if definition is None or group is None or group.ended_ms is None:
            return assignment
        return replace(assignment, parameters=definition.default, defaults=definition.default)

    def assign(self, visitor: Visitor, experiment: str) -> Assignment:
        """Return the decision for this visitor. Exposes no unit, and waits at most for Statsig's first answer."""
        self._await_first_answer()
        with self._swap:
            decider, run = self._decider_now(), self.run(experiment)
        try:
            assignment = decider.decide(visitor, experiment)
        except Exception as error:
            log.error("no assignment could be made", extra={"experiment": experiment, "error": type(error).__name__})
            return Assignment(experiment, None, "error", visitor.user_id, visitor.ids(), {}, {}, sent={})
        if assignment.rule_id == "":
            self._report_once("there is no such experiment or layer", experiment)
        if assignment.unknown_unit:
            self._report_once(
                "no unit takes part: the experiment is by an id that Parley does not send",
                experiment,
                unit=assignment.unknown_unit,
            )
        return replace(assignment, run=run)

    def _report_once(self, message: str, experiment: str, **more: str) -> None:
        if (message, experiment) not in self._reported:
            self._reported.add((message, experiment))
            log.warning(message, extra={"experiment": experiment, **more})

    def explain(self, unit: str, experiment: str) -> tuple[Assignment, list[Step]]:
        """Return this unit's decision now, and the rules that led to it. Exposes no unit.

        The id is used for every kind of unit; the visitor's fields for targeting are unknown here.
        """
        visitor = Visitor(unit, unit, unit, unit)
        return self._decider_now().explain(visitor, experiment)

    def force(self, visitor: Visitor, experiment: str, group: str) -> Assignment:
        """Return the assignment of this group, marked as forced, so that no readout counts it. Raises ValueError for an
        unknown group."""
        own = self.assign(visitor, experiment)
        definition = self.definition(experiment)
        chosen = definition.group(group) if definition else None
        if definition is None or chosen is None:
            names = ", ".join(each.name for each in definition.groups) if definition else "none"
            raise ValueError(f"{experiment} has no group {group}; it has {names}.")
        return replace(
            own,
            group=group,
            rule_id="override",
            parameters=chosen.parameters,
            forced=True,
            sent=overridden(own),
        )

    def definition(self, experiment: str) -> Definition | None:
        """Return the compared groups as served, or as served last where Statsig ended the experiment, with the other
        settings of our file. None where neither knows it."""
        decider = self._decider_now()
        ours = self.definitions.get(experiment)
        definition = merged(ours, decider.definition(experiment), decider.status(experiment))
        if ours is None or definition is None or decider is not self._fallback or self._source.name != "bundled":
            return definition
        weights = {group.name: group.weight for group in definition.groups}
        groups = tuple(replace(group, weight=weights.get(group.name, group.weight)) for group in ours.groups)
        return replace(definition, groups=groups)  # with the own parameters of a group that was switched off

    def status(self, experiment: str) -> Status:
        """Return the status of an experiment in Statsig; without Statsig, that of our file."""
        return self._decider_now().status(experiment)

    def close(self) -> None:
        """End the SDK's threads, and wait for them a moment at most. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        servers = [server for server in (self._fallback.server, self._server) if server]
        threads = [threading.Thread(target=server.shutdown, name="statsig-end", daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CLOSE_S)

    def _decider_now(self) -> Decider:
        return self._from_network() or self._fallback

    def _from_network(self) -> Decider | None:
        """Return the decider on Statsig's specs; None before the first ones, although the SDK reports an empty store as
        success."""
        return self._decider if self._ready.is_set() else None

    def _await_first_answer(self) -> None:
        if self._server is not None and not self._late and not self._ready.wait(FIRST_ANSWER_S):
            self._late = True

    def _connect(self, key: str, api_url: str | None) -> None:
        """Start the SDK in the background."""
        try:
            self._server = quiet_server()
        except SdkError as error:
            self._memory.error = str(error)
            return
        options = network_options(self._tier, api_url, self._memory, self._take_specs, self._report_flushed)
        threading.Thread(target=self._start, args=(key, options), name="statsig-start", daemon=True).start()

    def _start(self, key: str, options: Any) -> None:
        started = start(self._server, key, options)
        if self._closed:  # the SDK forgets an end that comes before its start
            self._server.shutdown()
        elif started:
            self._ready.set()
            self._changed()

    def _take_specs(self, specs: str) -> None:
        """Decide by what Statsig serves from now on, and keep it."""
        if self._decider is not None and specs == self._archive.specs:
            return
        if self._decider is None:
            log.info("Statsig's definitions decide")
        self._archive = self._archive.after(specs, self._tier, now_ms())
        self._connected_ms = self._connected_ms or now_ms()
        self._decider = Decider(self._server, self._archive, self._tier)
        self._keep(self._archive.text())
        if self._ready.is_set():
            self._changed()

    def _report_flushed(
        self, ok: bool, events: list[dict[str, Any]], status: int | None, error: Exception | None
    ) -> None:
        if self._flushed:
            self._flushed(ok, events, status, error)


def compile_definitions(text: str) -> tuple[dict[str, Any], dict[str, Definition]]:
    """Return the config spec and the definitions of this TOML. Raises DefinitionError."""
    definitions = read_definitions(text)
    return compile_specs(definitions.values()), definitions


def read_file(file: Path) -> tuple[dict[str, Any], dict[str, Definition]]:
    """Return the config spec and the definitions of a file. Raises DefinitionError, whose problems name the file."""
    definitions = read_definitions_file(file)
    return compile_specs(definitions.values()), definitions
