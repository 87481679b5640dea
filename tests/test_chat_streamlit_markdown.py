"""The Markdown that Streamlit gets: its parser must find nothing that the model did not write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.dialect import PARSER
from lib.chat.markdown import as_one

FENCE = "`" * 3


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (r"\(a^2\) and \( b \)", "$$a^2$$ and $$b$$"),
        (r"so \[x\] here", "so $$x$$ here"),
        (r"\[ x^2 \]", "$$\nx^2\n$$"),
        ("\\[\nx \\\\[4pt]\ny\n\\]", "$$\nx \\\\[4pt]\ny\n$$"),
        ("$$ E = mc^2 $$", "$$\nE = mc^2\n$$"),
        ("Text\n$$\nx\n$$\nmore", "Text\n\n$$\nx\n$$\n\nmore"),
        ("$x_1$ or $y$, the $n$th", "$x_1$ or $y$, the $n$th"),
        (r"$\$5$", r"$$\$5$$"),
        ("- a\n  \\[ x \\]", "- a\n  $$\n  x\n  $$"),
    ],
)
def test_formulas_are_drawn_however_they_are_written(written: str, shown: str) -> None:
    assert as_one(written) == shown


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.", "US$ 5, or 5 $", "from $5-$10", "one $", "The plans cost 5$, 10$ or 15$ a month.",
        "US$-denominated or US$-linked", "$/PR and $/issue", "($-denominated)", "set $HOME/$USER before", "$PATH:$HOME",
        "echo $$ and $$ again", "$A/$B", '"$A","$B"', "$5 or 10$", "A is 5$, B is 6$",
    ],
)  # fmt: skip
def test_prices_and_variables_are_no_formulas(text: str) -> None:
    assert as_one(text).replace("\\$", "") == text.replace("$", "").replace(":", "\\:")
    assert as_one(text).count("\\$") == text.count("$")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (f"{FENCE}py\n$5 \\(x\\) ![a](b) :red[c]\n{FENCE}", f"{FENCE}py\n$5 \\(x\\) ![a](b) :red[c]\n{FENCE}"),
        ("`$5 and \\(x\\) ![a](b) :red[c]`", "`$5 and \\(x\\) ![a](b) :red[c]`"),
        ("``a ` $5 b``", "`` a ` $5 b ``"),
        ("    $HOME \\[a\\]", f"{FENCE}\n$HOME \\[a\\]\n{FENCE}"),
        (f"1. x\n\n    {FENCE}sh\n    a\n\n    $1\n    {FENCE}", f"1. x\n\n   {FENCE}sh\n   a\n\n   $1\n   {FENCE}"),
        (f"> {FENCE}\n> $x\n> {FENCE}", f"> {FENCE}\n> $x\n> {FENCE}"),
        (f"{FENCE}\n$5 open", f"{FENCE}\n$5 open\n{FENCE}"),
        (f"{FENCE}mermaid\ngraph\n{FENCE}", f"{FENCE}\ngraph\n{FENCE}"),
    ],
)
def test_code_is_unchanged(written: str, shown: str) -> None:
    assert as_one(written) == shown


@pytest.mark.parametrize("inner", ["bash", "python"])
@pytest.mark.parametrize("outer", ["markdown", "md", "", "text", "python"])
def test_an_inner_fence_does_not_close_the_outer_one(outer: str, inner: str) -> None:
    text = f"{FENCE}{outer}\n# T\n\n{FENCE}{inner}\nx\n\ny\n{FENCE}\n\nEnd\n{FENCE}"
    [token] = PARSER.parse(f"{text}\n\nAfter", {"references": {}, "footnotes": {"refs": {}}})[:-3]
    assert token.content == "\n".join(text.split("\n")[1:-1]) + "\n"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (":red[alarm]", "\\:red\\[alarm\\]"),
        (":material/home: sweet", "\\:material/home\\: sweet"),
        (":streamlit:", ":color[\\:]{}streamlit\\:"),
        ("user:id:42", "user:color[\\:]{}id\\:42"),
        ("10:30 and a:hover{color:red}", "10\\:30 and a\\:hover{color\\:red}"),
        ("::before\n\n:::note", "\\:\\:before\n\n\\:\\:\\:note"),
        ("a -> b >= c", "a :color[-]{}> b :color[>]{}= c"),
        ("git checkout -- file", "git checkout :color[-]{}- file"),
        (
            "see https://e.example/u:id:42.",
            "see [https\\://e.example/u:color[\\:]{}id\\:42](<https://e.example/u:id:42>).",
        ),
        ("`:material/home:`", "\\:material/home\\:"),
    ],
)
def test_streamlits_own_marks_are_not_obeyed(written: str, shown: str) -> None:
    assert as_one(written).replace("material\\/", "material/") == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("![A cat](https://c.example/a.png)", "[A cat (image at c.example)](<https://c.example/a.png>)"),
        ('![](https://c.example/a.png "title")', "[Image (image at c.example)](<https://c.example/a.png>)"),
        ("![two\nlines](https://c.example/a)", "[two lines (image at c.example)](<https://c.example/a>)"),
        ("[![A](https://c.example/a)](https://d.example)", "[A (image at c.example)](<https://d.example>)"),
        ("![by name][r]\n\n[r]: https://c.example/a", "[by name (image at c.example)](<https://c.example/a>)"),
        ("![local](/_stcore/health)", "local"),
        ("![data](data:image/png;base64,AAAA)", "data"),
        ("![broken](http://)", "broken"),
    ],
)
def test_an_image_becomes_a_link_or_its_words(written: str, shown: str) -> None:
    assert as_one(written) == shown


@pytest.mark.parametrize(
    "address",
    ["/auth/logout", "auth", "//h.example/x", "https:/auth/logout", "https:auth", "?x=1", "#a", "javascript:alert(1)",
     "data:text/html,x", "ftp://h.example", "file:///x", "http://", "http:///auth", "http://[::1", "htt&#112;:/auth"],
)  # fmt: skip
def test_a_link_into_this_app_or_of_another_kind_is_text(address: str) -> None:
    assert as_one(f"[ok]({address})") == "ok"


@pytest.mark.parametrize("address", ["https://e.example/a_b?x=1&y=2", "HTTP://e.example", "mailto:a@e.example"])
def test_a_link_to_the_web_or_to_a_mailbox_stays(address: str) -> None:
    assert as_one(f"[ok]({address})") == f"[ok](<{address.replace('&', '&amp;')}>)"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("H<sub>2</sub>O and 10<sup>-3</sup>", "H₂O and 10⁻³"),
        ("a<br>b<br/>c", "a\\\nb\\\nc"),
        ("| a |\n|---|\n| x<br>y |", "| a |\n| --- |\n| x&#10;y |"),
        ("<b>x</b>", "\\<b>x\\</b>"),
        ("x<sub>Q</sub>", "x\\_Q"),
        ("# One\n\n## Two\n\n##### Five", "### One\n\n#### Two\n\n###### Five"),
        ("- [ ] open\n- [x] done", "- [ ] open\n- [x] done"),
        ("a | b\n--|:-:\n`x\\|y` | $\\|z\\|$", "| a | b |\n| --- | :-: |\n| `x\\|y` | $\\vert z\\vert $ |"),
        ("1\\. x\n\n\\- y\n\n\\# z", "1\\. x\n\n\\- y\n\n\\# z"),
    ],
)
def test_the_markdown_of_models_is_drawn_as_meant(written: str, shown: str) -> None:
    assert as_one(written) == shown


@given(st.text(alphabet="a![](x):/\\`\n <$|*_~#>-=\"'&;", max_size=60))
def test_no_image_and_no_html_remains_outside_of_code(text: str) -> None:
    """Parsed again as CommonMark with HTML enabled, no text contains an image, HTML or a foreign link."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(as_one(text))
    inline = [child for token in tokens for child in token.children or []]
    assert not [one for one in [*tokens, *inline] if one.type in ("image", "html_inline", "html_block")]
    assert all(str(one.attrs["href"]).startswith(("http", "mailto:")) for one in inline if one.type == "link_open")
