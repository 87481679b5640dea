"""An event in the form in which the SDK sends it to Statsig."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from statsig import StatsigEvent, StatsigUser

from lib.domain.events import EXPOSURE, MAX_STRING, Event
from lib.domain.text import clean


def statsig_event(event: Event) -> StatsigEvent:
    """Return the event as the SDK sends it: its own time, our id, and only values that JSON and Statsig accept.

    An exposure is the SDK's own, of the experiment or of the layer. Raises where it has no unit.
    """
    ids = {name: value for name, value in (event.ids or {"userID": event.user_id}).items() if value}
    user = StatsigUser(user_id=ids.pop("userID", None), custom_ids=ids or None)
    if event.sent:
        return _as_sent(event, event.sent, user)
    name, metadata = (event.name, event.metadata) if event.name != EXPOSURE else _exposure(event.metadata)
    plain = {key: plain_value for key, value in metadata.items() if (plain_value := _plain(value)) is not None}
    return StatsigEvent(
        user,
        name,
        _plain(event.value),
        plain | {"event_id": event.event_id},
        _secondary_exposures=[],
        _time=event.time_ms,
    )


def _as_sent(event: Event, sent: Mapping[str, Any], user: StatsigUser) -> StatsigEvent:
    """Return an exposure as the SDK built it when the unit was assigned, with the properties that Statsig slices by."""
    return StatsigEvent(
        replace(user, custom=sent.get("custom")),
        sent["eventName"],
        metadata={**sent["metadata"], "event_id": event.event_id},
        statsigMetadata=sent.get("statsigMetadata"),
        _secondary_exposures=list(sent.get("secondaryExposures") or ()),
        _time=event.time_ms,
    )


def _exposure(of: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and metadata of an exposure that an earlier version recorded, as complete as possible; a layer's
    counts for the experiment that it names."""
    exposed = {"config": of.get("experiment"), "ruleID": of.get("rule_id") or ""}
    if not of.get("layer"):
        matched = exposed["ruleID"] not in ("", "default", "disabled", "error")
        return "statsig::config_exposure", exposed | {"rulePassed": "true" if matched else "false"}
    allocated, parameter = of.get("allocated_experiment"), of.get("parameter")
    explicit = bool(allocated and parameter)
    return "statsig::layer_exposure", exposed | {
        "allocatedExperiment": allocated if explicit else "",
        "parameterName": parameter or "model",
        "isExplicitParameter": "true" if explicit else "false",
    }


def _plain(value: Any) -> str | int | float | None:
    """Return a value that JSON can carry, within Statsig's bounds; None where there is none.

    >>> _plain(float("nan")), _plain("a\\ud800b"), _plain(True), _plain({"a": 1})
    (None, 'a\ufffdb', True, "{'a': 1}")
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, int | float) else clean(str(value))[:MAX_STRING]
