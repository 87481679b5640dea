"""The parameters of an experiment's groups: their types and ranges, and the treatment of bad values. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lib.domain.events import MAX_STRING
from lib.domain.providers import OPENAI
from lib.domain.text import clean

MAX_MODEL = 128
"""Longest model name in characters, the store's limit."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
VERBOSITIES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a question. `options` go into the request as they are; `error` names the rejected ones.

    `system_prompt` None: none is sent. `error` is what the completion carries as `parameter_error`.
    """

    model: str
    system_prompt: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    provider: str = OPENAI

    @property
    def answer_tokens(self) -> int | None:
        """The longest answer in tokens, where the group sets one."""
        limits = [self.options[name] for name in ("max_tokens", "max_completion_tokens") if name in self.options]
        return min(limits, default=None)

    def capped(self, tokens: int) -> "Parameters":
        """Return these parameters, with a cap on the answer's tokens where there is none.

        >>> Parameters("m").capped(5).options, Parameters("m", options={"max_tokens": 9}).capped(5).options
        ({'max_completion_tokens': 5}, {'max_tokens': 9})
        """
        return self if self.answer_tokens else replace(self, options={**self.options, "max_completion_tokens": tokens})


def check_parameters(
    raw: Mapping[str, Any], defaults: Mapping[str, Any], model: str, providers: Sequence[str] = (OPENAI,)
) -> Parameters:
    """Return a group's parameters as they can be sent.

    A value of the wrong type or range is replaced by the experiment's default where that is valid, and otherwise not
    sent; an unknown name is not sent. `error` has the names of all of these. Where neither `raw` nor `defaults` names a
    model or a provider, `model` and the first of `providers` are used.

    >>> sent = check_parameters({"model": "a", "temperature": 3, "top_k": 5}, {"temperature": 0.5}, "m")
    >>> sent.model, sent.options, sent.error
    ('a', {'temperature': 0.5}, 'temperature,top_k')
    >>> sent = check_parameters({"seed": 7.0, "stop": ["a", "b"], "system_prompt": " "}, {}, "m")
    >>> sent.model, sent.system_prompt, sent.options, sent.error
    ('m', None, {'seed': 7, 'stop': ['a', 'b']}, None)
    >>> sent = check_parameters({"provider": "gone"}, {"provider": "local"}, "m", ["openai", "local"])
    >>> sent.provider, sent.error
    ('local', 'provider')
    """
    checks = {**_CHECKS, "provider": _one_of(providers)}
    good: dict[str, Any] = {}
    bad: list[str] = []
    base = {"model": defaults.get("model", model), "provider": defaults.get("provider", providers[0])}
    for name, value in {**base, **raw}.items():
        check = checks.get(name)
        checked = check(value) if check else None
        if checked is None:
            bad.append(name)
            checked = check(defaults.get(name)) if check else None
        if checked is not None:
            good[name] = checked
    return Parameters(
        model=good.pop("model", model),
        provider=good.pop("provider", providers[0]),
        system_prompt=good.pop("system_prompt", "").strip() or None,
        options=good,
        error=_joined(bad),
    )


def _joined(bad: list[str]) -> str | None:
    return clean(",".join(sorted(str(name) for name in bad)))[:MAX_STRING] or None


Check = Callable[[Any], Any]
"""A check returns the value to send, or None."""


def _number(low: float, high: float) -> Check:
    """
    >>> [_number(0, 2)(value) for value in (0, 2.0, 2.1, True, "0.5", float("nan"), None)]
    [0, 2.0, None, None, None, None, None]
    """

    def check(value: Any) -> float | None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and low <= value <= high else None  # no comparison with NaN holds

    return check


def _whole(low: int, high: int) -> Check:
    """Check a whole number, which JSON may carry as a float.

    >>> [_whole(1, 9)(value) for value in (1, 3.0, 2.5, 0, True, "3", float("inf"))]
    [1, 3, None, None, None, None, None]
    """
    in_range = _number(low, high)

    def check(value: Any) -> int | None:
        value = in_range(value)
        return int(value) if value is not None and value == int(value) else None

    return check


def _one_of(names: Sequence[str]) -> Check:
    """
    >>> [_one_of(["openai", "local"])(value) for value in (" Local", "gone", None, 4)]
    ['local', None, None, None]
    """

    def check(value: Any) -> str | None:
        name = value.strip().lower() if isinstance(value, str) else None
        return name if name in names else None

    return check


def _model(value: Any) -> str | None:
    """
    >>> [_model(value) for value in (" llama3.2 ", "", "a\\x00b", "x" * 129, 4)]
    ['llama3.2', None, None, None, None]
    """
    name = value.strip() if isinstance(value, str) else ""
    return name if 0 < len(name) <= MAX_MODEL and name.isprintable() else None


def _text(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _stop(value: Any) -> str | list[str] | None:
    """
    >>> [_stop(value) for value in ("END", ["a", "b"], "", [], ["a"] * 5, ["a", 1])]
    ['END', ['a', 'b'], None, None, None, None]
    """
    if isinstance(value, str):
        return clean(value) or None
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 4:
        return None
    return [clean(item) for item in value] if all(isinstance(item, str) and clean(item) for item in value) else None


def _effort(value: Any) -> str | None:
    return value if isinstance(value, str) and value in EFFORTS else None


def _verbosity(value: Any) -> str | None:
    return value if isinstance(value, str) and value in VERBOSITIES else None


_CHECKS: Mapping[str, Check] = {
    "model": _model,
    "system_prompt": _text,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "max_tokens": _whole(1, 2**31 - 1),
    "max_completion_tokens": _whole(1, 2**31 - 1),
    "seed": _whole(-(2**63), 2**63 - 1),
    "stop": _stop,
    "reasoning_effort": _effort,
    "verbosity": _verbosity,
}
