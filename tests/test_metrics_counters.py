"""The numbers of /metrics: named and labelled as documented; a number that cannot be read does not break the others."""

import math
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lib.domain.budget import EVERYBODY, Account
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion, Usage
from lib.experiments.evaluator import Experiments
from lib.metrics.counters import Metrics
from lib.metrics.gauges import Gauges
from lib.readout.results import Window, gather, split_evidence
from lib.store import Store, StoreError
from tests.support.invented_traffic import EXPERIMENT, Group, Traffic, fill
from tests.support.waiting import ENOUGH_S

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> Samples:
    """Return every number by its name and labels, as a collector reads them."""
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


def test_a_unit_that_takes_no_part_has_an_empty_group(metrics: Metrics) -> None:
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


def test_a_gauge_has_the_value_at_the_time_of_reading(metrics: Metrics) -> None:
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


def test_a_groups_errors_and_ratings_are_served_as_0_before_there_are_any(metrics: Metrics) -> None:
    metrics.ended("Test", Completion("Hello", "stop", 1.0))
    assert value(metrics, "parley_answers_total", group="Test", finish_reason="error") == 0
    assert value(metrics, "parley_ratings_total", group="Test", rating="dissatisfaction") == 0
    assert value(metrics, "parley_answers_total", group="Control", finish_reason="error") is None


def test_a_store_counts_its_commits_reads_and_failures(metrics: Metrics, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    with closing(Store.open(url, meter=metrics)) as store:
        assert store.write(lambda connection: None).wait(ENOUGH_S)
        store.outbox.pending()
        assert not store.write(lambda connection: 1 / 0).wait(ENOUGH_S)
        (tmp_path / "parley.db").rename(tmp_path / "gone.db")
        with pytest.raises(StoreError), store.read() as connection:
            connection.exec_driver_sql("SELECT * FROM no_such_table")
    assert value(metrics, "parley_store_commit_seconds_count") == value(metrics, "parley_store_commit_facts_sum") == 1
    assert value(metrics, "parley_store_read_seconds_count") == 1
    assert value(metrics, "parley_store_failures_total", how="fact") == 1
    assert value(metrics, "parley_store_failures_total", how="read") == 1
    assert value(metrics, "parley_store_failures_total", how="away") == 0


@pytest.mark.parametrize("even, broken", [(True, False), (False, True)])
def test_the_split_is_that_of_the_readout(metrics: Metrics, tmp_path: Path, even: bool, broken: bool) -> None:
    url, file = f"sqlite:///{tmp_path}/parley.db", tmp_path / "experiments.toml"
    fill(url, Traffic({"Control": Group(120, 0.6), "Test": Group(118 if even else 40, 0.6)}, both=3, forced=2))
    file.write_text(f"[{EXPERIMENT}.groups]\nControl = {{ weight = 1 }}\nTest = {{ weight = 1 }}\n")
    with closing(Store.open(url)) as store, closing(Experiments.open(file)) as experiments:
        definition = experiments.definition(EXPERIMENT)
        assert definition
        read_split = partial(split_evidence, store.read, definition, now_ms())
        Gauges(store, lambda: (EXPERIMENT, read_split()), usd_per_day=None).serve(metrics)
        served = value(metrics, "parley_split_log_evidence", experiment=EXPERIMENT)
        judged = gather(store, definition, Window(EXPERIMENT), now_ms()).readout.split
    assert served == judged.log_e
    assert judged.broken is broken


def test_the_days_cost_is_served_beside_its_budget(metrics: Metrics, tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as store:
        Gauges(store, lambda: (EXPERIMENT, None), usd_per_day=5.0).serve(metrics)
        today = Account("day", EVERYBODY, now_ms() // DAY_MS, usd=5.0)
        assert store.spending.hold("a1", 1.25, [today], lambda: None).wait(ENOUGH_S)
        assert value(metrics, "parley_budget_spent_usd") == 1.25
    assert value(metrics, "parley_budget_usd") == 5


def test_the_split_is_that_of_the_experiment_that_testers_get_now(metrics: Metrics) -> None:
    live = ["first"]
    metrics.gauge_of("parley_split_log_evidence", "Evidence", "experiment", lambda: (live[0], 1.0))
    live[0] = "second"
    assert value(metrics, "parley_split_log_evidence", experiment="second") == 1
    assert value(metrics, "parley_split_log_evidence", experiment="first") is None


def test_without_a_budget_none_is_served(metrics: Metrics, tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as store:
        Gauges(store, lambda: (EXPERIMENT, None), usd_per_day=None).serve(metrics)
        assert value(metrics, "parley_ready") == 1
    assert value(metrics, "parley_budget_usd") is None
