"""The thinking of a model that arrives inside the text of its answer, told apart from the answer.

Many servers leave the tags in the text. They count at the start of an answer only: `<think>` (DeepSeek R1, Qwen and
most others, through llama.cpp, Ollama or vLLM without a reasoning parser), `<thinking>` and `<reasoning>` (models that
were prompted or tuned to it, such as Granite), `<thought>` (Gemini's OpenAI endpoint), `<seed:think>` (Seed-OSS),
`[THINK]` (Magistral). Templates that write the opening tag into the prompt leave the closing one alone in the answer.
Pure.
"""

import re
from collections.abc import Callable
from enum import Enum, auto

TAGS = {
    "<think>": "</think>", "<thinking>": "</thinking>", "<thought>": "</thought>", "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>", "[think]": "[/think]",
}  # fmt: skip
"""Opening tags and their closing tags, in lower case."""
_ALL = (*TAGS, *TAGS.values())
_LONGEST = max(map(len, _ALL))
_ANY = re.compile("|".join(map(re.escape, _ALL)), re.IGNORECASE)
_CLOSING = {tag: re.compile(re.escape(tag), re.IGNORECASE) for tag in TAGS.values()}
_UNOPENED = re.compile("|".join(map(re.escape, TAGS.values())), re.IGNORECASE)
_FENCE = re.compile(r"^[ \t>]*(?:```|~~~)", re.MULTILINE)
_LEAD = re.compile(r"\A(?:[ \t]*\r?\n)*(?: {1,3}(?! ))?")
_MAX_BLANK = 1000


class State(Enum):
    """What the text that arrives now belongs to."""

    START = auto()  # not known yet: blank, or the beginning of a tag
    THINKING = auto()
    HELD = auto()  # thinking, if a closing tag ends it; the answer, if none does
    ANSWER = auto()


class Thinking:
    """Splits the text of one answer, piece by piece, into thinking, which is handed to `note`, and the answer.

    `held`: the model is known to leave its opening tag out, so that all text waits for the closing one.
    """

    def __init__(self, note: Callable[[str], None], *, held: bool = False) -> None:
        self.state = State.START
        self.withdrawn = False
        """The last piece showed that all text given out before it was thinking."""
        self.unopened = False
        """A closing tag came that no opening tag came before."""
        self._note, self._hold = note, held
        self._closing = _UNOPENED
        self._buffer = ""  # text that may be, or end with, a part of a tag
        self._passed: list[str] = []  # the answer so far, or what was held, while a closing tag may still claim it
        self._thought = False  # a stretch of thinking has ended
        self._settled = False  # no tag counts any more

    def feed(self, piece: str) -> str:
        """Return the part of the answer that this piece completes.

        >>> thoughts = []
        >>> one = Thinking(thoughts.append)
        >>> [one.feed(piece) for piece in ("\\n<th", "ink>Hm", "m.</thi", "nk>\\n\\nYes", ", <think> is a tag.")]
        ['', '', '', 'Yes', ', <think> is a tag.']
        >>> "".join(thoughts)
        'Hmm.'
        >>> one = Thinking(thoughts.append)
        >>> [one.feed("Let me see."), one.feed("\\n</think>\\n\\n4"), one.withdrawn]
        ['Let me see.', '4', True]
        """
        self.withdrawn = False
        if self._settled:
            return piece
        self._buffer += piece
        while True:
            before = self.state
            shown = self._step()
            if shown is not None or self.state is before:
                return shown or ""

    def rest(self) -> str:
        """Return the text that still waited when the stream ended.

        What was held for a closing tag that never came is the answer. A closing tag at the very end closes nothing.
        """
        self.withdrawn = False
        buffer, self._buffer = self._buffer, ""
        state, self.state = self.state, State.ANSWER
        if state is State.THINKING:
            self._note(buffer)
            return ""
        if state is State.HELD:
            return "".join(self._passed) + buffer
        return "" if not buffer.strip() or _UNOPENED.fullmatch(buffer) else buffer

    def _step(self) -> str | None:
        """Return the text to show, "" to wait for more, or None where the state has changed."""
        if self.state is State.START:
            return self._start()
        if self.state is State.ANSWER:
            return self._answer()
        return self._think()

    def _start(self) -> str | None:
        text = self._buffer.lstrip()
        if not text:
            self._buffer = self._buffer[-_MAX_BLANK:]
            return ""
        head = text[:_LONGEST].lower()
        for tag, closing in TAGS.items():
            if head.startswith(tag):
                self.state, self._closing, self._buffer = State.THINKING, _CLOSING[closing], text[len(tag) :]
                return None
            if tag.startswith(head):
                return ""
        if self._thought:
            self._buffer = _LEAD.sub("", self._buffer)
        self.state = State.HELD if self._hold and not self._thought else State.ANSWER
        return None

    def _think(self) -> str | None:
        if found := self._closing.search(self._buffer):
            self._passed.append(self._buffer[: found.start()])
            self._note("".join(self._passed))
            self.unopened |= self.state is State.HELD
            self._ended(found.end())
            return None
        sure = len(self._buffer) - _unsure(self._buffer)
        thought, self._buffer = self._buffer[:sure], self._buffer[sure:]
        if self.state is State.HELD:
            self._passed.append(thought)
        else:
            self._note(thought)
        return ""

    def _answer(self) -> str | None:
        if self._thought:
            self._settled = True
            return self._rest_of_buffer()
        found = _ANY.search(self._buffer)
        if found is None:
            sure = len(self._buffer) - _unsure(self._buffer)
        elif found.end() == len(self._buffer):
            sure = found.start()  # what follows the tag says what it is
        else:
            return self._judge(found)
        shown, self._buffer = self._buffer[:sure], self._buffer[sure:]
        self._passed.append(shown)
        return shown

    def _judge(self, tag: re.Match[str]) -> str | None:
        """Decide, once, what the first tag of a text is that began without one."""
        given = "".join(self._passed)
        before = given + self._buffer[: tag.start()]
        if tag[0].lower() in TAGS or _in_code(before) or _in_prose(before, self._buffer[tag.end()]):
            self._settled = True
            return self._rest_of_buffer()
        self._note(before)
        self.withdrawn = self.unopened = True
        self._ended(tag.end())
        return None

    def _ended(self, end: int) -> None:
        self.state, self._thought = State.START, True
        self._buffer, self._passed = self._buffer[end:], []

    def _rest_of_buffer(self) -> str:
        shown, self._buffer, self._passed = self._buffer, "", []
        return shown


def _unsure(text: str) -> int:
    """Return the length of the end of a text that may be the beginning of a tag.

    >>> [_unsure(text) for text in ("a <th", "a < b", "a", "[/thi", "<<")]
    [3, 0, 0, 5, 1]
    """
    start = max(text.rfind("<"), text.rfind("["))
    if start < 0 or len(text) - start >= _LONGEST:
        return 0
    tail = text[start:].lower()
    return len(tail) if any(tag.startswith(tail) for tag in _ALL) else 0


def _in_code(before: str) -> bool:
    """Return whether what follows this text is inside a block or a span of code.

    >>> [_in_code(text) for text in ("so\\n```html\\n", "```\\na\\n```\\n", "the tag `", "`a` and ")]
    [True, False, True, False]
    """
    if len(_FENCE.findall(before)) % 2:
        return True
    return len(re.findall("`+", before.rpartition("\n\n")[2])) % 2 == 1


def _in_prose(before: str, after: str) -> bool:
    """Return whether a tag between these is spoken of: it stands between words, or in quotes.

    >>> _in_prose("The tag ", " ends it."), _in_prose("Done.\\n", "T"), _in_prose("Done.", "T"), _in_prose("a ", "\\n")
    (True, False, False, False)
    """
    return before[-1:] in {" ", "\t", '"', "'", "(", "“", "‘"} and after not in "\r\n"
