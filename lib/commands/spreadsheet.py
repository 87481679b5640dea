"""Cells of a CSV file for spreadsheets: text that would run as a formula is marked as text.

Owns the escaping rule and the byte order mark. Knows no column.
"""

import re
from typing import Any

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""First character of a downloaded CSV file: without it Excel reads UTF-8 in the system's own encoding."""
_UNSEEN = "\\s\\x00-\\x1f\"'\u200b-\u200f\u2060\ufeff"
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b"
_FORMULA = re.compile(f"[{_UNSEEN}]*[{_SIGNS}]")
_BREAKS = ("\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def cell(value: Any) -> Any:
    r"""Return a value as its cell. Text that begins like a formula, also behind blanks, quotes or invisible
    characters and in full-width form, gets an apostrophe in front (OWASP, "CSV injection"). Numbers stay numbers.

    >>> cell("=1+1"), cell(" @SUM(A1)"), cell("\uff1d1"), cell("-2 points"), cell("\tx")
    ("'=1+1", "' @SUM(A1)", "'\uff1d1", "'-2 points", "'\tx")
    >>> cell(-0.5), cell("-0.5"), cell("a-b"), cell(None)
    (-0.5, '-0.5', 'a-b', None)
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}" if value.startswith(_BREAKS) or _FORMULA.match(value) else value
