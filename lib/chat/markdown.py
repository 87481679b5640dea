"""A model's answer as Markdown that Streamlit shows as it was meant. Pure text in, pure text out.

`Blocks` cuts a growing answer where a finished part can stay on the page for good; `safe` turns what models write
(formulas in TeX's own brackets, prices with a dollar sign, images from anywhere) into what the page renders.
"""

import re
from urllib.parse import urlsplit

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_LIST = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*\S", re.MULTILINE)
_CODE = re.compile(
    r"^ {0,3}(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)\n.*?(?:^ {0,3}(?(1)\1|\2)[`~]*\s*?$|\Z)"  # a fence, perhaps still open
    r"|(?<![\\`])(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\3(?!`)",  # code in a line
    re.M | re.S,
)
_TABLE = re.compile(r"^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$", re.MULTILINE)
_IMAGE = re.compile(
    r"!\[((?:\\.|[^\[\]\\]|\[[^\[\]]*\]){0,500})\](?:\(\s*<?([^\s)>]+)>?[^)\n]*\)|\[([^\]\n]*)\])", re.S
)
_IMAGE_SHORT = re.compile(r"!\[([^\[\]\n]+)\](?![\[(])")
_HTML_IMAGE = re.compile(r"<(?=/?(?:img|video|audio|source|iframe|object|embed|link|svg)\b)", re.I)
_DISPLAY = re.compile(r"\\\[(.{1,4000}?)\\\]", re.S)
_ALONE = re.compile(r"^([ \t]*)\$\$[ \t]*(\S.*?)[ \t]*\$\$[ \t]*$", re.M)
_INLINE = re.compile(r"\\\((.{1,1000}?)\\\)", re.S)
_DOLLARS = re.compile(r"\\\$|\$\$.+?\$\$|\$(?=[^\s$])(?:[^$\n\\]|\\.)*?(?<=[^\s$\\])\$(?!\d)|\$", re.S)
_DIRECTIVE = re.compile(r":(?=[a-z-]+\[)|:(?=(?:material|streamlit)/)")


class Blocks:
    """Markdown that grows: `feed` text, take `closed` blocks (they never change again) and the `open` rest.

    >>> blocks = Blocks()
    >>> blocks.feed("One.\\n\\nTwo with `")
    ['One.']
    >>> blocks.open
    'Two with `'
    """

    def __init__(self) -> None:
        self.open = ""
        self._scanned = 0

    def feed(self, text: str) -> list[str]:
        """Add text; the blocks that are finished by it."""
        self.open += text
        closed = []
        while (cut := self._cut()) is not None:
            closed.append(self.open[:cut])
            self.open, self._scanned = self.open[cut:].lstrip("\n"), 0
        return closed

    def _cut(self) -> int | None:
        """Where the first block ends for certain: at a blank line outside fence, formula and list."""
        if _REFERENCE.search(self.open):
            return None
        while (at := self.open.find("\n\n", self._scanned)) >= 0:
            after = self.open[at:].lstrip("\n")
            if not after.split("\n", 1)[0].strip() or ("\n" not in after and len(after) < 4):
                return None  # what follows is not known yet: it may continue a list
            if self._ends(self.open[:at], after):
                return at
            self._scanned = at + 2
        return None

    @staticmethod
    def _ends(block: str, after: str) -> bool:
        if len(_FENCE.findall(block)) % 2 or block.count("$$") % 2 or block.count("\\[") > block.count("\\]"):
            return False
        if not block.strip():
            return False
        in_list = _LIST.match(block) is not None
        return not (in_list and (after[0] in " \t" or _LIST.match(after)))


def blocks(text: str) -> list[str]:
    """A finished text as the same blocks that it grew in.

    >>> blocks("# Title\\n\\n- a\\n\\n- b\\n\\nEnd.")
    ['# Title', '- a\\n\\n- b', 'End.']
    """
    growing = Blocks()
    closed = growing.feed(text)
    return [*closed, growing.open] if growing.open.strip() else closed


def has_table(block: str) -> bool:
    """Whether there is a table in it, which may be wider than the page.

    >>> has_table("| a | b |\\n|---|:-:|\\n| 1 | 2 |"), has_table("a | b")
    (True, False)
    """
    return "|" in block and _TABLE.search(block) is not None


def safe(block: str) -> str:
    r"""A block as Streamlit should get it: code untouched, formulas in dollars, no image fetched, no directive obeyed.

    >>> safe(r"It costs $5 and $10, or \(x^2\). ![Cat](https://cats.example/a.png)")
    'It costs \\$5 and \\$10, or $x^2$. [Cat (image at cats.example)](https://cats.example/a.png)'
    """
    parts, at = [], 0
    for code in _CODE.finditer(block):
        parts += [_prose(block[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*parts, _prose(block[at:])])


def _prose(text: str) -> str:
    if not text:
        return text
    if "![" in text:
        text = _IMAGE_SHORT.sub(r"\1", _IMAGE.sub(_as_link, text)).replace("![", "&#33;[")
    text = _HTML_IMAGE.sub(r"\<", text) if "<" in text else text
    text = _DIRECTIVE.sub(r"\:", text) if ":" in text else text
    if "\\[" in text or "\\(" in text:
        text = _INLINE.sub(lambda m: f"${m[1].strip()}$", _DISPLAY.sub(lambda m: f"$${m[1]}$$", text))
    if "$$" in text:  # a formula on a line of its own is drawn as one only between dollars on lines of their own
        text = _ALONE.sub(r"\1$$\n\1\2\n\1$$", text)
    return _DOLLARS.sub(lambda m: m[0] if len(m[0]) > 1 else r"\$", text) if "$" in text else text


def _as_link(image: re.Match[str]) -> str:
    """An image as a link that names its host; by reference, as its words."""
    words, address = image[1] or "Image", image[2]
    if not address:
        return words
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return f"[{words} (image at {host})]({address})" if host else words
