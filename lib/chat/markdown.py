"""A model's answer as Markdown for the page, split where a finished part can stay on the page for good.

`Blocks` takes a growing answer and parses its unfinished tail only; `blocks` takes a whole one and returns the same
parts. The language is `dialect`, what Streamlit gets is `streamlit_markdown`. Pure text in, pure text out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markdown_it.token import Token

from lib.chat.dialect import environment, parse
from lib.chat.streamlit_markdown import code_block, siblings, write, write_items

_LINE_END = re.compile(r"\r\n?|\n")
_PLAIN = re.compile(r"(?![\s\d-])(?:(?!--|->|www)[^\\`*_\[\]<~:$&|!@#+=\r\n\t\0])*", re.I)
"""The beginning of a paragraph that is drawn as it is written. Most updates of an answer need no parser."""
_MORE = re.compile(r"(?:(?!--|->|www)[^\\`*_\[\]<~:;$&|!@#+=\n\r\t\0])*", re.I)
_ENDS_PLAIN = re.compile(r"(?:^|[\r\n])(?:[^\W\d_]|[^\r\n]{12})[^\r\n]*[^\W_][^\W_] ?\Z")
"""A last line to which plain words can be added without parsing: they only lengthen its last text."""
_PARAGRAPH = re.compile(r"(?:[^\W\d_]|\*\*\w)")
"""The beginning of a line that starts a paragraph after a blank line in any case."""
_NO_FENCE = re.compile(r"[^`~\r\0]*")


@dataclass(frozen=True)
class Block:
    """One part of an answer: its source, its text for `st.markdown`, and whether it contains a table, which may be
    wider than the page. `missing` are labels of links and footnotes that were undefined when it was drawn."""

    source: str
    markdown: str
    has_table: bool = False
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Items:
    """The finished items of an unfinished list: their source, their drawn form, and whether they are tight. The
    finished list is drawn as one, because its last item may make it loose."""

    source: str
    drawn: list[str]
    tight: bool

    def joined(self, part: Sequence[Token]) -> str:
        """Return the list with its last items, which this part holds."""
        items, tight = write_items(part)
        return ("\n" if tight and self.tight else "\n\n").join([*self.drawn, *items])

    def more(self, source: str, part: Sequence[Token]) -> "_Items":
        """Return these items and those of a part, except its last one, whose source this is."""
        items, tight = write_items(part)
        return _Items(self.source + source, [*self.drawn, *items[:-1]], tight and self.tight)


class Blocks:
    """Markdown that grows.

    >>> growing = Blocks()
    >>> [(at, block.source) for at, block in growing.feed("One.\\n\\nTwo with `code` and\\n")]
    [(0, 'One.\\n\\n')]
    >>> growing.open.markdown
    'Two with `code` and'
    >>> [(at, block.source) for at, block in growing.finish()]
    [(1, 'Two with `code` and\\n')]
    """

    def __init__(self) -> None:
        self.closed: list[Block] = []
        self.open = Block("", "")
        self._tail = ""
        self._items: _Items | None = None
        self._code: Token | None = None
        self._links: dict[str, Any] = {}
        self._footnotes: list[str] = []

    def feed(self, text: str) -> list[tuple[int, Block]]:
        """Add text. Return the blocks to draw for good, by their place: those that it finished, and earlier ones with a
        link or a footnote that it defined."""
        self._tail += text
        source = self.open.source + text
        if self._code and _NO_FENCE.fullmatch(text):
            self._code.content += text
            self.open = replace(self.open, source=source, markdown=code_block(self._code.content, self._code.info))
        elif _PLAIN.fullmatch(source):
            self.open = Block(source, source)
        elif _MORE.fullmatch(text) and (markdown := self._longer(text)):
            self.open = replace(self.open, source=source, markdown=markdown)
        else:
            return self._take(last=False)
        return []

    def _longer(self, text: str) -> str | None:
        """Return the drawn text with these plain words at its end, if they cannot change earlier text."""
        last = self.open.source[-200:]
        words = last.rstrip(" ")
        if (
            not _ENDS_PLAIN.search(last)
            or self.open.markdown[-2:] != words[-2:]
            or "www" in (words[-3:] + text[:3]).lower()
        ):
            return None
        return self.open.markdown + last[len(words) :] + text

    def finish(self) -> list[tuple[int, Block]]:
        """End the text. Return the blocks to draw for good, as `feed` does."""
        return self._take(last=True) if self._tail else []

    def _take(self, *, last: bool) -> list[tuple[int, Block]]:
        """Parse the tail and close the blocks that no further text can change."""
        tail = _Tail.parsed(self._tail, environment(self._links, self._footnotes))
        links = {label: link["map"] for label, link in tail.env["references"].items() if label not in self._links}
        defining = [*links.values(), *(link["map"] for link in tail.env.get("duplicate_refs", ()))]
        bounds = [0, *_bounds(tail, defining, None if last else tail.env.get("unsure", tail.end))]
        ends = [*bounds[1:], tail.end] if last else bounds[1:]
        first = len(self.closed)
        self.closed += [self._block(tail, start, end) for start, end in zip(bounds, ends, strict=False)]
        remainder = ends[-1] if ends else 0
        if remainder and self._items:
            self.closed[first] = self._draw_again(self.closed[first])
            self._items = None
        defined = self._define(tail, links, remainder)
        self.open, self._tail = self._block(tail, remainder, tail.end), tail.source(remainder)
        unfinished = tail.within(remainder, tail.end)
        self._code = _open_code(unfinished)
        if line := _last_item(unfinished, tail.end):
            defined |= self._define(tail, links, line)
            self._items = (self._items or _Items("", [], True)).more(tail.source(remainder, line), unfinished[0])
            self._tail = tail.source(line)
        again = [at for at, earlier in enumerate(self.closed[:first]) if earlier.missing & defined]
        for at in again:
            self.closed[at] = self._draw_again(self.closed[at])
        return [(at, self.closed[at]) for at in [*again, *range(first, len(self.closed))]]

    def _block(self, tail: "_Tail", start: int, end: int) -> Block:
        """Return these lines as a block; the first one continues the items of an open list."""
        inside = tail.within(start, end)
        source, tokens = tail.source(start, end), [token for part in inside for token in part]
        table = any(token.type == "table_open" for token in tokens)
        missing = frozenset(tail.env["references"].missing)
        if start > 0 or self._items is None:
            return Block(source, write(tokens), table, missing)
        markdown = "\n\n".join([self._items.joined(inside[0]), *(write(part) for part in inside[1:])])
        return Block(self._items.source + source, markdown, table, missing)

    def _define(self, tail: "_Tail", links: Mapping[str, Sequence[int]], end: int) -> set[str]:
        """Keep the definitions before this line. Return their labels."""
        for label, (start, _) in links.items():
            if start < end:
                self._links[label] = tail.env["references"][label]
        notes = [
            f":{token.meta['label']}"
            for part in tail.parts
            for token in part
            if token.type == "footnote_reference_open" and token.map and token.map[0] < end
        ]
        new = [label for label in dict.fromkeys(notes) if label not in self._footnotes]
        self._footnotes += new
        return {*(label for label in links if label in self._links), *(f"^{label[1:]}" for label in new)}

    def _draw_again(self, block: Block) -> Block:
        env = environment(self._links, self._footnotes)
        markdown = write(parse(block.source, env))
        return replace(block, markdown=markdown, missing=frozenset(env["references"].missing))


def blocks(text: str) -> list[Block]:
    """Return a finished text as the blocks that it would have grown in.

    >>> [block.markdown for block in blocks("# Title\\n\\n- a\\n\\n- b\\n\\n[End][1].\\n\\n[1]: https://e.example")]
    ['### Title', '- a\\n\\n- b', '[End](<https://e.example>).', '']
    """
    growing = Blocks()
    growing.feed(text)
    growing.finish()
    return growing.closed


def as_one(text: str) -> str:
    """Return a text as one block.

    >>> as_one("# Title\\n\\nIt costs $5.")
    '### Title\\n\\nIt costs \\\\$5.'
    """
    return write(parse(text, environment({}, [])))


@dataclass(frozen=True, slots=True)
class _Tail:
    """The parsed end of a text: its top-level parts, and the offset at which each line begins."""

    text: str
    env: Mapping[str, Any]
    parts: Sequence[Sequence[Token]]
    lines: Sequence[int]

    @classmethod
    def parsed(cls, text: str, env: dict[str, Any]) -> "_Tail":
        parts = siblings(parse(text, env))
        return cls(text, env, parts, [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)])

    @property
    def end(self) -> int:
        """The line after the last one."""
        return len(self.lines) - 1

    def source(self, start: int, end: int | None = None) -> str:
        """Return the text from one line up to another, or to the end."""
        return self.text[self.lines[start] : None if end is None else self.lines[end]]

    def within(self, start: int, end: int) -> list[Sequence[Token]]:
        """Return the parts that begin within these lines."""
        return [part for part in self.parts if part[0].map and start <= part[0].map[0] < end]


def _bounds(tail: _Tail, defining: Sequence[Sequence[int]], unsure: int | None) -> list[int]:
    """Return the lines that begin a block, without the first one. `unsure`: more text may come, which may change
    everything from this line on; then only those bounds that no text can move."""
    whole = [part[0].map for part in tail.parts if part[0].map]
    starts = {part[0].map[0]: _settled_by(part[0]) for part in tail.parts if part[0].map}
    starts |= {start: end for start, end in defining if not any(first <= start < beyond for first, beyond in whole)}
    bounds = sorted(start for start in starts if start > 0)
    if unsure is None:
        return bounds
    certain = []
    for bound in bounds:
        if bound > unsure or not (starts[bound] < tail.end or _begins_paragraph(tail, bound)):
            break
        certain.append(bound)
    titles = {end for _, end in defining}
    if certain and certain[-1] in titles and tail.source(certain[-1]).lstrip(" ")[:1] in "\"'(":
        certain.pop()  # following text may become the title of the link that is defined above it
    return certain


def _begins_paragraph(tail: _Tail, line: int) -> bool:
    """Return True where an incomplete line is a new paragraph for certain."""
    return bool(_PARAGRAPH.match(tail.text, tail.lines[line])) and not tail.source(line - 1, line).strip()


def _settled_by(token: Token) -> int:
    """Return the line up to which text must have arrived before the beginning of this block is certain."""
    assert token.map
    if token.type == "formula_block":
        return token.map[1]
    return token.map[0] + (2 if token.type == "table_open" else 1)


def _open_code(unfinished: Sequence[Sequence[Token]]) -> Token | None:
    """Return the fenced block that is all of the unfinished tail, if more of its code may come."""
    token = unfinished[0][0] if len(unfinished) == 1 else None
    is_open = token and token.type == "fence" and token.content and not token.meta["closed"]
    return token if is_open else None


def _last_item(unfinished: Sequence[Sequence[Token]], lines: int) -> int | None:
    """Return the line at which the last item of the unfinished list begins, if it has items before that."""
    if len(unfinished) != 1 or unfinished[0][0].type not in ("bullet_list_open", "ordered_list_open"):
        return None
    items = siblings(unfinished[0][1:-1])
    start = items[-1][0].map
    return start[0] if len(items) > 1 and start and start[0] + 1 < lines else None
