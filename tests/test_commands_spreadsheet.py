"""A cell of a CSV file: text stays text in a spreadsheet, and numbers stay numbers."""

from typing import Any

import pytest

from lib.commands.spreadsheet import cell

FORMULAS = [
    "=1+1", "+1+cmd", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "  \t@a", "'=1", '"=1', '" =1',
    "\uff1d1+1", "\uff0bA1", "\uff0d2a", "\uff20SUM(1)", "\u2212cmd", "\u00a0=1", "\u200b=1", "\ufeff=1", "\x00=1",
    "=HYPERLINK(1)", "- a point", "\tindented", "\r", "\u202e=1", "\u00ad=1", "\u2066@a",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_marked_as_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("sign", ["=cmd", "@a", "+cmd", "-cmd", " =1", "\u200b=1", "\uff1d1"])
@pytest.mark.parametrize("separator", [";", "\n", "\r\n"])
def test_a_formula_inside_a_text_is_marked_too(separator: str, sign: str) -> None:
    """A spreadsheet that separates cells by semicolons ignores quotation marks inside a cell."""
    assert cell(f"a{separator}{sign}") == f"a{separator}'{sign}"


@pytest.mark.parametrize(
    "value",
    [
        "To do:\n- this\n+ that; - or this",
        0,
        -1,
        -0.5,
        1e-06,
        True,
        None,
        "",
        "-1",
        "+2.5",
        "-1.5e-06",
        "a=b",
        "x@example.org",
        "日本語",
        "5 - 3",
    ],
)
def test_everything_else_stays_as_it_is(value: Any) -> None:
    assert cell(value) is value
