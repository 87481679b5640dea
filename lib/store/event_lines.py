"""Lines of an export, checked: each becomes an event's JSON values or a reason why it is unreadable."""

import json
from collections.abc import Mapping
from typing import Any

from lib.domain.events import CHAT_COMPLETION, EXPOSURE, PREFERENCE, RATING_WITHDRAWN
from lib.domain.rating import RATINGS, SIGNALS

LARGEST = 2**53
"""Largest plausible time, count or duration."""


class UnreadableLine(Exception):
    """No event can be made of a line; the message says why."""


def checked_event(line: bytes) -> Mapping[str, Any]:
    """Return the event of a line. Raises UnreadableLine."""
    try:
        line_values = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreadableLine("not JSON") from None
    if not isinstance(line_values, dict) or not isinstance(line_values.get("metadata"), dict):
        raise UnreadableLine("not an event: expected an object with metadata")
    for key in ("event_id", "name", "user_id"):
        _text(line_values, key)
    _whole(line_values, "time")
    metadata = line_values["metadata"]
    _flag(line_values, "simulated")
    _flag(metadata, "simulated")
    if line_values["name"] == EXPOSURE:
        _flag(metadata, "forced")
        _text(metadata, "experiment")
        _run(metadata)
        if metadata.get("group") is not None:
            _text(metadata, "group")
    elif line_values["name"] == CHAT_COMPLETION:
        _text(metadata, "experiment")
        _text(metadata, "answer_id")
        _run(metadata)
        _text(line_values, "value")
        for key in ("response_time", "time_to_first_token", "completion_tokens", "cost_usd"):
            _number(metadata, key)
    elif line_values["name"] in (*RATINGS, RATING_WITHDRAWN, *SIGNALS):
        _text(metadata, "answer_id")
    elif line_values["name"] == PREFERENCE:
        _text(line_values, "value")
        for key in ("experiment", "comparison_id", "left", "right"):
            _text(metadata, key)
        _run(metadata)
    return line_values


def _text(values: Mapping[str, Any], key: str) -> None:
    if not isinstance(values.get(key), str) or not values[key]:
        raise UnreadableLine(f"{key} is missing" if values.get(key) is None else f"{key} is not a text")


def _whole(values: Mapping[str, Any], key: str) -> None:
    value = values.get(key)
    if not _is_number(value):
        raise UnreadableLine(f"{key} is missing" if value is None else f"{key} is not a number of milliseconds")


def _run(values: Mapping[str, Any]) -> None:
    run = values.get("run")
    if run is not None and not (isinstance(run, int) and not isinstance(run, bool) and 0 < run < LARGEST):
        raise UnreadableLine("run is not a number of a run")


def _number(values: Mapping[str, Any], key: str) -> None:
    value = values.get(key)
    if value is not None and not _is_number(value):
        raise UnreadableLine(f"{key} is not a number")


def _flag(values: Mapping[str, Any], key: str) -> None:
    if not isinstance(values.get(key), bool | None):
        raise UnreadableLine(f"{key} is neither true nor false")


def _is_number(value: Any) -> bool:
    """Return True for a number that is not NaN, infinite, or beyond what the database holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST
