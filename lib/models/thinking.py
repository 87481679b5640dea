"""A model's thinking inside the text of its answer, separated from the answer.

Many servers leave the tags in the text. They count at the start of an answer only: `<think>` (DeepSeek R1, Qwen and
most others, through llama.cpp, Ollama or vLLM without a reasoning parser), `<thinking>` and `<reasoning>` (models that
were prompted or tuned to it, such as Granite), `<thought>` (Gemini's OpenAI endpoint), `<seed:think>` (Seed-OSS),
`[THINK]` (Magistral), `◁think▷` (Kimi), the channels of gpt-oss and Gemma. Templates that write the opening tag into
the prompt leave the closing one alone in the answer. Pure.
"""

import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto

TAGS = {
    "<think>": "</think>", "<thinking>": "</thinking>", "<thought>": "</thought>", "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>", "[think]": "[/think]", "<reason>": "</reason>", "◁think▷": "◁/think▷",
    "<|start_thinking|>": "<|end_thinking|>", "<|channel>thought": "<channel|>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}  # fmt: skip
"""Opening tags and their closing tags, in lower case."""
_FINAL = ("<|return|>", "<|end|>")
_FRAMES: Mapping[str, tuple[str, ...]] = {
    "<|channel|>final<|message|>": _FINAL, "<|start|>assistant<|channel|>final<|message|>": _FINAL,
    "<|start_response|>": ("<|end_response|>",), "<answer>": ("</answer>",), "<response>": ("</response>",),
}  # fmt: skip
"""Marks around the answer itself: its beginning and the marks that may end it. Plain tags count after thinking only."""
_BARE, _BARE_END = "analysis", "assistantfinal"
"""The remains of gpt-oss's channels where a server drops special tokens."""
_BARE_CLOSING = re.compile(_BARE_END)
_CHANNELS = re.compile(rf"<\|end\|>|<\|start\|>assistant|<\|channel\|>\w+<\|message\|>|\A{_BARE}(?=[A-Z])")
_ALL = (*TAGS, *TAGS.values())
_LONGEST = max(map(len, _ALL))
_STARTS = re.compile(r"[<\[◁]")
_ANY = re.compile("|".join(map(re.escape, _ALL)), re.IGNORECASE)
_OPENING = re.compile("|".join(map(re.escape, TAGS)), re.IGNORECASE)
_CLOSING = {tag: re.compile(re.escape(tag), re.IGNORECASE) for tag in TAGS.values()}
_UNOPENED = re.compile("|".join(map(re.escape, TAGS.values())), re.IGNORECASE)
_FENCE = re.compile(r"^[ \t>]*(?:```|~~~)", re.MULTILINE)
_LEAD = re.compile(r"\A(?:[ \t]*\r?\n)*(?: {1,3}(?! ))?")
_MAX_BLANK = 1000


class State(Enum):
    """The meaning of the text that arrives now."""

    START = auto()  # not known yet: blank, or the beginning of a tag
    THINKING = auto()
    HELD = auto()  # thinking, if a closing tag ends it; the answer, if none does
    ANSWER = auto()


class Thinking:
    """The text of one answer, split piece by piece into thinking, which is passed to `note`, and the answer.

    `held`: the model is known to leave its opening tag out, so that all text waits for the closing one.
    """

    def __init__(self, note: Callable[[str], None], *, held: bool = False) -> None:
        self.state = State.START
        self.withdrawn = False
        """The last piece showed that all earlier text was thinking."""
        self.unopened = False
        """A closing tag came without an opening one."""
        self._note, self._hold = note, held
        self._closing = _UNOPENED
        self._buffer = ""  # text that may contain or end with a part of a tag
        self._passed: list[str] = []  # the answer so far, or held text, while a closing tag may still claim it
        self._thought = False  # a stretch of thinking has ended
        self._nested = False  # an opening tag was inside it, so one more closing tag may follow
        self._ends: tuple[str, ...] = ()  # marks that may end the answer
        self._end = ""  # the end of the text so far, where it may be such a mark
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
        shown = piece if self._settled else self._split(piece)
        return self._hold_end(shown) if self._ends else shown

    def _split(self, piece: str) -> str:
        self._buffer += piece
        while True:
            before = self.state
            shown = self._step()
            if shown is not None or self.state is before:
                return shown or ""

    def rest(self) -> str:
        """Return the text that was held back when the stream ended.

        What was held for a closing tag that never came is the answer. A closing tag at the very end closes nothing.
        """
        self.withdrawn = False
        last = self._end + self._waiting()
        return "" if last.strip().lower() in self._ends else last

    def _waiting(self) -> str:
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
        for frame, ends in _FRAMES.items():
            if "|" in frame or self._thought:
                if head.startswith(frame):
                    self._buffer, self._ends = text[len(frame) :], ends
                    return self._start()
                if frame.startswith(head):
                    return ""
        if _BARE.startswith(text[: len(_BARE) + 1]):
            return ""
        if text.startswith(_BARE) and text[len(_BARE)].isupper():
            self.state, self._closing, self._buffer = State.HELD, _BARE_CLOSING, text
            return None
        if self._thought:
            self._buffer = _LEAD.sub("", self._buffer)
        self.state = State.HELD if self._hold and not self._thought else State.ANSWER
        return None

    def _think(self) -> str | None:
        for tag in self._closing.finditer(self._buffer):
            after = self._buffer[tag.end() : tag.end() + 1]
            if self._buffer[: tag.start()].endswith("`") and after in ("", "`"):  # mentioned, not used
                if not after:
                    return ""
                continue
            last = self._buffer[: tag.start()]
            self._nested = self._nested or bool(_OPENING.search(last))
            self._passed.append(last)
            self._note("".join(self._passed))
            self.unopened |= self.state is State.HELD and self._closing is _UNOPENED
            self._ends = _FRAMES.get(tag[0].lower(), self._ends)
            self._ended(tag.end())
            return None
        self._nested = self._nested or bool(_OPENING.search(self._buffer))
        unsure = len(_BARE_END) if self._closing is _BARE_CLOSING else _unsure(self._buffer)
        sure = max(0, len(self._buffer) - unsure - 1)  # the text before a tag decides its meaning
        thought, self._buffer = self._buffer[:sure], self._buffer[sure:]
        if self.state is State.HELD:
            self._passed.append(thought)
        else:
            self._note(thought)
        return ""

    def _answer(self) -> str | None:
        if self._thought and not self._nested:
            self._settled = True
            return self._rest_of_buffer()
        tag = _ANY.search(self._buffer)
        if tag is None:
            sure = len(self._buffer) - _unsure(self._buffer)
        elif tag.end() == len(self._buffer):
            sure = tag.start()  # the text after the tag decides its meaning
        else:
            return self._judge(tag)
        shown, self._buffer = self._buffer[:sure], self._buffer[sure:]
        self._passed.append(shown)
        return shown

    def _judge(self, tag: re.Match[str]) -> str | None:
        """Decide once on the first tag of a text that began without one."""
        shown_before = "".join(self._passed)
        before = shown_before + self._buffer[: tag.start()]
        if tag[0].lower() in TAGS or _in_code(before) or _in_prose(before, self._buffer[tag.end()]):
            self._settled = True
            return self._rest_of_buffer()
        self._note(before)
        self.withdrawn, self.unopened, self._nested = True, not self._thought, False
        self._end, self._ends = "", _FRAMES.get(tag[0].lower(), ())
        self._ended(tag.end())
        return None

    def _ended(self, end: int) -> None:
        self.state, self._thought = State.START, True
        self._buffer, self._passed = self._buffer[end:], []

    def _rest_of_buffer(self) -> str:
        shown, self._buffer, self._passed = self._buffer, "", []
        return shown

    def _hold_end(self, shown: str) -> str:
        """Return the text without the marks at its end, which wait, because text may follow."""
        text = self._end + shown
        mark = re.search(rf"(?:{'|'.join(map(re.escape, self._ends))})\s*\Z", text, re.IGNORECASE)
        start = mark.start() if mark else len(text) - _unsure(text, self._ends)
        self._end = text[start:]
        return text[:start]


def plain_thought(thought: str) -> str:
    """Return thinking without the marks of channels.

    >>> plain_thought("So.<|end|><|start|>assistant<|channel|>commentary<|message|>Now.<|end|>")
    'So.Now.'
    """
    return _CHANNELS.sub("", thought)


def _unsure(text: str, tags: Collection[str] = _ALL) -> int:
    """Return the length of the end of a text that may be the beginning of a tag.

    >>> [_unsure(text) for text in ("a <th", "a < b", "a", "[/thi", "<<")]
    [3, 0, 0, 5, 1]
    """
    tail = text[1 - _LONGEST :]
    for start in _STARTS.finditer(tail):
        begun = tail[start.start() :].lower()
        if any(len(tag) > len(begun) and tag.startswith(begun) for tag in tags):
            return len(begun)
    return 0


def _in_code(before: str) -> bool:
    """Return True where the next character is inside a block or a span of code.

    >>> [_in_code(text) for text in ("so\\n```html\\n", "```\\na\\n```\\n", "the tag `", "`a` and ")]
    [True, False, True, False]
    """
    if len(_FENCE.findall(before)) % 2:
        return True
    return len(re.findall("`+", before.rpartition("\n\n")[2])) % 2 == 1


def _in_prose(before: str, after: str) -> bool:
    """Return True for a tag that is mentioned: between words, or in quotes.

    >>> _in_prose("The tag ", " ends it."), _in_prose("Done.\\n", "T"), _in_prose("Done.", "T"), _in_prose("a ", "\\n")
    (True, False, False, False)
    """
    return before[-1:] in {" ", "\t", '"', "'", "(", "“", "‘"} and after not in "\r\n"
