"""Frames of a model server's stream, read into the facts of an answer.

Owns the state of one answer while it is read; the fields of a chunk are in `chunk_fields`, its choices in `choices`.
Pure: it knows no connection, no clock and no client.
"""

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from lib.domain.completion import FinishReason, Usage
from lib.domain.models import LONGEST_NAME
from lib.domain.pieces import Anew, joined
from lib.domain.text import clean, one_line
from lib.models.choices import Choices
from lib.models.chunk_fields import (
    BROKEN,
    FINISH_REASONS,
    LITERALS,
    THOUGHT_FIELDS,
    error_in,
    inside,
    loaded_error,
    plain_reason,
    text_of,
)
from lib.models.faults import Fault
from lib.models.other_apis import api_of
from lib.models.sse import Frame
from lib.models.thinking import Thinking, plain_thought
from lib.models.usage import read_cost, read_usage

MAX_THOUGHT = 1_000_000
"""Characters of thinking after which a model is considered stuck."""
_MAX_BLANK = 1000
_DONE = b"[done]"


class Reading:
    """The facts of one answer so far. Feed it frames; its attributes are current at any time.

    `held`: the model is known to think in the text without an opening tag, so that its text waits for the closing one.
    """

    def __init__(self, max_chars: int, *, held: bool = False) -> None:
        self.model: str | None = None
        self.usage: Usage | None = None
        self.cost_usd: float | None = None  # as the server reports it
        self.finish_reason: FinishReason | None = None  # the server's finish reason, in our words
        self.contradicted = False  # text came after a finish reason, so this server's finish reasons prove nothing
        self.done = False  # [DONE] arrived
        self.heard = False  # the last frame had content: more than a role
        self.thought = False  # the last frame had thinking
        self.any_event = False
        self.completing = False  # a frame had the form of a chat completion
        self.other_api: str | None = None  # the API whose answer a frame was
        self.stray = ""  # the last data that was not JSON and did not look like it
        self._refused = False
        self._called = False
        self._max_chars = max_chars
        self._chars = 0  # shown characters
        self._received = 0  # all characters, including those not shown
        self._pieces: list[str] = []
        self._held = ""  # blank text before the first word, or half a character
        self._thoughts: list[str] = []
        self._thought_chars = 0
        self._thinking = Thinking(self._note, held=held)
        self._choices = Choices()

    @property
    def text(self) -> str:
        """All text of the answer that was shown."""
        return "".join(self._pieces)

    @property
    def reasoning(self) -> str:
        """The model's thinking, as far as the server sent it."""
        return plain_thought("".join(self._thoughts)).strip()

    @property
    def begun(self) -> bool:
        """True once any text was shown."""
        return self._chars > 0

    @property
    def unopened(self) -> bool:
        """True where thinking ended in text that no tag had opened."""
        return self._thinking.unopened

    @property
    def full(self) -> bool:
        """True where the answer, or the thinking before it, has reached its cap."""
        return self._received >= self._max_chars or self._thought_chars >= MAX_THOUGHT

    @property
    def outcome(self) -> FinishReason | None:
        """The finish reason of a complete answer; None when it is cut off or unknown.

        Text without a finish reason but with a clean [DONE] is whole: some servers never send the reason.
        """
        if self._refused:
            return "refusal"
        if self.full and (self.begun or self._thought_chars >= MAX_THOUGHT):
            return "length"
        if self._called and not self.begun and (self.done or self.finish_reason):
            return "tool_calls"
        if self.begun:
            return self.finish_reason or ("stop" if self.done else None)
        return None if self.finish_reason == "stop" else self.finish_reason

    def take(self, frame: Frame) -> str:
        """Read one frame; return the text to show, often none.

        The text is `Anew` where it turns out that all text before it was thinking. Raises Fault for an error that the
        server reports, ValueError for broken JSON and for what is not UTF-8. Plain words, which some servers send as
        a heartbeat, are ignored.
        """
        self.heard = self.thought = False
        data = frame.data.strip()
        if not frame.error and data[:8].strip(b'"').lower().startswith(_DONE):
            self.done = self.heard = self.any_event = True
            return ""
        text = data.decode()  # decoded here, because json.loads would accept half characters in bytes
        if frame.error:
            self.any_event = True
            raise Fault.reported(loaded_error(text))
        if text[:1].isalpha() and text not in LITERALS:
            self.stray = text[:_MAX_BLANK]
            return ""
        value = json.loads(text)
        self.any_event = True
        if not isinstance(value, list):
            return self._chunk(value)
        return reduce(joined, map(self._chunk, value), "")

    def rest(self) -> str:
        """Return the text that was held back when the stream ended; it is `Anew` as in `take`. Raises Fault."""
        answered = bool(self._received or self._refused or self._called or self.finish_reason)
        held = reduce(joined, map(self._choice, self._choices.rest(answered=answered)), "")
        return joined(held, self._show(self._thinking.rest()))

    def _chunk(self, chunk: object) -> str:
        if not isinstance(chunk, dict):
            return ""
        if error := error_in(chunk):
            raise Fault.reported(error)
        if not self.model and isinstance(model := chunk.get("model"), str):
            self.model = one_line(model, LONGEST_NAME) or None
        choices = chunk.get("choices")
        if choices is None and not self.completing and not self.other_api:
            self.other_api = api_of(chunk)
        self.completing = self.completing or isinstance(choices, list)
        picked = self._choices.pick(choices) if isinstance(choices, list) else []
        in_choice = picked[0].get("usage") if picked else None
        if usage := chunk.get("usage") or in_choice or inside(chunk.get("x_groq"), "usage"):
            self.usage = read_usage(usage, self.usage)
            self.cost_usd = read_cost(usage, self.cost_usd)
        if choices and not picked:  # of another choice, or held back
            self.heard = True
        if len(picked) == 1:
            return self._choice(picked[0])
        return reduce(joined, map(self._choice, picked), "")

    def _choice(self, choice: Mapping[str, Any]) -> str:
        if error := choice.get("error"):
            raise Fault.reported(error)
        delta = choice.get("delta")
        if not delta and isinstance(choice.get("text"), str):  # the older completions API
            delta = {"content": choice["text"]}
        elif not delta and not self.begun:
            delta = choice.get("message")  # a whole answer
        if isinstance(delta, str):
            delta = {"content": delta}
        shown = self._delta(delta) if isinstance(delta, dict) else ""
        if shown and self.finish_reason:
            self.contradicted = True
        if reason := plain_reason(choice.get("finish_reason")):
            if reason in BROKEN:
                raise Fault("APIError", text=f"finish_reason {reason}")
            finish = FINISH_REASONS.get(reason, "stop")
            if finish != "stop" or shown or not self.finish_reason:
                self.finish_reason = finish
            self.heard = True
        return shown

    def _delta(self, delta: Mapping[str, Any]) -> str:
        if len(delta) == 1 and isinstance(text := delta.get("content"), str) and text:  # nearly every chunk
            self.heard = True
            return self._answer(text)
        for name in THOUGHT_FIELDS:
            if thought := text_of(delta.get(name)):
                self._note(thought)
                break
        content, shown = delta.get("content"), ""
        if isinstance(content, str):
            if content:
                self.heard = True
                shown = self._answer(content)
        elif isinstance(content, list | dict):
            shown = self._parts(content if isinstance(content, list) else [content])
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            self.heard = self._refused = True
            shown = joined(shown, self._show(refusal))
        if delta.get("tool_calls") or delta.get("function_call"):
            self._called = True
        self.heard = self.heard or any(value for name, value in delta.items() if name != "role")
        return shown

    def _parts(self, parts: Sequence[object]) -> str:
        """Read content that comes as a list of parts: texts are shown, thinking is not, the rest is ignored."""
        shown = ""
        for part in parts:
            part_type = part.get("type", "text") if isinstance(part, dict) else "text"
            if part_type in ("text", "output_text"):
                if text := text_of(part):
                    shown = joined(shown, self._answer(text))
            elif part_type == "refusal" and isinstance(part, dict) and (text := text_of(part.get("refusal"))):
                self._refused = True
                shown = joined(shown, self._show(text))
            elif ("think" in str(part_type) or "reason" in str(part_type)) and (text := text_of(part)):
                self._note(text)
        return shown

    def _answer(self, content: str) -> str:
        """Read a piece of the answer's text, which may contain thinking in tags."""
        self._received += len(content)
        piece = self._thinking.feed(content)
        if not self._thinking.withdrawn:
            return self._show(piece)
        self._pieces, self._chars, self._held = [], 0, ""
        return Anew(self._show(piece))

    def _note(self, thought: str) -> None:
        if thought:
            self.thought = self.heard = True
            if self._thought_chars < self._max_chars:
                self._thoughts.append(clean(thought))
            self._thought_chars += len(thought)

    def _show(self, piece: str) -> str:
        if not piece:
            return ""
        piece, self._held = self._held + piece, ""
        if not self._chars and piece.isspace():
            self._held = piece[-_MAX_BLANK:]
            return ""
        if "\ud800" <= piece[-1] <= "\udbff":  # the other half comes with the next event
            piece, self._held = piece[:-1], piece[-1]
        piece = clean(piece)[: self._max_chars - self._chars]
        if piece:
            self._chars += len(piece)
            self._pieces.append(piece)
        return piece
