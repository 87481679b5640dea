"""Tokens and costs as model servers report them, wherever they put them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from lib.domain.completion import Usage

COST_HEADER = "x-litellm-response-cost"
MAX_TOKENS, MAX_USD = 1_000_000_000, 1_000_000.0
"""The highest count of tokens and the highest cost of one answer that are believed."""


def read_usage(raw: object, earlier: Usage | None = None) -> Usage | None:
    """Return the server's usage, completed by an `earlier` report of the same answer.

    An unknown count is None, never zero; where there is no number at all, the earlier usage stays.

    >>> usage = read_usage({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}})
    >>> usage.total_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.source
    (7, 2, None, 'server')
    >>> begun = read_usage({"input_tokens": "3"})
    >>> read_usage({"output_tokens": 4.0}, begun).total_tokens, read_usage({"prompt_tokens": "many"}, begun) is begun
    (7, True)
    >>> read_usage({"prompt_tokens": 3, "completion_tokens": 10**400}).completion_tokens is None
    True
    >>> read_usage({"prompt_tokens": 3, "total_tokens": 7}).completion_tokens
    4
    """
    prompt, completion, total = (_first(raw, paths) for paths in (_PROMPT, _COMPLETION, _TOTAL))
    if not completion and prompt and total:
        completion = total - prompt if total > prompt else completion
    if not prompt and not completion:
        return earlier
    before = earlier or Usage()
    prompt, completion = prompt or before.prompt_tokens or prompt, completion or before.completion_tokens or completion
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    cached, reasoning, writes = (_first(raw, paths) for paths in (_CACHED, _REASONING, _CACHE_WRITES))
    return Usage(
        prompt,
        completion,
        total,
        before.cached_tokens if cached is None else cached,
        before.reasoning_tokens if reasoning is None else reasoning,
        "server",
        before.cache_write_tokens if writes is None else writes,
    )


_PROMPT = (("prompt_tokens",), ("input_tokens",))
_COMPLETION = (("completion_tokens",), ("output_tokens",))
_TOTAL = (("total_tokens",),)
_REASONING = (("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens"))
_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cache_read_input_tokens",),  # Anthropic, through LiteLLM
)
_CACHE_WRITES = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),  # LiteLLM
    ("cache_creation_input_tokens",),
)
"""The fields in which servers count tokens read from, and written to, their prompt cache."""


def _first(raw: object, paths: Iterable[tuple[str, ...]]) -> int | None:
    return next((count for path in paths if (count := _count(raw, *path)) is not None), None)


def _count(raw: object, *path: str) -> int | None:
    for name in path:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    count = _amount(raw, MAX_TOKENS)
    return None if count is None or count != int(count) else int(count)


def read_cost(usage: object, earlier: float | None = None) -> float | None:
    """Return the US dollars that a server reports for an answer (OpenRouter, LiteLLM), else the known cost.

    >>> read_cost({"cost": 0.002}), read_cost({"cost": "0.002"}), read_cost({"cost": True}, 1.0), read_cost({})
    (0.002, 0.002, 1.0, None)
    """
    cost = _amount(usage.get("cost") if isinstance(usage, Mapping) else None, MAX_USD)
    return earlier if cost is None else cost


def read_cost_header(headers: Mapping[str, str]) -> float | None:
    """Return the cost in a gateway's header. Zero means none: the header is sent before a stream has cost anything.

    >>> read_cost_header({COST_HEADER: "3.5e-05"}), read_cost_header({COST_HEADER: "0.0"}), read_cost_header({})
    (3.5e-05, None, None)
    """
    return _amount(headers.get(COST_HEADER), MAX_USD) or None


def _amount(value: Any, limit: float) -> float | None:
    """Return a number from 0 to `limit`; None for anything else, which no database or sum could carry."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount <= limit else None
