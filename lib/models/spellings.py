"""Names of parameters as model servers spell them in errors: in camel case, by an older name, or in a phrase. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping

_LIMITS = ("max_tokens", "max_completion_tokens")
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "max_output_tokens": _LIMITS, "max_new_tokens": _LIMITS,  # Gemini, Anthropic; Hugging Face
    "thinking_level": ("reasoning_effort",), "thinking_budget": ("reasoning_effort",),  # Gemini
    "stop_sequences": ("stop",),
}  # fmt: skip
"""Names that servers use for a parameter, in snake case."""
_PHRASES: Mapping[str, tuple[str, ...]] = {
    r"thinking (?:level|mode|budget)|support (?:thinking|reasoning)\b|reasoning (?:value|level|effort|mode)"
    r"|budget \d+ is invalid": ("reasoning_effort",),
    r"\bpenalty is not\b": ("presence_penalty", "frequency_penalty"),
}  # fmt: skip
"""Sentences of Gemini and Ollama about a parameter that they do not name."""
_OBJECTS: Mapping[str, tuple[str, ...]] = {**_ALIASES, "reasoning": ("reasoning_effort",)}
"""The same in a path, where `reasoning.effort` is a field of the newer API."""
_AROUND = {"body", "request", "params", "parameters", "generation_config", "config", "options", "root", "input", "text"}
"""Words before the name in a path such as `body.seed`."""
_REPEATED = re.compile(
    r"[\"']\w+[\"']\s*:\s*(?:-?\d[\d.]*|true\b|false\b|[\"'](?:none|minimal|low|medium|high|xhigh|max)[\"'])", re.I
)
"""A parameter in a repetition of the request, with its value."""


def snake(word: str) -> str:
    """Return a name in snake case.

    >>> [snake(word) for word in ("presencePenalty", "TopP", "seed", "MaxTokens")]
    ['presence_penalty', 'top_p', 'seed', 'max_tokens']
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower()


def named_in(text: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the parameters that a text names: the spelling in the text, and the parameter.

    >>> list(named_in('{"seed": 7} has seed, maxOutputTokens', ["seed", "max_tokens"]))
    [('seed', 'seed'), ('maxOutputTokens', 'max_tokens')]
    >>> list(named_in("Thinking level LOW is not supported", ["reasoning_effort"]))
    [('Thinking level', 'reasoning_effort')]
    """
    text = _REPEATED.sub("", text)
    for word in re.findall(r"\w+", text):
        plain = snake(word)
        yield from ((word, name) for name in (plain, *_ALIASES.get(plain, ())) if name in names)
    for phrase, parameters in _PHRASES.items():
        if match := re.search(phrase, text, re.IGNORECASE):
            yield from ((match[0], name) for name in parameters if name in names)


def named_by(path: str, names: Collection[str]) -> str | None:
    """Return the parameter that a path leads to; None where it leads elsewhere.

    >>> [named_by(path, ["seed", "reasoning_effort"]) for path in ("body.seed", "$.seed", "/seed", "reasoning.effort")]
    ['seed', 'seed', 'seed', 'reasoning_effort']
    >>> named_by("messages[0].seed", ["seed"]), named_by("text.verbosity", ["verbosity"])
    (None, 'verbosity')
    """
    words = [snake(word) for word in re.findall(r"\w+", path)]
    first = next((word for word in words if word not in _AROUND), "")
    return next((name for name in (first, *_OBJECTS.get(first, ())) if name in names), None)
