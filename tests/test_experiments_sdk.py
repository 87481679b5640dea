"""The private names of the installed Statsig SDK exist, and nothing is started where they do not."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from statsig import OutputLogger, StatsigOptions, StatsigServer, StatsigUser
from statsig.batch_event_queue import BatchEventLogs, EventBatchProcessor
from statsig.evaluation_details import DataSource
from statsig.interface_observability_client import ObservabilityClient
from statsig.statsig_error_boundary import _StatsigErrorBoundary
from statsig.statsig_logger import _StatsigLogger

from lib.domain.visitor import Visitor
from lib.experiments import sdk
from lib.experiments.evaluator import Experiments
from tests.support.statsig_server import serve
from tests.support.statsig_specs import NAME, running

KEY = "secret-Ab12_cd-34"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiments.toml"
    path.write_text(f'[{NAME}.groups]\nControl = {{ weight = 1, parameters = {{ model = "m" }} }}\n')
    return path


# Refused


@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        (_StatsigErrorBoundary, "_post_exception"),
        (_StatsigErrorBoundary, "log_exception"),
        (_StatsigErrorBoundary, "capture"),
        (EventBatchProcessor, "add_to_batched_events_queue"),
        (_StatsigLogger, "log"),
        (_StatsigLogger, "_is_unique_exposure"),
    ],
)
def test_an_sdk_without_the_replaced_parts_is_not_started(
    file: Path, owner: type, attribute: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(owner, attribute)
    with serve(running()) as statsig, closing(Experiments.open(file, key=KEY, api_url=statsig.url)) as experiments:
        assignment = experiments.assign(Visitor("v", "v", "v", "v"), NAME)
        assert (assignment.group, assignment.rule_id, experiments.server) == (None, "error", None)
        assert f"has no {owner.__name__}.{attribute}" in str(experiments.source.error)
        assert statsig.requests == []
    assert f"has no {owner.__name__}.{attribute}" in caplog.text


def test_an_sdk_whose_server_has_no_error_boundary_is_not_started(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StatsigServer, "__init__", lambda self: None)
    with serve(running()) as statsig, closing(Experiments.open(file, key=KEY, api_url=statsig.url)) as experiments:
        assert "has no StatsigServer._errorBoundary" in str(experiments.source.error)
        assert statsig.requests == []


def test_an_sdk_whose_batches_do_not_count_their_retries_is_not_started(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchEventLogs, "__dataclass_fields__", {})
    with closing(Experiments.open(file)) as experiments:
        assert experiments.assign(Visitor("v", "v", "v", "v"), NAME).rule_id == "error"


# Its lines and its metrics


class Lines(OutputLogger):
    """A logger that collects every line of the SDK."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        self.lines.append(str(msg))

    error = exception = info = debug = warning

    def set_log_level(self, log_level: Any) -> None:
        """Ignore the level: collect lines of every level."""


class Metrics(ObservabilityClient):
    """An observability client that collects every measurement of the SDK."""

    def __init__(self) -> None:
        self.measurements: list[tuple[str, dict[str, Any]]] = []

    def distribution(self, metric_name: str, value: float, tags: dict[str, Any] | None = None) -> None:
        self.measurements.append((metric_name, dict(tags or {})))


@pytest.fixture
def start_sdk() -> Iterator[Callable[..., tuple[Any, Lines, Metrics]]]:
    servers: list[Any] = []

    def start(url: str) -> tuple[Any, Lines, Metrics]:
        lines, metrics, server = Lines(), Metrics(), StatsigServer()
        server._errorBoundary = sdk._Boundary()
        sources = [DataSource.NETWORK]
        options = StatsigOptions(
            api=url, tier="development", custom_logger=lines, observability_client=metrics, timeout=2,
            disable_diagnostics=True, initialize_sources=sources, config_sync_sources=sources,
        )  # fmt: skip
        server.initialize(KEY, options)
        servers.append(server)
        return server, lines, metrics

    yield start
    for each in servers:
        each.shutdown()


def test_a_failed_look_for_definitions_is_read_in_the_line_that_the_sdk_writes(start_sdk: Any) -> None:
    with serve(running()) as statsig:
        statsig.specs_fault = 401
        _, lines, _ = start_sdk(statsig.url)
    line, *_ = [line for line in lines.lines if "/download_config_specs/" in line and " failed with error " in line]
    memory = sdk.Memory()
    sdk._Lines(memory).warning(line)
    assert memory.error and memory.error.startswith("401") and KEY not in memory.error


def test_how_a_later_look_ended_is_read_in_the_metric_that_the_sdk_names(start_sdk: Any) -> None:
    with serve(running()) as statsig:
        _, _, metrics = start_sdk(statsig.url)
        name = ".config_sync_overall.latency"
        statsig.wait(lambda: [tags for one, tags in metrics.measurements if one.endswith(name)])
        (good, *_) = [(one, tags) for one, tags in metrics.measurements if one.endswith(name)]
        statsig.specs_fault = 500
        statsig.wait(lambda: len([one for one, tags in metrics.measurements if one.endswith(name)]) > 1)
        (*_, bad) = [(one, tags) for one, tags in metrics.measurements if one.endswith(name)]
    memory = sdk.Memory("401")
    sdk._Pulse(memory).distribution(good[0], 1, good[1])
    assert memory.error is None
    sdk._Pulse(memory).distribution(bad[0], 1, bad[1])
    assert memory.error


def test_a_failure_to_send_events_is_reported_by_delivery_alone(
    start_sdk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "parley.statsig")
    with serve(running()) as statsig:
        server, lines, _ = start_sdk(statsig.url)
        statsig.events_fault = 401
        server.get_experiment(StatsigUser("u"), NAME)
        server.flush()
    matching = [line for line in lines.lines if "/log_event " in line]
    assert matching
    sdk._Lines(sdk.Memory()).warning(matching[0])
    ours = [record for record in caplog.records if "log_event" in record.getMessage()]
    assert ours and {record.levelname for record in ours} == {"DEBUG"}
    tags = {record.getMessage().partition(": ")[0] for record in ours if re.match(r"[\w:]+: \w+$", record.getMessage())}
    assert tags <= {"statsig::log_event_failed"} | {tag for tag in tags if tag.startswith("request:")}
    assert KEY not in json.dumps([record.getMessage() for record in ours])
