"""A model's Markdown as Streamlit gets it: cut where nothing can change any more, and disarmed outside of code."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.markdown import Blocks, blocks, safe

CODE = "```python\nprint('$5')\n\n\n![no](image)\n```"
PARTS = [
    "One paragraph.", "Another\nof two lines.", "# Title", CODE, "~~~\nfence\n\nin tildes\n~~~", "- a\n- b",
    "- a\n\n- b", "1. a\n\n   more of a\n\n2. b", "| a | b |\n|---|---|\n| 1 | 2 |", "$$\nx\n\ny\n$$",
    "\\[\nx\n\ny\n\\]", "> quote", "costs $5 or $6", "![i](http://e.example/a.png)", "`code`", "---", "* x\n    * y",
]  # fmt: skip
texts = st.lists(st.sampled_from(PARTS), max_size=8).map("\n\n".join)


def grown(pieces: list[str]) -> list[str]:
    """The blocks of a text that came in these pieces."""
    growing, closed = Blocks(), []
    for piece in pieces:
        closed += growing.feed(piece)
    return [*closed, growing.open] if growing.open.strip() else closed


# Where a growing answer is cut


@pytest.mark.parametrize("part", PARTS)
def test_what_belongs_together_is_one_block(part: str) -> None:
    assert blocks(f"Before.\n\n{part}\n\nAfter, at last.") == ["Before.", part, "After, at last."]


def test_a_list_with_blank_lines_is_one_block() -> None:
    assert blocks("- a\n\n- b\n\n  more\n\nEnd of it.") == ["- a\n\n- b\n\n  more", "End of it."]


def test_an_open_fence_swallows_everything() -> None:
    text = "```\none\n\ntwo\n\n# three"
    assert blocks(text) == [text]


def test_a_block_is_closed_only_when_the_next_one_is_certain() -> None:
    growing = Blocks()
    assert growing.feed("- a\n\n") == []
    assert growing.feed("-") == []
    assert growing.feed(" b\n\nThe") == []
    assert growing.feed(" end.") == ["- a\n\n- b"]
    assert growing.open == "The end."


def test_links_by_reference_stay_with_their_addresses() -> None:
    text = "See [here][1].\n\n[1]: https://e.example\n\nMore."
    assert blocks(text)[-1].endswith("More.")
    assert any(
        "[here][1]" in block and "[1]: https" in block for block in blocks("[1]: https://e.example\n\n[here][1]")
    )


@given(texts, st.data())
def test_an_answer_grows_in_the_blocks_that_it_is_reopened_in(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert grown(pieces) == blocks(text)


@given(st.text(alphabet="ab \n`~-*1.$\\[]()!|#>", max_size=80))
def test_no_character_but_blank_lines_is_lost(text: str) -> None:
    assert "".join("".join(blocks(text)).split()) == "".join(text.split())


# What a block becomes


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (r"\(a^2\) and \( b \)", "$a^2$ and $b$"),
        (r"so \[x\] here", "so $$x$$ here"),
        (r"\[ x^2 \]", "$$\nx^2\n$$"),
        ("   \\[ x \\]", "   $$\n   x\n   $$"),
        ("\\[\nx\n\\]", "$$\nx\n$$"),
        ("$$ E = mc^2 $$", "$$\nE = mc^2\n$$"),
        ("$x_1$ or $y$", "$x_1$ or $y$"),
        (r"$\$5$", r"$\$5$"),
    ],
)
def test_formulas_are_drawn_however_they_are_written(written: str, shown: str) -> None:
    assert safe(written) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("It costs $5 and $10.", r"It costs \$5 and \$10."),
        ("US$ 5, or 5 $", r"US\$ 5, or 5 \$"),
        (r"already \$5", r"already \$5"),
        ("from $5-$10", r"from \$5-\$10"),
        ("one $", r"one \$"),
    ],
)
def test_prices_are_no_formulas(written: str, shown: str) -> None:
    assert safe(written) == shown


@pytest.mark.parametrize(
    "code", [CODE, "`$5 and \\(x\\) ![a](b) :red[c]`", "``a ` $5 b``", "~~~\n$5\n~~~", "```\n$5 open"]
)
def test_code_is_left_alone(code: str) -> None:
    assert safe(code) == code
    assert safe(f"$5 {code}") == rf"\$5 {code}" or code.startswith(("```", "~~~"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (":red[alarm]", r"\:red[alarm]"),
        (":material/home: sweet", r"\:material/home: sweet"),
        (":streamlit: and 10:30", ":streamlit: and 10:30"),
        ("note:[x]", "note:[x]"),
    ],
)
def test_streamlits_own_directives_are_not_obeyed(written: str, shown: str) -> None:
    assert safe(written) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("![A cat](https://cats.example/a.png)", "[A cat (image at cats.example)](https://cats.example/a.png)"),
        ('![](https://cats.example/a.png "title")', "[Image (image at cats.example)](https://cats.example/a.png)"),
        ("![A cat](<https://cats.example/a.png>)", "[A cat (image at cats.example)](https://cats.example/a.png)"),
        ("![two\nlines](https://c.example/a)", "[two\nlines (image at c.example)](https://c.example/a)"),
        ("![a [b] c](https://c.example/a)", "[a [b] c (image at c.example)](https://c.example/a)"),
        ("![local](/_stcore/health)", "local"),
        ("![data](data:image/png;base64,AAAA)", "data"),
        ("![broken](http://[)", "broken"),
        ("![by name][ref]", "by name"),
        ("![ref][]", "ref"),
        ("![ref]", "ref"),
    ],
)
def test_an_image_becomes_a_link_or_its_words(written: str, shown: str) -> None:
    assert safe(written) == shown


@pytest.mark.parametrize(
    "trick",
    [
        r"\`![x](https://e.example/a)\`", "``![x](https://e.example/a)`", "![a [b](c) d](https://e.example/a)",
        "![" * 40 + "](https://e.example/a)", "`a\n\n![x](https://e.example/a)\n\nb`", "![x\n](https://e.example/a",
        "``` a`b\n![x](https://e.example/a)", "!\u200b[x](https://e.example/a) ![x](https://e.example/a 'a\nb')",
    ],
)  # fmt: skip
def test_no_trick_leaves_an_image(trick: str) -> None:
    assert "![" not in safe(trick)


@pytest.mark.parametrize(
    "tag", ["<img src=x>", "<IMG SRC=x>", "<iframe src=x>", "</video>", "<svg onload=x>", "<link>"]
)
def test_a_tag_that_could_load_something_is_text(tag: str) -> None:
    assert safe(tag) == "\\" + tag


def test_a_comparison_is_no_tag() -> None:
    assert safe("a < b and i<import") == "a < b and i<import"


@given(st.text(alphabet="a![](x):/\\`\n <$", max_size=60))
def test_outside_of_code_no_image_ever_remains(text: str) -> None:
    if "`" not in text:
        assert "![" not in safe(text)


@pytest.mark.parametrize(
    "text", ["![" * 20_000, "[" * 20_000, "`" * 20_000, "$" * 20_001, "\\[" * 10_000, "- \n\n" * 5_000]
)
def test_nothing_takes_long(text: str) -> None:
    """What a model could send to hold a page up, drawn once."""
    began = time.process_time()
    for block in blocks(text):
        safe(block)
    assert time.process_time() - began < 5
