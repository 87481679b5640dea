"""One question's request: its messages and options, and how they adapt to a server's refusals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.models.refusals import NAMES, SYSTEM_PROMPT, Options, Refusals

Message = Mapping[str, str]


class Request:
    """The requested messages and options, and those that remain after refusals of this request."""

    def __init__(self, messages: list[dict[str, str]], wanted: Mapping[str, Any]) -> None:
        self.messages: list[dict[str, str]] = messages
        self.wanted = wanted
        self._without: set[str] = set()

    @property
    def has_system(self) -> bool:
        """True where the first message is a system prompt."""
        return bool(self.messages) and self.messages[0]["role"] == "system"

    @property
    def texts(self) -> list[str]:
        """Every text of the request."""
        return [message["content"] for message in self.messages]

    def options(self, refusals: Refusals, model: str) -> Options:
        """Return the options that are sent to this model, and those that are left out."""
        options = refusals.options(model, self.wanted, self._without)
        if self.has_system and not refusals.takes_system(model):
            return replace(options, dropped=(*options.dropped, SYSTEM_PROMPT))
        return options

    def body(self, refusals: Refusals, model: str) -> dict[str, Any]:
        """Return the body of the request to this model, without the model's name."""
        messages = self.messages
        if self.has_system and not refusals.takes_system(model):
            messages = merged(messages)
        return {"messages": messages, **self.options(refusals, model).sent}

    def shorten(self, *, about_limit: bool) -> bool:
        """Reduce the request: drop the limit that the refusal is about, else half of the history.

        The older half goes. Return False when only the question is left.
        """
        limits = {name for name in self.wanted if name in NAMES} - self._without
        if limits and about_limit:
            self._without |= limits
            return True
        head = self.messages[:1] if self.has_system else []
        turns = self.messages[len(head) :]
        if len(turns) > 1:
            self.messages = [*head, *turns[2 * max(1, len(turns) // 4) :]]
            return True
        self._without |= limits
        return bool(limits)


def merged(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages with the system prompt in front of the first question, as llama.cpp does.

    >>> merged([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
    [{'role': 'user', 'content': 'Be kind.\\n\\nHi'}]
    """
    system, *others = messages
    if not others:
        return [{"role": "user", "content": system["content"]}]
    first = {**others[0], "content": f"{system['content']}\n\n{others[0]['content']}"}
    return [first, *others[1:]]
