"""Wide content in Chromium: no word, formula, table or line of code makes the page wider than its column."""

from functools import partial

import pytest
from playwright.sync_api import expect

from tests.support import openai_server as openai
from tests.support.chat_page import AT_REST, DESK, PHONE, Chat
from tests.support.waiting import until

pytestmark = pytest.mark.browser

LONG = "Q" * 5_000
SUM = "+".join(f"x_{{{number}}}" for number in range(200))
CELLS = 40
WIDE = {
    "a word": f"Before {LONG} after",
    "a word in each place": f"# {LONG}\n\n- {LONG}\n\n> {LONG}\n\n1. **{LONG}**\n\n`{LONG}`\n\n[{LONG}](https://example.org/{LONG})",
    "a formula": f"$$ {SUM} $$\n\nIn a line: ${SUM}$ and on",
    "a formula in a list": f"- ${SUM}$\n\n> $$ {SUM} $$",
    "a matrix": "$$\\begin{pmatrix} " + " & ".join(["\\text{a long entry}"] * 30) + " \\end{pmatrix}$$",
    "a word in a formula": f"$$\\text{{{LONG}}}$$\n\n$\\text{{{LONG}}}$ and $\\rule{{9999px}}{{10px}}$",
    "room in a formula": "$\\kern{9999px}$x and $$\\kern{9999px}y$$",
    "a table": "| a longer heading " * CELLS + "|\n" + "|---" * CELLS + "|\n" + "| value " * CELLS + "|\n",
    "a table with a word": f"| a | b |\n|---|---|\n| {LONG} | ${SUM}$ |",
    "a table in a list": "- | a | b |\n  |---|---|\n  | " + LONG + " | `" + LONG + "` |",
    "a line of code": f"```python\n{LONG} = 1\n```\n\n- in a list\n  ```\n  {LONG}\n  ```",
}  # fmt: skip
"""Wide answers, by the kind of content that is wide."""

OUTSIDE = """() => {
  const main = document.querySelector('[data-testid="stMain"]');
  const pages = [document.scrollingElement, main, document.querySelector('[data-testid="stSidebarContent"]')];
  const tooWide = one => one && one.getBoundingClientRect().right > 100 && one.scrollWidth > one.clientWidth + 1;
  const wider = pages.filter(tooWide).map(one => one.dataset.testid || 'page');
  const right = main.getBoundingClientRect().right + 1;
  const messages = [...document.querySelectorAll('[data-testid="stChatMessage"]')];
  return wider.concat(messages.filter(one => one.getBoundingClientRect().right > right).map(() => 'message'));
}"""
"""Returns the parts of the page that are too wide for their column."""


def expect_nothing_outside(chat: Chat, what: str) -> None:
    """Wait until no part of a page with this content is too wide, on a phone and at a desk."""
    for name, (width, height) in {"phone": PHONE, "desk": DESK}.items():
        chat.page.set_viewport_size({"width": width, "height": height})
        chat.page.get_by_test_id("stMain").evaluate(AT_REST)
        until(lambda: not chat.page.evaluate(OUTSIDE), show=partial(shown_outside, chat, f"{what} on a {name}"))


def shown_outside(chat: Chat, what: str) -> str:
    return f"{what}: {chat.page.evaluate(OUTSIDE)}"


def test_a_long_word_in_a_question_and_in_a_title(chat: Chat, model: openai.Server) -> None:
    model.script(otherwise=openai.answer("Short."))
    chat.ask(LONG)
    expect(chat.answer).to_contain_text("Short.")
    expect_nothing_outside(chat, "a question")
    chat.open()
    expect_nothing_outside(chat, "an empty page")


@pytest.mark.parametrize("what", WIDE)
def test_nothing_in_an_answer_makes_the_page_wider(what: str, chat: Chat, model: openai.Server) -> None:
    model.script(openai.stream(WIDE[what], openai.finish(), openai.DONE))
    chat.ask(f"Show me {what}")
    expect_nothing_outside(chat, what)
