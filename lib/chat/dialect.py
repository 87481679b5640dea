"""The Markdown that models write: CommonMark, tables, formulas, footnotes and three HTML tags, parsed by markdown-it.

Owns the rules beyond the standard: dollars that enclose formulas, nested fences, `<br>`, `<sub>` and `<sup>`. Other
HTML is text. Knows nothing of Streamlit.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.footnote.index import footnote_def

FORMULA_LIMIT = 4_000
"""Longest formula in characters. The search for its end goes no further, and a growing answer holds back no more text
for it."""
MARKDOWN = {"markdown", "md", "mdx", "rmd", "qmd"}
"""Languages of a fenced block in which a bare fence may open an inner block."""

_NESTED_INFO = re.compile(r"[A-Za-z][\w+#.-]*\s*")
_DISPLAY = {"$$": "$$", "\\[": "\\]"}
_SPANS = {
    "\\(": re.compile(r"\\\(((?:[^\\]|\\(?!\)).){1,1000}?)\\\)", re.S),
    "\\[": re.compile(r"\\\[((?:[^\\]|\\(?!\]).){1,4000}?)\\\]", re.S),
    "$$": re.compile(r"\$\$(?!\$)((?:[^$\\]|\\.|\$(?!\$)){1,4000}?)\$\$(?!\$)", re.S),
    "$": re.compile(r"\$(?![\s$])((?:[^$\\]|\\.){1,1000}?)(?<!\s)\$(?![\d$])", re.S),
}
_BREAK = re.compile(r"<br\s*/?>", re.I)
_RAISED = re.compile(r"<(su[bp])>([^<>\[\]*_`$\\&~\n]{1,80})</\1>", re.I)
_AROUND = re.compile(r"<(su[bp])>(?=(?:(?!<su[bp]>).){1,300}?</\1>)", re.I | re.S)
_AFTER = re.compile(r"</(su[bp])>", re.I)
_SIGNS = re.compile(r"[\\^_={}<>|]")
_NAME = re.compile(r"[A-Z]{3,6}|[A-Za-z]{2,6}\([^\s$]*\)")


class Labels(dict[str, Any]):
    """Link definitions by label. `missing` collects the labels that a text uses and nothing has defined so far."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self.missing: set[str] = set()

    def __contains__(self, label: object) -> bool:
        if super().__contains__(label):
            return True
        self.missing.add(str(label))
        return False

    def get(self, label: str, default: Any = None) -> Any:
        return self[label] if label in self else default  # noqa: SIM401, which would call itself


def environment(links: Mapping[str, Any], footnotes: Iterable[str]) -> dict[str, Any]:
    """Return the environment of `PARSER.parse`: the known definitions. Parsing adds new ones."""
    return {"references": Labels(links), "footnotes": {"refs": dict.fromkeys(footnotes, -1), "list": {}}}


def is_formula(content: str) -> bool:
    """Distinguish a formula between dollars from prices, shell variables and prose.

    >>> is_formula("x"), is_formula("E = mc^2"), is_formula("ABC")
    (True, True, True)
    >>> is_formula("HOME/"), is_formula("5 or "), is_formula("-denominated or US"), is_formula('A","')
    (False, False, False, False)
    """
    content = content.strip()
    if not content or content[0] in "/,.;:'\"!?%*&)" or content[-1] in "/-+*:(;=<&" or re.search('["`]', content):
        return False
    if _SIGNS.search(content):
        return True
    if content[0].isdigit() and (re.search("[A-Za-z]{2}", content) or re.fullmatch(r"[\d.,–-]+\s[\d.,\s–-]+", content)):
        return False
    return not re.search(r"[A-Za-z]{3}", content) or _NAME.fullmatch(content) is not None


def _formula_span(state: StateInline, silent: bool) -> bool:
    r"""Parse a formula in a line: `$…$`, `$$…$$`, `\(…\)` or `\[…\]`."""
    at, source = state.pos, state.src
    opener = source[at : at + 2]
    if opener not in _SPANS:
        opener = source[at : at + 1]
    if opener not in _SPANS or not (match := _SPANS[opener].match(source, at, state.posMax)):
        return False
    content = match[1]
    if opener[0] == "$":
        before, after = source[at - 1 : at], source[match.end() : match.end() + 1]
        if before.isalnum() or before == "$" or not is_formula(content):
            return False
        if opener == "$" and after.isalpha() and not (content[-1].isalnum() or content[-1] in ")}]"):
            return False
        if opener == "$" and after.isalpha() and len(content) > 1 and not _SIGNS.search(content):
            return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content, token.markup = content, opener
    state.pos = match.end()
    return True


def _tags(state: StateInline, silent: bool) -> bool:
    """Parse `<br>`, `<sub>` and `<sup>`. The latter two lower and raise plain text only; around anything else they are
    dropped."""
    if state.src[state.pos] != "<":
        return False
    around = state.env.setdefault("around", [])
    if match := _BREAK.match(state.src, state.pos, state.posMax):
        if not silent:
            state.push("hardbreak", "br", 0)
    elif match := _RAISED.match(state.src, state.pos, state.posMax):
        if not silent:
            state.push("raised", match[1].lower(), 0).content = match[2]
    elif match := _AROUND.match(state.src, state.pos, state.posMax):
        if not silent:
            around.append(match[1].lower())
    elif (match := _AFTER.match(state.src, state.pos, state.posMax)) and match[1].lower() in around:
        if not silent:
            around.remove(match[1].lower())
    else:
        return False
    state.pos = match.end()
    return True


def _footnote(state: StateInline, silent: bool) -> bool:
    """Parse `[^label]`, once the label is defined."""
    match = re.compile(r"\[\^([^\s\]]{1,80})\]").match(state.src, state.pos, state.posMax)
    if not match:
        return False
    footnotes = state.env["footnotes"]["refs"]
    if f":{match[1]}" not in footnotes:
        state.env["references"].missing.add(f"^{match[1]}")
        return False
    if not silent:
        state.push("footnote_mark", "sup", 0).meta = {"number": list(footnotes).index(f":{match[1]}") + 1}
    state.pos = match.end()
    return True


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    r"""Parse a formula on lines of its own: `$$ … $$` or `\[ … \]`."""
    first = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].rstrip()
    opener = first[:2]
    if state.is_code_block(start) or opener not in _DISPLAY or first.startswith("$$$"):
        return False
    closer, lines, line, length = _DISPLAY[opener], [first[2:]], start, len(first)
    while not _closes(lines[-1], closer):
        line += 1
        if closer in lines[-1].replace("\\\\", "") or length > FORMULA_LIMIT:
            return False
        if line >= end:  # more text may come: nothing from here on is certain
            if end >= state.env.get("lines", 0):
                state.env["unsure"] = min(start, state.env.get("unsure", start))
            return False
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if (text and state.sCount[line] < state.blkIndent) or text.startswith(("```", "~~~", "# ", "## ", "### ")):
            return False
        lines.append(text)
        length += len(text) + 1
    lines[-1] = lines[-1][: -len(closer)]
    content = "\n".join(lines).strip()
    if not content or (opener == "$$" and not is_formula(content)):
        return False
    if not silent:
        token = state.push("formula_block", "math", 0)
        token.content, token.map = content, [start, line + 1]
        state.line = line + 1
    return True


def _closes(line: str, closer: str) -> bool:
    """Check that a line ends with this bracket, and that it is the only one there."""
    body = line.replace("\\\\", "  ")
    return body.endswith(closer) and body.count(closer) == 1


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Parse a fenced block. Unlike the standard, a fence with a language inside it opens an inner block, whose closing
    fence does not close the outer one: models put a README with examples between three backticks."""
    if state.is_code_block(start):
        return False
    marker, length, info = _fence_line(state, start)
    if length < 3 or (marker == "`" and "`" in info):
        return False
    if silent:
        return True
    line, closed = _fence_end(state, start, end)
    state.line = line + closed
    token = state.push("fence", "code", 0)
    token.info, token.markup, token.map = info.strip(), marker * length, [start, state.line]
    token.content = state.getLines(start + 1, line, state.sCount[start], True)
    token.meta = {"closed": closed}
    return True


def _fence_end(state: StateBlock, start: int, end: int) -> tuple[int, bool]:
    """Return the line after a fenced block's text, and True where that line is its closing fence."""
    marker, length, info = _fence_line(state, start)
    is_markdown = (info.split() or [""])[0].lower() in MARKDOWN
    inner: list[int] = []  # the lengths of the inner blocks' fences that are open
    for line in range(start + 1, end):
        at = state.bMarks[line] + state.tShift[line]
        if at < state.eMarks[line] and state.sCount[line] < state.blkIndent:
            return line, False  # the list item or quotation that contains the block ends
        character, size, after = _fence_line(state, line)
        if character != marker or size < (inner or [length])[-1] or state.is_code_block(line):
            continue
        if _NESTED_INFO.fullmatch(after):
            inner.append(size)
        elif not after.strip():
            if inner:
                inner.pop()
            elif is_markdown and _opens_inside(state, line, start, end):
                inner.append(size)
            else:
                return line, True
    return end, False


def _fence_line(state: StateBlock, line: int) -> tuple[str, int, str]:
    """Return the fence character of a line, its count, and the rest."""
    at, end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
    marker = state.src[at : at + 1]
    if at >= end or marker not in ("`", "~"):
        return "", 0, ""
    after = state.skipCharsStr(at, marker)
    return marker, min(after, end) - at, state.src[after:end]


def _opens_inside(state: StateBlock, line: int, start: int, end: int) -> bool:
    """Return True for an inner block's bare opening fence: a blank line before it, text right after it."""
    return line - 1 > start and state.isEmpty(line - 1) and line + 1 < end and not state.isEmpty(line + 1)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # the writer decides what stays a link
    ends: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.at("fence", _fence, ends)
    parser.block.ruler.before("fence", "formula", _formula_block, ends)
    parser.block.ruler.before("reference", "footnote", footnote_def, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("escape", "formula", _formula_span)
    parser.inline.ruler.before("link", "footnote", _footnote)
    parser.inline.ruler.before("autolink", "tags", _tags)
    return parser


PARSER = _parser()


def parse(text: str, env: dict[str, Any]) -> list[Token]:
    """Parse a text. `env` collects its definitions and, as `unsure`, the line from which more text may change
    everything."""
    env["lines"] = text.count("\n") + (not text.endswith("\n"))
    tokens = PARSER.parse(text, env)
    footnotes = list(env["footnotes"]["refs"])
    for token in tokens:
        if token.type == "footnote_reference_open":
            token.meta["number"] = footnotes.index(f":{token.meta['label']}") + 1
    return tokens
