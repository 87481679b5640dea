"""The numbers of /metrics: named and labelled as the contract has them, and never spoilt by one that is not known."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lib.events import Completion, Usage
from lib.metrics import Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> Samples:
    """Every number by its name and labels, as a collector reads them."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_an_answer_is_counted_by_group_and_reason(metrics: Metrics) -> None:
    usage = Usage(10, 5, 15, source="server")
    metrics.ended("Test", Completion("Hello", "stop", 2.0, 0.5, usage, cost_usd=0.25))
    metrics.ended("Test", Completion("Hello", "stop", 4.0, 1.5, usage, cost_usd=0.5))
    metrics.ended("Control", Completion("", "error", 1.0, error="NoAnswer"))
    assert value(metrics, "parley_answers_total", group="Test", finish_reason="stop") == 2
    assert value(metrics, "parley_answers_total", group="Control", finish_reason="error") == 1
    assert value(metrics, "parley_response_time_seconds_count") == 3
    assert value(metrics, "parley_response_time_seconds_sum") == 7
    assert value(metrics, "parley_time_to_first_token_seconds_count") == 2
    assert value(metrics, "parley_time_to_first_token_seconds_sum") == 2
    assert value(metrics, "parley_tokens_total", group="Test", kind="prompt") == 20
    assert value(metrics, "parley_tokens_total", group="Test", kind="completion") == 10
    assert value(metrics, "parley_cost_usd_total") == 0.75


def test_who_takes_no_part_has_an_empty_group(metrics: Metrics) -> None:
    metrics.ended(None, Completion("Hello", "stop", 1.0))
    metrics.rated(None, "satisfaction")
    assert value(metrics, "parley_answers_total", group="", finish_reason="stop") == 1
    assert value(metrics, "parley_ratings_total", group="", rating="satisfaction") == 1


def test_a_time_that_is_not_known_spoils_no_sum(metrics: Metrics) -> None:
    metrics.ended("Test", Completion("Half", "interrupted", math.nan, error="ProcessEnded"))
    metrics.ended("Test", Completion("Hello", "stop", 2.0))
    assert value(metrics, "parley_response_time_seconds_sum") == 2
    assert value(metrics, "parley_answers_total", group="Test", finish_reason="interrupted") == 1


def test_ratings_are_counted_by_group(metrics: Metrics) -> None:
    for rating in ("satisfaction", "dissatisfaction", "satisfaction", "rating_withdrawn"):
        metrics.rated("Test", rating)
    assert value(metrics, "parley_ratings_total", group="Test", rating="satisfaction") == 2
    assert value(metrics, "parley_ratings_total", group="Test", rating="dissatisfaction") == 1


def test_a_gauge_says_what_is_true_when_it_is_read(metrics: Metrics) -> None:
    running = [0]
    metrics.gauge("parley_streams_active", "Answers under way", lambda: running[0])
    assert value(metrics, "parley_streams_active") == 0
    running[0] = 3
    assert value(metrics, "parley_streams_active") == 3


def test_a_gauge_that_cannot_be_read_hides_no_other_number(metrics: Metrics) -> None:
    def broken() -> float:
        raise OSError("the store is away")

    metrics.gauge("parley_outbox_pending", "Events that Statsig has not acknowledged", broken)
    metrics.rated("Test", "satisfaction")
    pending = value(metrics, "parley_outbox_pending")
    assert pending is not None
    assert math.isnan(pending)
    assert value(metrics, "parley_ratings_total", group="Test", rating="satisfaction") == 1


def test_two_apps_in_one_process_count_for_themselves() -> None:
    one, other = Metrics(), Metrics()
    one.rated("Test", "satisfaction")
    assert value(other, "parley_ratings_total", group="Test", rating="satisfaction") is None
