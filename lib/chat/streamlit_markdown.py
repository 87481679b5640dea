"""Parsed Markdown as text for `st.markdown`: each token written anew, so that Streamlit's parser reads the same.

Owns Streamlit 1.67's extensions of CommonMark (read in its StreamlitMarkdown bundle). Text is escaped wherever that
parser could interpret it. Images, HTML, directives, emoji codes, typographic arrows and diagrams of a model have no
effect. Links lead to http, https and mailto only, never into this app. Headings are smaller than the page's own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from markdown_it.token import Token

LARGEST = 3
"""The level of an answer's largest heading; the page's own are levels 1 and 2."""
_ACTIVE = re.compile(r"[\\`*_\[\]<~:$&|!@#]|(?<=\bwww)\.|(?<=:material)/", re.I)
_LINE_START = re.compile(r"^([ \t]*)([+\-=>]|\d{1,9}(?=[.)]))", re.M)
_CLASHES = re.compile(
    r":(?=[\w+-]+:)"
    r"|(?:(?<=\s)|^)(?:<(?=-(?:\s|$))|-(?=[->](?:\s|$))|[<>~](?==(?:\s|$)))|(?<=<)-(?=>)"
)
"""Text that Streamlit replaces after parsing, so that no escape helps: emoji codes, icons, its logo, arrows."""
_ADDRESS = re.compile(r"https?://\S*?(?=[.,;:!?)'\"]*(?:\s|$))", re.I)
_TASK = re.compile(r"\\\[([ xX])\\\] ")
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")
_RUNS = {"`": re.compile("`+"), "$": re.compile(r"\$+")}
_HIGH = str.maketrans(
    "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVW",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂ",
)
_LOW = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_SHIFTS = {"sup": (_HIGH, "^"), "sub": (_LOW, "_")}


def write(tokens: Sequence[Token]) -> str:
    r"""Return the tokens of `dialect.parse` as Markdown for Streamlit.

    >>> from lib.chat.dialect import environment, parse
    >>> write(parse("# It costs $5\n![Cat](https://cats.example/a.png)", environment({}, [])))
    '### It costs \\$5\n\n[Cat (image at cats.example)](<https://cats.example/a.png>)'
    """
    return _Writer().blocks(tokens)


def write_items(part: Sequence[Token]) -> tuple[list[str], bool]:
    """Return the items of a list, and True where it is tight."""
    return _Writer().items(part)


@dataclass
class _Writer:
    """One pass over tokens, with the elements that enclose the current one."""

    in_table: bool = False
    in_link: bool = False

    def blocks(self, tokens: Sequence[Token], tight: bool = False) -> str:
        parts = [self._block(part) for part in siblings(tokens)]
        return ("\n" if tight else "\n\n").join(part for part in parts if part)

    def _block(self, part: Sequence[Token]) -> str:
        token = part[0]
        writer: Callable[[Sequence[Token]], str] | None = {
            "paragraph_open": self._paragraph,
            "heading_open": self._heading,
            "bullet_list_open": self._list,
            "ordered_list_open": self._list,
            "blockquote_open": self._quote,
            "table_open": self._table,
            "footnote_reference_open": self._footnote,
        }.get(token.type)
        if writer:
            return writer(part)
        if token.type in ("fence", "code_block"):
            return code_block(token.content, token.info)
        if token.type == "formula_block":
            fence = "$" * max(2, 1 + _longest("$", token.content))
            return f"{fence}\n{token.content}\n{fence}"
        return "___" if token.type == "hr" else ""

    def _paragraph(self, part: Sequence[Token]) -> str:
        return _LINE_START.sub(_escape_start, self.inline(part[1].children or [])).strip(" \n")

    def _heading(self, part: Sequence[Token]) -> str:
        level = min(6, int(part[0].tag[1]) + LARGEST - 1)
        text = self.inline(part[1].children or []).replace("\\\n", " ").replace("\n", " ").strip()
        return f"{'#' * level} {text}" if text else ""

    def _list(self, part: Sequence[Token]) -> str:
        items, tight = self.items(part)
        return ("\n" if tight else "\n\n").join(items)

    def items(self, part: Sequence[Token]) -> tuple[list[str], bool]:
        items, level = siblings(part[1:-1]), part[0].level + 2
        paragraphs = [token for item in items for token in item if token.tag == "p" and token.level == level]
        tight = not paragraphs or any(token.hidden for token in paragraphs)
        return [self._item(item, tight) for item in items], tight

    def _item(self, item: Sequence[Token], tight: bool) -> str:
        mark = f"{item[0].info}{item[0].markup}"
        text = self.blocks(item[1:-1], tight)
        if item[1].type == "paragraph_open":
            text = _TASK.sub(r"[\1] ", text, count=1) if _TASK.match(text) else text
        return mark + " " + _indent(text, " " * (len(mark) + 1)) if text else mark

    def _quote(self, part: Sequence[Token]) -> str:
        text = self.blocks(part[1:-1])
        return "\n".join(f"> {line}" if line else ">" for line in text.split("\n")) if text else ""

    def _footnote(self, part: Sequence[Token]) -> str:
        text = self.blocks(part[1:-1])
        number = part[0].meta.get("number")
        return f"{str(number).translate(_HIGH)} {text}" if number and text else text

    def _table(self, part: Sequence[Token]) -> str:
        self.in_table = True
        rows: list[list[str]] = []
        sides: list[str] = []
        for at, token in enumerate(part):
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                rows[-1].append(self.inline(part[at + 1].children or []).strip())
                side = str(token.attrs.get("style", "")).removeprefix("text-align:")
                if token.type == "th_open":
                    sides.append({"left": ":--", "right": "--:", "center": ":-:"}.get(side, "---"))
        self.in_table = False
        return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], sides, *rows[1:]])

    def inline(self, tokens: Sequence[Token]) -> str:
        parts = []
        for part in siblings(tokens):
            token = part[0]
            if token.type in ("em_open", "strong_open", "s_open"):
                inside = self.inline(part[1:-1])
                parts.append(f"{token.markup}{inside}{part[-1].markup}" if inside else "")
            elif token.type == "link_open":
                parts.append(self._link(part))
            else:
                parts.append(self._span(token))
        return "".join(parts)

    def _span(self, token: Token) -> str:
        if token.type == "code_inline":
            return self._code(token.content)
        if token.type == "formula":
            return self._formula(token)
        if token.type == "image":
            return self._image(token)
        if token.type == "hardbreak":
            return "&#10;" if self.in_table else "\\\n"
        if token.type == "softbreak":
            return " " if self.in_table else "\n"
        if token.type == "raised":
            return self._raised(token)
        if token.type == "footnote_mark":
            return str(token.meta["number"]).translate(_HIGH)
        return self.text(token.content)

    def text(self, text: str) -> str:
        """Return text that is drawn as it is. A character that Streamlit would replace gets an element of its own: a
        colour directive without a colour, which is drawn as a plain span."""
        if not _CLASHES.search(text):
            return _escape(text)
        if "://" in text and not self.in_link:
            return "".join(
                f"[{_split_up(piece)}](<{_destination(address)}>)"
                if at % 2 and (address := _address(piece))
                else _split_up(piece)
                for at, piece in enumerate(_split(_ADDRESS, text))
            )
        return _split_up(text)

    def _code(self, content: str) -> str:
        if ":material/" in content:  # Streamlit rewrites that in code, too
            return self.text(content)
        fence = "`" * (1 + _longest("`", content)) if "`" in content else "`"
        pad = " " if (content[:1] in "` " and content[-1:] in "` " and content.strip()) or "`" in content else ""
        content = content.replace("|", "\\|") if self.in_table else content
        return f"{fence}{pad}{content}{pad}{fence}"

    def _formula(self, token: Token) -> str:
        content = " ".join(token.content.split())
        if self.in_table:
            content = content.replace("\\|", "\\Vert ").replace("|", "\\vert ")
        fence = "$" if token.markup == "$" and "$" not in content else "$" * max(2, 1 + _longest("$", content))
        pad = " " if content[:1] == "$" or content[-1:] == "$" else ""
        return f"{fence}{pad}{content}{pad}{fence}"

    def _link(self, part: Sequence[Token]) -> str:
        outer, self.in_link = self.in_link, True
        label = self.inline(part[1:-1])
        self.in_link = outer
        address = _address(str(part[0].attrs.get("href", "")))
        if address is None or outer:
            return label
        return f"[{label.strip() or self.text(address)}](<{_destination(address)}>)"

    def _image(self, token: Token) -> str:
        """Return an image as a link that names its host; inside a link, or without an address, as its words."""
        words = _words(token.children or []).strip() or "Image"
        address = _address(str(token.attrs.get("src", "")))
        host = urlsplit(address).hostname if address else None
        if address is None or host is None:
            return self.text(words)
        label = self.text(f"{words} (image at {host})")
        return label if self.in_link else f"[{label}](<{_destination(address)}>)"

    def _raised(self, token: Token) -> str:
        letters, sign = _SHIFTS[token.tag]
        words = token.content
        return words.translate(letters) if all(ord(one) in letters for one in words) else self.text(sign + words)


def code_block(content: str, info: str = "") -> str:
    """Return code between fences that nothing in it closes. A diagram stays code: drawn, it could load images."""
    fence = "`" * max(3, 1 + _longest("`", content))
    language = (info.split() or [""])[0]
    if not _LANGUAGE.fullmatch(language) or language.lower() == "mermaid":
        language = ""
    return f"{fence}{language}\n{content if content.endswith(chr(10)) or not content else content + chr(10)}{fence}"


def siblings(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Split siblings: each one with everything up to its closing token."""
    parts: list[Sequence[Token]] = []
    start = depth = 0
    for at, token in enumerate(tokens):
        depth += token.nesting
        if depth <= 0:
            parts.append(tokens[start : at + 1])
            start, depth = at + 1, 0
    return [*parts, tokens[start:]] if start < len(tokens) else parts


def _split(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return text and matches of the pattern in turn."""
    parts, at = [], 0
    for match in pattern.finditer(text):
        parts += [text[at : match.start()], match.group()]
        at = match.end()
    return [*parts, text[at:]]


def _split_up(text: str) -> str:
    return "".join(
        f":color[{_escape(piece)}]{{}}" if at % 2 else _escape(piece) for at, piece in enumerate(_split(_CLASHES, text))
    )


def _escape(text: str) -> str:
    return _ACTIVE.sub(r"\\\g<0>", text)


def _escape_start(match: re.Match[str]) -> str:
    mark = match[2]
    return f"{match[1]}{mark}\\" if mark[0].isdigit() else f"{match[1]}\\{mark}"


def _indent(text: str, by: str) -> str:
    return "\n".join(by + line if line and at else line for at, line in enumerate(text.split("\n")))


def _longest(character: str, text: str) -> int:
    return max(map(len, _RUNS[character].findall(text)), default=0)


def _words(tokens: Sequence[Token]) -> str:
    """Return the plain text of inline tokens."""
    return "".join(
        _words(token.children) if token.children else " " if token.type.endswith("break") else token.content
        for token in tokens
    )


def _address(href: str) -> str | None:
    """Return an address that a link may have: one with a host of its own, or an email address."""
    try:
        parts = urlsplit(href)
        outside = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    if re.search(r"[\x00-\x20<>\\\x7f]", href):
        return None
    return href if outside or (parts.scheme == "mailto" and "@" in parts.path) else None


def _destination(address: str) -> str:
    return address.replace("&", "&amp;").replace("|", "%7C")
