"""Cells of a CSV file for spreadsheets: text that would run as a formula is marked as text.

Owns the escaping rule and the byte order mark. Knows no column.
"""

import re
from typing import Any

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""First character of a downloaded CSV file: without it Excel reads UTF-8 in the system's own encoding."""
_UNSEEN = "\\s\\x00-\\x1f\"'\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b"
_FORMULA = re.compile(f"[{_UNSEEN}]*[{_SIGNS}]")
_INSIDE = re.compile(f"(?<=[\\s\\S])(\\r\\n|[;\\r\\n])(?=[{_UNSEEN}]*(?:[=@\uff1d\uff20\ufe66\ufe6b]|[{_SIGNS}]\\S))")
"""A place inside a text at which a cell begins where a spreadsheet separates them by semicolons: it obeys no quotation
mark that is not a cell's first character. A list's "- " stays."""
_BREAKS = ("\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def cell(value: Any) -> Any:
    r"""Return a value as its cell. Text that begins like a formula, also behind blanks, quotes or invisible
    characters and in full-width form, gets an apostrophe in front (OWASP, "CSV injection"). Numbers stay numbers.

    >>> cell("=1+1"), cell(" @SUM(A1)"), cell("\uff1d1"), cell("-2 points"), cell("\tx")
    ("'=1+1", "' @SUM(A1)", "'\uff1d1", "'-2 points", "'\tx")
    >>> cell(-0.5), cell("-0.5"), cell("a-b"), cell(None)
    (-0.5, '-0.5', 'a-b', None)
    >>> cell("1;=cmd"), cell("a\n@x"), cell("To do:\n- this; that")
    ("1;'=cmd", "a\n'@x", 'To do:\n- this; that')
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    value = _INSIDE.sub(r"\1'", value)
    return f"'{value}" if value.startswith(_BREAKS) or _FORMULA.match(value) else value
