"""A model server's error in any shape, as one value: its words, codes, status and delay.

Owns the shapes: an object or a list, an error in an error, validation errors, JSON inside a message, Google's details,
OpenRouter's error of the provider behind it. Knows no meaning of any of them. Pure.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGE = 20_000
"""Characters of a message that are examined."""
LONGEST_DELAY_S = 86_400.0
"""The longest delay that is believed, in seconds; a longer one counts as this."""
_DEPTH = 10
_WORDS = ("message", "msg", "status_msg", "error_msg", "detail", "error_description", "title", "error", "reason")
_CODES = ("code", "type", "status", "status_code", "error_type", "error_code", "reason", "error", "name")
_INSIDE = (
    "error", "errors", "detail", "details", "message", "innererror", "metadata", "raw", "body", "violations",
    "fieldViolations", "issues", "base_resp",
)  # fmt: skip
_STATUS_WORDS: Mapping[int, frozenset[str]] = {
    400: frozenset({"invalid_request_error", "invalid_argument", "badrequesterror", "bad_request"}),
    401: frozenset({"invalid_api_key", "authentication_error", "unauthenticated", "unauthorized", "auth_error"}),
    403: frozenset({"permission_denied", "permission_error", "forbidden"}),
    404: frozenset({"model_not_found", "not_found", "not_found_error", "notfounderror"}),
    429: frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "resource_exhausted",
                    "insufficient_quota"}),
    500: frozenset({"server_error", "internal_error", "internal_server_error", "api_error", "internal"}),
    503: frozenset({"overloaded", "overloaded_error", "engine_overloaded", "unavailable", "unavailable_error",
                    "service_unavailable"}),
    504: frozenset({"timeout", "deadline_exceeded"}),
}  # fmt: skip
"""The status of a code, for an error inside a stream, which has none."""
_RETRY = re.compile(r"(?:retry|try again)\s+(?:in|after)\s+((?:[\d.]+\s*[hms]\w*\s*)+)", re.I)
_AMOUNT = re.compile(r"([\d.]+)\s*(ms|milli|h|m|s)", re.I)
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BY_THE_DAY = re.compile(r"per[ _-]?day|daily (?:limit|quota)", re.I)


@dataclass(frozen=True, slots=True)
class Report:
    """A server's error. `codes`: every short word of it, in lower case, the most specific first.

    `status` is the HTTP status that the error names by number or by code, `retry_after` seconds. `daily`: it is about a
    day's limit.
    """

    text: str = ""
    codes: tuple[str, ...] = ()
    param: str | None = None
    status: int | None = None
    retry_after: float | None = None
    daily: bool = False


@dataclass(slots=True)
class _Parts:
    words: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    daily: bool = False


def read_report(error: object) -> Report:
    """Return the report of an error, be it a text, an object or a list.

    >>> report = read_report([{"error": {"code": 429, "message": "slow down", "details": [{"retryDelay": "8s"}]}}])
    >>> report.text, report.status, report.retry_after
    ('slow down', 429, 8.0)
    >>> read_report({"detail": [{"loc": ["body", "seed"], "msg": "not permitted", "input": "my text"}]}).text
    'body.seed: not permitted'
    """
    parts = _Parts()
    _collect(error, parts, 0)
    codes = tuple(dict.fromkeys(code.lower() for code in parts.codes))
    text = ": ".join(dict.fromkeys(words.strip() for words in parts.words if words.strip()))
    if not text and error:
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False, default=str)
    return Report(
        text=text[:MAX_MESSAGE],
        codes=codes,
        param=next(iter(parts.params), None),
        status=next(_statuses(codes), None),
        retry_after=next(iter(parts.delays), read_delay(text)),
        daily=parts.daily or bool(_BY_THE_DAY.search(text)),
    )


def read_delay(text: str) -> float | None:
    """Return the seconds that a text asks to wait.

    >>> [read_delay(text) for text in ("Please retry in 8.2s.", "try again in 7m12.5s", "retry after 820ms", "later")]
    [8.2, 432.5, 0.82, None]
    >>> read_delay(f"retry in {'9' * 400}s")
    86400.0
    """
    match = _RETRY.search(text)
    if not match:
        return None
    try:
        seconds = sum(float(amount) * _UNITS[unit.lower()] for amount, unit in _AMOUNT.findall(match[1]))
        return at_most_a_day(round(seconds, 3))
    except (ValueError, OverflowError):
        return None


def at_most_a_day(seconds: float) -> float:
    """Return a delay that a sentence can name.

    >>> at_most_a_day(7.5), at_most_a_day(float("inf")), at_most_a_day(-1.0), at_most_a_day(float("nan"))
    (7.5, 86400.0, 0.0, 0.0)
    """
    return min(max(0.0, seconds), LONGEST_DELAY_S)


def _collect(value: object, parts: _Parts, depth: int) -> None:
    if isinstance(value, str):
        _collect_text(value[:MAX_MESSAGE], parts, depth)
    elif isinstance(value, list) and depth < _DEPTH:
        for item in value[:20]:
            _collect(item, parts, depth + 1)
    elif isinstance(value, Mapping) and depth < _DEPTH:
        _collect_object(value, parts, depth)


def _collect_object(value: Mapping[str, Any], parts: _Parts, depth: int) -> None:
    if isinstance(value.get("loc"), list | tuple):  # a validation error, whose `input` repeats the question
        place = ".".join(str(part) for part in value["loc"])
        parts.words.append(f"{place}: {value.get('msg')}")
        return
    if isinstance(delay := value.get("retryDelay"), str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
        parts.delays.append(at_most_a_day(float(delay[:-1])))
    if param := _param(value):
        parts.params.append(param)
    parts.daily |= bool(_BY_THE_DAY.search(str(value.get("quotaId") or "")))
    parts.codes += [str(code) for name in _CODES if isinstance(code := value.get(name), str | int) and _short(code)]
    messages = [text for name in _WORDS if isinstance(text := value.get(name), str)]
    if messages and not (depth and value.keys() & {"@type"}):
        _collect_text(messages[0][:MAX_MESSAGE], parts, depth)
    for name in _INSIDE:
        inner = value.get(name)
        if isinstance(inner, Mapping | list) or (name in ("raw", "body") and isinstance(inner, str)):
            _collect(inner, parts, depth + 1)


def _param(value: Mapping[str, Any]) -> str:
    """Return the path to the parameter that an error is about; "" where it names none.

    >>> [_param(error) for error in ({"param": "None"}, {"path": ["body", "seed"]}, {"path": "/v1"}, {"field": "seed"})]
    ['', 'body.seed', '', 'seed']
    """
    for name in ("param", "path", "field"):
        path = value.get(name)
        if isinstance(path, list):
            path = ".".join(str(part) for part in path)
        elif name == "path":  # a string is the request's path
            continue
        if isinstance(path, str) and path.lower() not in ("", "none", "null"):
            return path
    return ""


def _collect_text(text: str, parts: _Parts, depth: int) -> None:
    """Read a message; where it holds an error as JSON (or as Python writes it), read that."""
    start = min((at for at in (text.find("{"), text.find("[{")) if at >= 0), default=-1)
    inner = _parsed(text[start:]) if start >= 0 and depth < _DEPTH else None
    if inner is None:
        parts.words.append(text)
        return
    before = text[:start].strip(" -:b'\"")
    if before:
        parts.words.append(before)
    _collect(inner, parts, depth + 1)


def _parsed(text: str) -> list[Mapping[str, Any]] | None:
    """Return the objects that a text begins with, if they are errors."""
    value: object = None
    try:
        value = json.JSONDecoder().raw_decode(text)[0]
    except RecursionError:
        return None
    except ValueError:
        try:
            value = ast.literal_eval(text[: max(text.rfind("}"), text.rfind("]")) + 1])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    telling = {*_WORDS, "loc"}
    items = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]
    return items if items and all(telling & item.keys() for item in items) else None


def _short(code: str | int) -> bool:
    return not isinstance(code, bool) and bool(re.fullmatch(r"[\w.:-]{1,80}", str(code)))


def _statuses(codes: tuple[str, ...]) -> Iterator[int]:
    yield from (int(code) for code in codes if re.fullmatch(r"[45]\d\d", code))
    for code in codes:
        yield from (status for status, words in _STATUS_WORDS.items() if code in words)
