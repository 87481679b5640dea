"""A model's Markdown as the page gets it: cut into final blocks, which do not depend on the size of the pieces."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat import markdown
from lib.chat.markdown import Block, Blocks, as_one, blocks

CODE = "```python\nprint('$5')\n\n\n![no](image)\n```"
PARTS = [
    "One paragraph.", "Another\nof two lines.", "# Title", CODE, "~~~\nfence\n\nin tildes\n~~~", "- a\n- b",
    "- a\n\n- b", "1. a\n\n   more of a\n\n2. b", "| a | b |\n|---|---|\n| 1 | 2 |", "$$\nx\n\ny\n$$",
    "\\[\nx\n\ny\n\\]", "> quote", "costs $5 or $6", "![i](http://e.example/a.png)", "`code`", "---", "* x\n    * y",
    "````md\n```\n\n```\n````", "```markdown\n# T\n\n```bash\nx\n\ny\n```\n\n```\nbare\n```\n\nEnd\n```",
    "1. a\n\n    ```sh\n    x\n\n    y\n    ```\n\n2. b", "[^1]: note", "Term\n===", "> ```\n> x\n> ```",
]  # fmt: skip
LINES = [
    *(f"{line}\n" for part in PARTS for line in part.split("\n")), "[1]: http://x\n", "[1]:\n", ' "title"\n', "www",
    "see [a][1] ", "[^1] ", "===\n", "\r\n", "\r", "\ttab\n", "text $x$", "2)", "-", "*", "  ", " ", "\0", "| 1", "(",
    "<br>", "<sub>2</sub>",
]  # fmt: skip
texts = st.lists(
    st.one_of(st.sampled_from(LINES), st.text(alphabet="ab \n`~-*1.$\\[]()!|#>:\r\"'=_<", max_size=6)), max_size=25
).map("".join)


def grow(pieces: list[str]) -> list[Block]:
    """Return the blocks of a text that came in these pieces."""
    growing = Blocks()
    for piece in pieces:
        growing.feed(piece)
    growing.finish()
    return growing.closed


def rows_of(parts: list[Block]) -> list[tuple[str, str]]:
    return [(part.source, part.markdown) for part in parts]


@pytest.mark.parametrize("part", PARTS)
def test_lines_that_belong_together_are_one_block(part: str) -> None:
    sources = [block.source.rstrip("\n") for block in blocks(f"Before.\n\n{part}\n\nAfter, at last.")]
    assert sources == ["Before.", part, "After, at last."]


@given(texts, st.data())
def test_an_answer_grows_in_the_blocks_that_it_is_reopened_in(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    whole = rows_of(blocks(text))
    assert "".join(source for source, _ in whole) == text
    assert rows_of(grow([text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)])) == whole
    assert rows_of(grow(list(text))) == whole


@pytest.mark.parametrize("text", ["\n\n".join(PARTS), "\n".join(PARTS)])
def test_an_answer_of_every_kind_grows_by_characters(text: str) -> None:
    assert rows_of(grow(list(text))) == rows_of(blocks(text))


def test_a_paragraph_is_closed_when_the_next_one_is_certain() -> None:
    growing = Blocks()
    assert growing.feed("- a\n\n") == []
    assert growing.feed("-") == []
    assert growing.feed(" b\n\n") == []
    assert [block.source for _, block in growing.feed("The")] == ["- a\n\n- b\n\n"]
    assert growing.open.markdown == "The"


def test_an_open_fence_swallows_everything() -> None:
    text = "```\none\n\ntwo\n\n# three"
    assert [block.source for block in blocks(text)] == [text]


def test_links_and_footnotes_that_are_defined_later_are_drawn_again() -> None:
    growing = Blocks()
    growing.feed("See [here][1] and this[^a].\n\nMore.\n\n")
    assert growing.closed[0].markdown == "See \\[here\\]\\[1\\] and this\\[^a\\]."
    assert 0 not in dict(growing.feed("[1]: https://e.example\n\n[^a]: A"))
    again = dict(growing.feed("\n\nEnd"))
    assert again[0].markdown == "See [here](<https://e.example>) and this¹."
    growing.finish()
    assert [block.markdown for block in growing.closed[1:]] == ["More.", "", "¹ A", "End"]


def test_a_formula_without_an_end_holds_nothing_back_for_ever() -> None:
    growing = Blocks()
    growing.feed("$$\nx = 1\n\n" + "Words and words.\n\n" * 300)
    assert len(growing.closed) > 200
    assert len(growing.open.source) < 5_000


@pytest.mark.parametrize(
    "kind", ["A paragraph with `code` and **bold**.\n\n", "- an *item* and more\n\n", "```\ncode\n```\n\n"]
)
def test_a_piece_costs_the_same_at_the_end_as_at_the_beginning(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    real = markdown.__dict__["parse"]

    def measured(text: str, env: Any) -> Any:
        parsed.append(len(text))
        return real(text, env)

    monkeypatch.setattr(markdown, "parse", measured)
    growing = Blocks()
    for piece in [kind[:9], kind[9:]] * 300:
        growing.feed(piece)
    assert max(parsed[2:]) <= 3 * len(kind)


@pytest.mark.parametrize(
    "text",
    [
        "![" * 5_000, "[" * 5_000, "`" * 5_000, "$" * 5_001, "\\[" * 2_500, "- \n\n" * 1_000, "> " * 1_000,
        "*a " * 2_500, "<sub>" * 1_500, "[^" * 1_500, "$$\n" * 1_500, "\\(" * 2_500, "| a " * 1_500, ":a:" * 2_500,
    ],
)  # fmt: skip
def test_pathological_text_takes_no_quadratic_time(text: str) -> None:
    """Texts with which a model could block a page. Quadratic work would take minutes."""
    began = time.process_time()
    blocks(text)
    as_one(text)
    assert time.process_time() - began < 20
