"""The numbers of `/metrics`, counted as things happen or read at each scrape.

Owns their names, labels and buckets. The only user of prometheus-client; other modules call its methods.
"""

import math
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lib.domain.completion import Completion
from lib.domain.rating import RATINGS
from lib.domain.record import StoreFailure, Untaken

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300)
_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_FACTS = (1, 2, 5, 10, 20, 50, 100, 200)
_DELIVERY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 12)


class Metrics:
    """One process's counters, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._answers = Counter("parley_answers", "Answers ended", ["group", "finish_reason"], registry=registry)
        self._provided = Counter(
            "parley_provider_answers", "Answers ended, by provider", ["provider", "finish_reason"], registry=registry
        )
        self._response = self._histogram("parley_response_time_seconds", "From the question to the end", _SECONDS)
        self._first = self._histogram("parley_time_to_first_token_seconds", "From the question to text", _SECONDS)
        self._tokens = Counter("parley_tokens", "Tokens of answers", ["group", "kind"], registry=registry)
        self._cost = Counter("parley_cost_usd", "Cost of answers whose price is known", registry=registry)
        self._ratings = Counter("parley_ratings", "Ratings given", ["group", "rating"], registry=registry)
        self._commits = self._histogram("parley_store_commit_seconds", "One commit of a group of facts", _QUICK)
        self._facts = self._histogram("parley_store_commit_facts", "Facts in one commit", _FACTS)
        self._reads = self._histogram("parley_store_read_seconds", "One read, a readout's too", _QUICK)
        self._failures = Counter("parley_store_failures", "What failed at the database", ["how"], registry=registry)
        self._batches = self._histogram(
            "parley_delivery_batch_seconds", "From handing a batch over to Statsig's word that it has it", _DELIVERY
        )
        self._delivered = Counter("parley_delivery_events", "Events that Statsig acknowledged", registry=registry)
        self._refusals = Counter("parley_delivery_refusals", "Batches not taken", ["why"], registry=registry)
        self._groups: set[str] = set()
        for how in get_args(StoreFailure):
            self._failures.labels(how)
        for why in get_args(Untaken):
            self._refusals.labels(why)

    # In a conversation

    def ended(self, group: str | None, completion: Completion) -> None:
        """Count an ended answer."""
        name = self._label(group)
        self._answers.labels(name, completion.finish_reason).inc()
        if completion.provider:
            self._provided.labels(completion.provider, completion.finish_reason).inc()
        if math.isfinite(completion.response_time):
            self._response.observe(completion.response_time)
        if completion.time_to_first_token is not None:
            self._first.observe(completion.time_to_first_token)
        for token_kind, tokens in (
            ("prompt", completion.usage.prompt_tokens),
            ("completion", completion.usage.completion_tokens),
        ):
            if tokens:
                self._tokens.labels(name, token_kind).inc(tokens)
        self._cost.inc(completion.cost_usd or 0)

    def rated(self, group: str | None, rating: str) -> None:
        """Count a thumb that was given, changed or (`rating_withdrawn`) taken back."""
        self._ratings.labels(self._label(group), rating).inc()

    def _label(self, group: str | None) -> str:
        """Return the group's label. Its errors and ratings start at 0 then: a rate does not see a counter's first
        appearance."""
        name = group or ""
        if name not in self._groups:
            self._groups.add(name)
            for reason in ("stop", "error", "interrupted"):
                self._answers.labels(name, reason)
            for rating in RATINGS:
                self._ratings.labels(name, rating)
        return name

    # At the database

    def committed(self, facts: int, seconds: float) -> None:
        """Count one commit and its facts."""
        self._commits.observe(seconds)
        self._facts.observe(facts)

    def read(self, seconds: float) -> None:
        """Observe the time of a read."""
        self._reads.observe(seconds)

    def store_failed(self, how: str) -> None:
        """Count a failed write or read."""
        self._failures.labels(how).inc()

    # On the way to Statsig

    def acknowledged(self, events: int) -> None:
        """Count acknowledged events. An event that was sent twice counts twice."""
        self._delivered.inc(events)

    def batch_taken(self, seconds: float) -> None:
        """Observe a batch that Statsig accepted."""
        self._batches.observe(seconds)

    def batch_refused(self, why: str) -> None:
        """Count a batch, or a part of it, that Statsig did not accept."""
        self._refusals.labels(why).inc()

    # At each scrape

    def gauge(self, name: str, meaning: str, read: Callable[[], float | None]) -> None:
        """Serve the value of `read` at each scrape; NaN where it raises."""

        def value() -> float:
            try:
                number = read()
            except Exception:  # one unavailable number must not cost all the others
                number = None
            return math.nan if number is None else number

        Gauge(name, meaning, registry=self._registry).set_function(value)

    def gauge_of(self, name: str, meaning: str, label: str, read: Callable[[], tuple[str, float | None]]) -> None:
        """Serve at each scrape the value that `read` returns, labelled with the name that it returns; nothing where it
        raises."""
        self._registry.register(_LabelledGauge(name, meaning, label, read))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, buckets=buckets, registry=self._registry)


class _LabelledGauge(Collector):
    """A gauge whose label changes while the process runs: the experiment that testers get."""

    def __init__(self, name: str, meaning: str, label: str, read: Callable[[], tuple[str, float | None]]) -> None:
        self._name, self._meaning, self._label, self._read = name, meaning, label, read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge without reading its value."""
        yield GaugeMetricFamily(self._name, self._meaning, labels=[self._label])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge with its current label and value; nothing where reading fails."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=[self._label])
        try:
            label, number = self._read()
        except Exception:  # one unavailable number must not cost all the others
            return
        family.add_metric([label], math.nan if number is None else number)
        yield family
