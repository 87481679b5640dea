"""axe-core finds nothing on the chat page: light and dark, at a desk and on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.axe import expect_no_findings
from tests.support.chat_page import DESK, PHONE, Chat, visit
from tests.support.openai_server import RESET, Gate, stream

pytestmark = pytest.mark.browser

SETTINGS = {
    "PARLEY_OPERATORS": "operator@example.org",  # a tester's view: otherwise this machine is the operator
    "PARLEY_SUGGESTIONS": "What is Parley? | Write a haiku in Python",
}
ANSWER = (
    r"""
# A heading

Some text with `inline code`, [a link](https://example.org), $a^2$ and a broken formula: $\frac{1}{$, $\notacommand{x}$.

> A quotation with `code`.

| """
    + " | ".join(f"a wide column {n}" for n in range(9))
    + " |\n"
    + "|---" * 9
    + "|\n"
    + "| `a value` " * 9
    + r"""|

```python
# A comment
@decorator
def water(flour_g: float, hydration: float = 0.75) -> float:
    raise ValueError(f"bad {flour_g!r}\n") if hydration in (None, True) else 3.14  # and so on, until it has to scroll
```

$$"""
    + " + ".join(r"\sum_{i=0}^{n} a_i x^i" for _ in range(9))
    + """$$

- [ ] to do
- [x] done
"""
)


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def tester(
    request: pytest.FixtureRequest, browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> Iterator[Chat]:
    """A tester's page, at a desk and on a phone."""
    model.forget()
    with visit(browser, chat_app, size=request.param) as chat:
        chat.idle()
        yield chat


def test_nothing_is_found_in_an_answer_of_every_kind(tester: Chat, model: openai.Server) -> None:
    model.script(stream(ANSWER, openai.finish(), openai.DONE))
    tester.ask("A long question\n" * 14)
    expect(tester.page.locator("pre[tabindex='0']")).to_have_count(1)
    expect(tester.answer.locator(".token.comment").first).to_be_visible()
    expect_no_findings(tester.page)
    tester.page.get_by_test_id("stMain").evaluate("one => { one.scrollTop = 0; }")
    expect_no_findings(tester.page)


def test_nothing_is_found_in_what_opens(tester: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(stream("Half", RESET), stream("Growing", gate, openai.finish(), openai.DONE))
    tester.send("One?")
    expect(tester.text("Interrupted")).to_be_visible()
    tester.idle()
    tester.thumb(up=False).click()
    tester.text("Too long").click()
    expect(tester.page.get_by_role("radio", name="Too long")).to_be_checked()
    expect_no_findings(tester.page)
    tester.send("Two?")
    expect(tester.answer).to_contain_text("Growing")
    tester.send("Three?")
    expect(tester.text("Waits for the answer above")).to_be_visible()
    expect_no_findings(tester.page)
    gate.open()
    expect(tester.feedback).to_have_count(3)
    tester.idle()
    if tester.page.viewport_size == {"width": PHONE[0], "height": PHONE[1]}:
        tester.page.get_by_test_id("stExpandSidebarButton").click()
        tester.wait_for_sidebar()
    tester.page.get_by_role("button", name="Privacy").click()
    expect(tester.page.get_by_role("button", name="Delete all my conversations")).to_be_visible()
    expect_no_findings(tester.page)
    tester.page.keyboard.press("Escape")
    tester.choose("One?", "Delete")
    expect(tester.button("Cancel")).to_be_visible()
    expect_no_findings(tester.page)


def test_nothing_is_found_on_the_empty_page_and_under_an_answer(tester: Chat) -> None:
    expect_no_findings(tester.page)
    tester.ask("Hello?")
    expect_no_findings(tester.page)
