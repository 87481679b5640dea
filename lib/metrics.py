"""The numbers that `/metrics` serves, counted as answers and ratings happen. Knows prometheus-client and `events`."""

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lib.events import Completion

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300)


class Metrics:
    """One process's counters, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._answers = Counter("parley_answers", "Answers ended", ["group", "finish_reason"], registry=registry)
        self._response = Histogram(
            "parley_response_time_seconds", "From the question to the end", buckets=_SECONDS, registry=registry
        )
        self._first = Histogram(
            "parley_time_to_first_token_seconds", "From the question to text", buckets=_SECONDS, registry=registry
        )
        self._tokens = Counter("parley_tokens", "Tokens of answers", ["group", "kind"], registry=registry)
        self._cost = Counter("parley_cost_usd", "Cost of answers whose price is known", registry=registry)
        self._ratings = Counter("parley_ratings", "Ratings given", ["group", "rating"], registry=registry)
        self._gauges: dict[str, Gauge] = {}

    def ended(self, group: str | None, completion: Completion) -> None:
        """An answer ended, in whatever way."""
        name = group or ""
        self._answers.labels(name, completion.finish_reason).inc()
        if math.isfinite(completion.response_time):
            self._response.observe(completion.response_time)
        if completion.time_to_first_token is not None:
            self._first.observe(completion.time_to_first_token)
        for kind, tokens in (
            ("prompt", completion.usage.prompt_tokens),
            ("completion", completion.usage.completion_tokens),
        ):
            if tokens:
                self._tokens.labels(name, kind).inc(tokens)
        self._cost.inc(completion.cost_usd or 0)

    def rated(self, group: str | None, rating: str) -> None:
        """A thumb was given, changed or (`rating_withdrawn`) taken back."""
        self._ratings.labels(group or "", rating).inc()

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Serve what `read` says at the moment of asking; NaN where it cannot say."""

        def told() -> float:
            try:
                return read()
            except Exception:  # one number that is not to be had must not cost all the others
                return math.nan

        self._gauges[name] = gauge = Gauge(name, meaning, registry=self._registry)
        gauge.set_function(told)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
