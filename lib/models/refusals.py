"""Refusals of one provider's models in this process, remembered so that no question pays for the same refusal twice.

Remembers per model: parameters that it does not take (at all, or with one value), names that it wants instead, whether
it takes a system prompt, and whether it thinks without an opening tag. A refusal because of a request's size is not
remembered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SYSTEM_PROMPT = "system_prompt"
NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Parameters with two names, of which a model takes one."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request as a model takes them. `dropped` and `renamed` have the names as they were asked for."""

    sent: Mapping[str, Any]
    dropped: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


@dataclass(slots=True)
class _ModelMemory:
    refused: set[str] = field(default_factory=set)
    values: set[tuple[str, str]] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    no_system: bool = False
    unopened: bool = False


class Refusals:
    """The memory of one provider. Written on its loop; `options` is thread-safe."""

    def __init__(self) -> None:
        self._models: dict[str, _ModelMemory] = {}

    def options(self, model: str, wanted: Mapping[str, Any], without: Iterable[str] = ()) -> Options:
        """Return the options to send of the wanted ones; `without` names some to leave out this once.

        >>> refusals = Refusals()
        >>> refusals.refuse("m", "max_tokens", 5, {"max_tokens": 5}, about_value=False)
        >>> refusals.options("m", {"max_tokens": 5, "seed": 1})
        Options(sent={'max_completion_tokens': 5, 'seed': 1}, dropped=(), renamed=('max_tokens',))
        >>> refusals.refuse("m", "seed", 1, {"seed": 1}, about_value=True)
        >>> refusals.options("m", {"seed": 1}).dropped, refusals.options("m", {"seed": 2}).dropped
        (('seed',), ())
        """
        memory, skipped = self._of(model), set(without)
        sent: dict[str, Any] = {}
        dropped, renamed = [], []
        for name, value in wanted.items():
            if name in skipped or name in memory.refused or (name, repr(value)) in memory.values:
                dropped.append(name)
            elif name in memory.renamed:
                renamed.append(name)
                sent[NAMES[name]] = value
            else:
                sent[name] = value
        return Options(sent, tuple(dropped), tuple(renamed))

    def refuse(self, model: str, name: str, value: Any, wanted: Mapping[str, Any], *, about_value: bool) -> None:
        """Remember that the model refused an option under the name that it was sent by.

        Where the option has another name, that is tried first, unless it is asked for as well or was refused before.
        """
        memory = self._of(model)
        requested = name if name in wanted else NAMES.get(name, name)
        if about_value:
            memory.values.add((requested, repr(value)))
        elif requested in memory.renamed:
            memory.renamed.discard(requested)
            memory.refused.add(requested)
        elif requested in NAMES and NAMES[requested] not in wanted and NAMES[requested] not in memory.refused:
            memory.renamed.add(requested)
        else:
            memory.refused.add(requested)

    def takes_system(self, model: str) -> bool:
        """Return False where the model is known to refuse a system prompt."""
        return not self._of(model).no_system

    def refuse_system(self, model: str) -> None:
        """Remember that the model refused a system prompt."""
        self._of(model).no_system = True

    def thinks_unopened(self, model: str) -> bool:
        """Return True where the model's last answer had thinking without an opening tag."""
        return self._of(model).unopened

    def note_thinking(self, model: str, *, unopened: bool) -> None:
        """Remember whether an answer had thinking without an opening tag."""
        self._of(model).unopened = unopened

    def _of(self, model: str) -> _ModelMemory:
        return self._models.setdefault(model, _ModelMemory())
