"""Statsig's Console API: an experiment and its metrics as requests, and the client that sends them.

The key of this interface has every right in a project. It is used for one run and not stored: it appears in no log, no
message and no file, and no redirect sends it to another address.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from lib.domain.events import CHAT_COMPLETION
from lib.experiments.experiment import Definition, ranges

ADDRESS = "https://statsigapi.net"
VERSION = "20240601"
TIMEOUT_S = 15
KEY_LIKE = re.compile(r"(console|secret)-[^\s/'\"?]+")
ID = re.compile(r"[A-Za-z0-9_\-]{1,100}")
"""Names of experiments that Statsig accepts as their id, too."""


class ConsoleError(Exception):
    """Statsig's console refused a request or could not be asked. The message says what to do and holds no key."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as Statsig defines it from events."""

    name: str
    kind: str
    direction: str
    events: tuple[Mapping[str, Any], ...]
    description: str

    def body(self, unit: str) -> dict[str, Any]:
        """Return the request that creates it for an experiment by this kind of id."""
        return {
            "name": self.name,
            "type": self.kind,
            "description": self.description,
            "directionality": self.direction,
            "unitTypes": [unit],
            "metricEvents": [dict(event) for event in self.events],
        }

    @property
    def id(self) -> str:
        """The metric's id in the project."""
        return f"{self.name}::{self.kind}"


def _count(event: str, **criteria: Any) -> dict[str, Any]:
    return {"name": event, "type": "count"} | criteria


def _metadata(key: str) -> dict[str, Any]:
    return {"name": CHAT_COMPLETION, "type": "metadata", "metadataKey": key}


_FAILED = {"criteria": [{"type": "value", "condition": "in", "values": ["error", "interrupted"]}]}
SETUP_METRICS = (
    Metric("thumbs_up_per_answer", "ratio", "increase", (_count("satisfaction"), _count(CHAT_COMPLETION)),
           "Thumbs up per answer"),
    Metric("thumbs_down_per_answer", "ratio", "decrease", (_count("dissatisfaction"), _count(CHAT_COMPLETION)),
           "Thumbs down per answer"),
    Metric("errors_per_answer", "ratio", "decrease", (_count(CHAT_COMPLETION, **_FAILED), _count(CHAT_COMPLETION)),
           "Answers that failed or broke off, per answer"),
    Metric("response_time", "mean", "decrease", (_metadata("response_time"),), "Seconds from question to answer"),
    Metric("time_to_first_token", "mean", "decrease", (_metadata("time_to_first_token"),), "Seconds to the first word"),
    Metric("cost_usd", "sum", "decrease", (_metadata("cost_usd"),), "US dollars that answers cost"),
)  # fmt: skip
"""The metrics of docs/set-up.md, in its order."""
_OURS = {
    "satisfaction": "thumbs_up_per_answer", "up_per_answer": "thumbs_up_per_answer", "error_rate": "errors_per_answer",
    "down_per_answer": "thumbs_down_per_answer", "response_time": "response_time",
    "time_to_first_token": "time_to_first_token", "cost_per_answer": "cost_usd",
}  # fmt: skip
"""The metric at Statsig for one of a readout."""


def experiment_body(definition: Definition) -> dict[str, Any]:
    """Return the request that creates the experiment of a local table. Raises ConsoleError for an unfit name."""
    if not ID.fullmatch(definition.name):
        raise ConsoleError(
            f"Statsig takes letters, digits, _ and - in an experiment's name, not {definition.name}: rename its table "
            "and set PARLEY_EXPERIMENT"
        )
    names = list(dict.fromkeys(name for group in definition.groups for name in group.parameters))
    primary = _OURS.get(definition.primary, SETUP_METRICS[0].name)
    return {
        "id": definition.name,
        "name": definition.name,
        "idType": definition.unit,
        "description": "Set up by Parley, which assigns testers of its chat to these groups.",
        "hypothesis": f"Another group is better than {definition.control} in {primary}.",
        "groups": [
            {
                "name": group.name,
                "size": (high - low) / 10,
                "parameterValues": {
                    name: value
                    for name in names
                    if (value := group.parameters.get(name, definition.default.get(name))) is not None
                },
            }
            for group, (low, high) in zip(definition.groups, ranges(definition.groups), strict=True)
        ],
        "allocation": definition.allocation,
        "primaryMetrics": [_metric_reference(metric) for metric in SETUP_METRICS if metric.name == primary],
        "secondaryMetrics": [_metric_reference(metric) for metric in SETUP_METRICS if metric.name != primary],
        "sequentialTesting": True,
    }


def _metric_reference(metric: Metric) -> dict[str, str]:
    return {"name": metric.name, "type": metric.kind, "direction": metric.direction}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `about` is the name of the object that it creates."""

    method: str
    path: str
    about: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """One object of the project: the request that finds it, and the one that creates it."""

    look: Call
    create: Call


def setup(definition: Definition) -> Iterator[Entity]:
    """Yield what an experiment needs in a project: its metrics first, because Statsig does not fill them in backwards.

    Raises ConsoleError.
    """
    experiment, unit = experiment_body(definition), definition.unit
    for metric in SETUP_METRICS:
        look = Call("GET", f"/console/v1/metrics/{quote(metric.id, safe='')}", f"metric {metric.name}")
        yield Entity(look, Call("POST", "/console/v1/metrics", look.about, metric.body(unit)))
    look = Call("GET", f"/console/v1/experiments/{quote(definition.name, safe='')}", f"experiment {definition.name}")
    yield Entity(look, Call("POST", "/console/v1/experiments", look.about, experiment))


@dataclass(frozen=True, slots=True)
class Console:
    """One project's console. Raises ConsoleError for an address that would carry the key in the open."""

    key: str = field(repr=False)
    address: str = ADDRESS

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ConsoleError(f"{parts.scheme}://{parts.hostname} would carry the console key in the open: use https")

    def find(self, call: Call) -> Mapping[str, Any] | None:
        """Return the existing object; None without one. Raises ConsoleError."""
        status, content = self._send(call)
        if status == 404:
            return None
        if status >= 300 or not isinstance(data := content.get("data"), dict):
            self._refused(call, status, content)
        return data

    def create(self, call: Call) -> None:
        """Create an object. Raises ConsoleError."""
        status, content = self._send(call)
        if status >= 300 or not content:
            self._refused(call, status, content)

    def _send(self, call: Call) -> tuple[int, Mapping[str, Any]]:
        headers = {"STATSIG-API-KEY": self.key, "STATSIG-API-VERSION": VERSION, "Content-Type": "application/json"}
        data = None if call.body is None else json.dumps(call.body).encode()
        url = self.address.rstrip("/") + call.path
        request = urllib.request.Request(url, data, headers, method=call.method)
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())
        except (OSError, ValueError) as error:
            cause = getattr(error, "reason", None) or error
            raise ConsoleError(f"{self.address} does not answer: {self._without_key(str(cause))}") from None

    def _refused(self, call: Call, status: int, content: Mapping[str, Any]) -> NoReturn:
        reason = self._without_key(str(content.get("message") or "no reason given"))[:300]
        if status in (401, 403):
            raise ConsoleError(
                f"Statsig does not take this key ({status}: {reason}): create a Console API key in the project's "
                "settings, under Keys & Environments"
            )
        if status == 429:
            raise ConsoleError(
                "Statsig takes no more changes for now (429): run this again in 15 minutes; what exists is left alone"
            )
        if 300 <= status < 400:
            raise ConsoleError(f"{self.address} sends elsewhere ({status}), and the key is not sent there")
        if status < 300:
            raise ConsoleError(f"{self.address} answers, but not as Statsig's Console API does: check STATSIG_API_URL")
        raise ConsoleError(f"{call.about}: Statsig refused it ({status}: {reason})")

    def _without_key(self, text: str) -> str:
        return KEY_LIKE.sub("[key]", text.replace(self.key, "[key]"))


class _Stay(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect, because that would send the key to another address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(raw)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
