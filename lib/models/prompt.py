"""The messages for a model: the conversation within a budget of tokens, oldest turns left out first. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence

HISTORY_TOKENS = 6_000
"""Estimated tokens of a question with its history where the model's context is unknown."""
MAX_HISTORY_TOKENS = 32_000
"""The same where the context is known and the operator set no limit. Each question pays for its history again: with a
window of a million tokens, a long conversation's question would cost dollars instead of cents."""
_ANSWER_SHARE = 0.25
_PER_MESSAGE = 4

Exchange = tuple[str | None, str | None]
"""A question and its answer, None where a text is not known."""


def estimate(text: str) -> int:
    """Estimate the tokens of a text: a quarter of its UTF-8 bytes, which is four characters of English, or one and a
    third of Chinese.

    >>> estimate("abcd" * 10), estimate("a"), estimate(""), estimate("你好世界")
    (10, 1, 0, 3)
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // 4)


def estimate_messages(messages: Iterable[Mapping[str, str]]) -> int:
    """Estimate the tokens of all messages."""
    return sum(_PER_MESSAGE + estimate(message["content"]) for message in messages)


def history_tokens(context: int | None, answer: int | None, wanted: int | None) -> int:
    """Return the tokens that a question may take with its history.

    A quarter of a known `context` is left for the answer, or as much as the `answer` may have. `wanted` is the
    operator's setting: it replaces the two constants, but never exceeds what the context has room for.

    >>> [history_tokens(context, None, None) for context in (None, 4_096, 8_192, 1_050_000)]
    [6000, 3072, 6144, 32000]
    >>> history_tokens(8_192, 4_000, None), history_tokens(8_192, None, 50_000), history_tokens(None, None, 50_000)
    (4192, 6144, 50000)
    """
    if context is None:
        return wanted or HISTORY_TOKENS
    reserved = max(math.ceil(context * _ANSWER_SHARE), min(answer or 0, context // 2))
    return min(wanted or MAX_HISTORY_TOKENS, context - reserved)


def trim(
    turns: Sequence[Exchange], system_prompt: str | None, budget_tokens: int = HISTORY_TOKENS
) -> list[dict[str, str]]:
    """Return the messages for the last of `turns`, which is the new question.

    The system prompt and the question are always there. Of the earlier turns with an answer's text, the latest that fit
    are included.

    >>> trim([("old", "answer"), ("failed", None), ("new", None)], "Be kind.")  # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'old'},
     {'role': 'assistant', 'content': 'answer'}, {'role': 'user', 'content': 'new'}]
    >>> trim([("old", "answer"), ("new", None)], None, budget_tokens=5)
    [{'role': 'user', 'content': 'new'}]
    """
    *earlier, (question, _) = turns
    question = question or ""
    remaining = budget_tokens - _cost(question) - (_cost(system_prompt) if system_prompt else 0)
    latest_first: list[dict[str, str]] = [{"role": "user", "content": question}]
    for earlier_question, answered in reversed(earlier):
        if not earlier_question or not answered or not answered.strip():
            continue
        remaining -= _cost(earlier_question) + _cost(answered)
        if remaining < 0:
            break
        latest_first += {"role": "assistant", "content": answered}, {"role": "user", "content": earlier_question}
    if system_prompt:
        latest_first.append({"role": "system", "content": system_prompt})
    return latest_first[::-1]


def _cost(text: str) -> int:
    return _PER_MESSAGE + estimate(text)
