"""The one choice of a stream that is the answer. Pure.

Parley never asks for several choices, but gateways with defaults of their own send them. Some servers also send one
answer under several indexes: old versions of TGI and Foundry Local number its pieces (text-generation-inference PR
#1648, foundry-local #263), LiteLLM numbered thinking 0 and text 1 (litellm #23178). A piece with another index
waits, because only the rest of the stream shows whether it belongs to the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_CHOICES = 16
"""Once this many other indexes have come, each only once, they number the pieces of one answer."""
_MAX_HELD = 1_000_000
"""Characters of pieces that wait at most."""

Choice = Mapping[str, Any]


class Choices:
    """The answer's pieces among the choices of each chunk: those of index 0, which some servers omit."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._several = False  # an index came twice, so it is that of a choice and not of a piece
        self._numbered = False
        self._held: list[tuple[int, Choice]] = []
        self._held_chars = 0

    def pick(self, choices: Sequence[object]) -> list[Choice]:
        """Return the pieces of the answer in one chunk.

        >>> one, other = {"index": 0, "text": "a"}, {"index": 1, "text": "b"}
        >>> Choices().pick([other, one, None]), Choices().pick([{"text": "c"}])
        ([{'index': 0, 'text': 'a'}], [{'text': 'c'}])
        """
        if len(choices) == 1 and isinstance(choices[0], dict) and choices[0].get("index") in (0, None):
            self._note(0)
            return [choices[0]]  # nearly every chunk
        picked: list[Choice] = []
        objects = [choice for choice in choices if isinstance(choice, dict)]
        self._several = self._several or len({_index(choice) for choice in objects}) > 1
        for choice in objects:
            index = _index(choice)
            self._note(index)
            if index:
                self._hold(index, choice)
            elif not picked:
                picked.append(choice)
        if self._numbered or (not self._several and len(self._held) >= MOST_CHOICES):
            self._numbered = True
            picked += self._release()
        return picked

    def rest(self, *, answered: bool) -> list[Choice]:
        """Return the pieces that waited and turn out to be the answer's, once the stream has ended. `answered`:
        choice 0 has text, a refusal, a tool call or a finish reason.

        >>> numbered, several = Choices(), Choices()
        >>> [numbered.pick([{"index": index}]) for index in (1, 2)], numbered.rest(answered=False)
        ([[], []], [{'index': 1}, {'index': 2}])
        >>> [several.pick([{"index": index}]) for index in (0, 1, 0)], several.rest(answered=True)
        ([[{'index': 0}], [], [{'index': 0}]], [])
        """
        if self._several:
            first = min((index for index, _ in self._held), default=0)
            self._held = [] if answered else [each for each in self._held if each[0] == first]
        return self._release()

    def _note(self, index: int) -> None:
        self._several = not self._numbered and (self._several or index in self._seen)
        self._seen.add(index)

    def _hold(self, index: int, choice: Choice) -> None:
        self._held_chars += len(str(choice))
        if self._held_chars <= _MAX_HELD:
            self._held.append((index, choice))

    def _release(self) -> list[Choice]:
        pieces, self._held, self._held_chars = [choice for _, choice in self._held], [], 0
        return pieces


def _index(choice: Choice) -> int:
    """Return a choice's index; 0 where it has none.

    >>> [_index(choice) for choice in ({"index": 2}, {"index": None}, {"index": "1"}, {})]
    [2, 0, 0, 0]
    """
    index = choice.get("index")
    return index if type(index) is int else 0
