"""The Statsig SDK, silenced: its start options, its log lines, its requests.

The only module that uses the SDK's private names. The SDK sends requests to the configured address and nothing else: no
error report, no diagnostics, no download of its own.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from statsig import OutputLogger, StatsigOptions, StatsigServer
from statsig.batch_event_queue import BatchEventLogs, EventBatchProcessor
from statsig.diagnostics import Diagnostics
from statsig.evaluation_details import DataSource
from statsig.interface_network import NetworkEndpoint, NetworkProtocol
from statsig.interface_observability_client import ObservabilityClient
from statsig.statsig_error_boundary import _StatsigErrorBoundary
from statsig.statsig_errors import StatsigNameError, StatsigRuntimeError, StatsigValueError
from statsig.statsig_logger import _StatsigLogger
from statsig.statsig_options import ProxyConfig
from statsig.version import __version__

log = logging.getLogger("parley.statsig")

REQUEST_S = 10
"""Seconds that one request to Statsig may stay silent."""
AGAIN_S = 600
"""Seconds in which the same problem of the SDK is not logged again."""
KEY_LIKE = re.compile(r"secret-[^\s/'\"?]+")


@dataclass(slots=True)
class Memory:
    """The reason why Statsig's definitions could not be fetched the last time; None after a success."""

    error: str | None = None


def local_server(specs: str, key: str, tier: str) -> Any:
    """Return an SDK server on these specs alone, without network. Raises SdkError."""
    server = quiet_server()
    more = {"local_mode": True, "bootstrap_values": specs, "initialize_sources": [DataSource.BOOTSTRAP]}
    server.initialize(key, _options(tier, _Lines(Memory(), logging.DEBUG), **more))
    _catch_exposures(server)
    return server


def network_options(
    tier: str, api_url: str | None, memory: Memory, served: Callable[[str], object], flushed: Callable[..., object]
) -> StatsigOptions:
    """Return the options of the SDK on Statsig's specs only. `served` receives every new spec, `flushed` every batch
    sent."""

    def on_rules(specs: str) -> None:
        memory.error = None
        try:
            served(specs)
        except Exception as error:
            log.error("Statsig's definitions could not be taken over", extra={"error": type(error).__name__})

    return _options(
        tier,
        _Lines(memory),
        api=api_url,
        timeout=REQUEST_S,
        rules_updated_callback=on_rules,
        events_flushed_callback=flushed,
        initialize_sources=[DataSource.NETWORK],
        config_sync_sources=[DataSource.NETWORK],
        observability_client=_Pulse(memory),
        proxy_configs=_id_list_files(api_url),
        event_queue_size=10_000,
        retry_queue_size=1_000,  # batches are ours, and no queue may overflow
    )


class SdkError(Exception):
    """The installed Statsig SDK is not the one that this module was written for. The message says what to install."""


def quiet_server() -> Any:
    """Return an SDK server without reports to third parties. Untyped, as most of the SDK is. Raises SdkError.

    With another SDK the replacements below would have no effect: its error reports would send the key to a public
    address, and a refused batch would be sent twice.
    """
    if missing := list(_missing()):
        raise SdkError(
            f"the Statsig SDK was not started: statsig {__version__} has no {', '.join(missing)}, so that it might "
            "report the key or send events twice; install the version that requirements.txt names"
        )
    server = StatsigServer()
    server._errorBoundary = _Boundary()
    return server


def _missing() -> Iterator[str]:
    """Yield the missing names of the SDK that are replaced or called below."""
    if not isinstance(getattr(StatsigServer(), "_errorBoundary", None), _StatsigErrorBoundary):
        yield "StatsigServer._errorBoundary"
    for owner, names in _REPLACED.items():
        yield from (f"{owner.__name__}.{name}" for name in names if not callable(getattr(owner, name, None)))
    if "retries" not in BatchEventLogs.__dataclass_fields__:
        yield "BatchEventLogs.retries"


_REPLACED: Mapping[type, tuple[str, ...]] = {
    _StatsigErrorBoundary: ("set_diagnostics", "capture", "log_exception", "_post_exception"),
    EventBatchProcessor: ("add_to_batched_events_queue",),
    _StatsigLogger: ("log", "_is_unique_exposure"),
    Diagnostics: ("add_marker", "log_diagnostics"),
}


def start(server: Any, key: str, options: StatsigOptions) -> bool:
    """Fetch from Statsig for the first time, however long it takes; return True where events can be handed over from
    now on."""
    try:
        server.initialize(key, options)
        if server.is_initialized():
            _leave_retries_to_us(server)
            _catch_exposures(server)
    except Exception as error:
        log.error("the Statsig SDK did not start", extra={"error": type(error).__name__})
    return bool(server.is_initialized())


def _options(tier: str, lines: "_Lines", **more: Any) -> StatsigOptions:
    return StatsigOptions(
        tier=tier,
        disable_diagnostics=True,
        disable_ua_parser=True,
        disable_country_lookup=True,
        custom_logger=lines,
        **more,
    )


def _id_list_files(api_url: str | None) -> dict[NetworkEndpoint, ProxyConfig] | None:
    """Return the address of the files of id lists: the configured one, instead of those that the lists name."""
    if api_url is None:
        return None
    return {NetworkEndpoint.DOWNLOAD_ID_LIST_FILE: ProxyConfig(NetworkProtocol.HTTP, api_url)}


def _leave_retries_to_us(server: Any) -> None:
    """Keep the SDK from resending a refused batch, beside the outbox: Statsig would count it twice."""
    processor = server._logger.event_batch_processor
    add = processor.add_to_batched_events_queue
    processor.add_to_batched_events_queue = lambda batch: None if batch.retries else add(batch)


_caught = threading.local()


@contextmanager
def caught_exposures() -> Iterator[list[dict[str, Any]]]:
    """Collect the exposures that the SDK would send for evaluations inside the block, instead of sending them.

    They are built by the SDK's own code: sampled, with holdouts, versions and reasons. Each goes through the outbox.
    """
    events: list[dict[str, Any]] = []
    _caught.events = events
    try:
        yield events
    finally:
        _caught.events = None


def _catch_exposures(server: Any) -> None:
    """Route the SDK's exposures to `caught_exposures` inside its block; everything else is unchanged."""
    logger = server._logger
    send = logger.log

    def log_event(event: Any) -> None:
        events = getattr(_caught, "events", None)
        if events is None:
            send(event)
        else:
            events.append(event.to_dict())

    logger.log = log_event
    logger._is_unique_exposure = lambda *_: True  # otherwise it builds none within a minute of the last one


class _Boundary(_StatsigErrorBoundary):
    """A replacement of the SDK's error boundary, which would post stack traces and the key to a public address, and
    print to standard output."""

    def __init__(self) -> None:
        super().__init__(is_silent=True)  # type: ignore[no-untyped-call]

    def set_diagnostics(self, diagnostics: Any) -> None:
        """Ignore diagnostics: they travel as events of the SDK's own, with addresses that contain the key."""
        diagnostics.add_marker = lambda marker: False
        diagnostics.log_diagnostics = lambda *_, **__: None

    def capture(self, tag: str, task: Any, recover: Any, extra: dict[str, Any] | None = None) -> Any:
        """Run a function; after an error that is not the caller's, return the SDK's substitute."""
        try:
            return task()
        except (StatsigNameError, StatsigRuntimeError, StatsigValueError):
            raise
        except Exception as error:
            self.log_exception(tag, error)
            return recover()

    def log_exception(self, tag: str, exception: Exception, *_: Any, **__: Any) -> None:
        """Log one line; errors of requests and events are logged where they are handled."""
        logged_elsewhere = tag.startswith(("request:", "statsig::log_event"))
        log.log(logging.DEBUG if logged_elsewhere else logging.WARNING, "%s: %s", tag, type(exception).__name__)


class _Lines(OutputLogger):
    """The SDK's log lines in our log, without the key; a kind of line is repeated after `AGAIN_S` only."""

    def __init__(self, memory: Memory, level: int = logging.WARNING) -> None:
        self._memory, self._level = memory, level
        self._logged_at: dict[str, float] = {}

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Remember a failure to fetch definitions; `delivery` reports failures to send events."""
        line = _clean(msg)
        if "/download_config_specs/" in line:
            self._memory.error = line.rpartition(" failed with error ")[2][:200]
        level = logging.DEBUG if "/log_event " in line or self._repeated(line) else self._level
        log.log(level, "%s", line)

    def _repeated(self, line: str) -> bool:
        pattern, now = re.sub(r"0x\w+|\d+", "", line), time.monotonic()
        if now - self._logged_at.get(pattern, -math.inf) < AGAIN_S:
            return True
        if len(self._logged_at) >= 100:
            self._logged_at.clear()
        self._logged_at[pattern] = now
        return False

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log as a warning: the SDK's errors are no worse than its warnings."""
        self.warning(msg)

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log as a warning, too."""
        self.warning(msg)

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log the SDK's information, for debugging."""
        log.debug("%s", _clean(msg))

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log as information."""
        self.info(msg)

    def set_log_level(self, log_level: Any) -> None:
        """Ignore levels, which are ours to set."""


class _Pulse(ObservabilityClient):
    """The receiver of the SDK's report on each fetch of definitions, also of a fetch that brought nothing new."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def distribution(self, metric_name: str, value: float, tags: dict[str, Any] | None = None) -> None:
        """Receive the SDK's measurement of one operation."""
        if tags and metric_name.endswith(".config_sync_overall.latency"):
            failed = not tags.get("process_success")
            self._memory.error = (self._memory.error or str(tags.get("error"))) if failed else None


def _clean(message: object) -> str:
    """
    >>> _clean("Request to https://api.example/v1/download_config_specs/secret-Ab1.json failed\\n")
    'Request to https://api.example/v1/download_config_specs/[secret] failed'
    """
    return " ".join(KEY_LIKE.sub("[secret]", str(message)).split())[:500]
