"""The look and accessibility of the chat: at a desk, on a phone, light and dark, by keyboard alone. Leaves pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import DESK, PHONE, Chat, visit
from tests.support.chromium import picture
from tests.support.openai_server import Gate, stream
from tests.support.waiting import until

pytestmark = pytest.mark.browser

SETTINGS = {
    "PARLEY_OPERATORS": "operator@example.org",  # a tester's view: otherwise this machine is the operator
    "PARLEY_SUGGESTIONS": "What is Parley? | Write a haiku in Python",
}

ANSWER = """\
Bread needs three things: **flour, water and time**. A first loaf:

| step | what happens | how long |
|---|---|---|
| mix | flour drinks the water | 5 minutes |
| rest | gluten forms by itself | 12 hours |
| bake | steam lifts the crust | 45 minutes |

The water is a share of the flour's weight, $w = 0.75 \\cdot f$:

```python
def water(flour_g: float, hydration: float = 0.75) -> float:
    return flour_g * hydration
```
"""
REST = """
1. Fold the dough twice in the first hour.
2. Bake it in a *closed* pot, then open the lid.

Let it cool before you cut it: the crumb sets while it does.
"""
NAMELESS = """() => {
  const words = one => {
    const copy = one.cloneNode(true);
    for (const icon of copy.querySelectorAll('[data-testid="stIconMaterial"]')) icon.remove();
    return copy.textContent.trim().replace(/^\\w+ icon$/, '');
  };
  return [...document.querySelectorAll('button, input, textarea')]
    .filter(one => one.checkVisibility() && !(one.ariaLabel || words(one) || one.title
      || one.labels?.[0]?.innerText.trim() || one.getAttribute('aria-labelledby')))
    .map(one => one.outerHTML.slice(0, 200));
}"""
"""Returns the elements without a name. The name that Streamlit gives an icon without a label, such as
"content_copy icon", counts as none."""
WIDE = """\
| """ + " | ".join(f"a rather long column {number}" for number in range(12)) + """ |
""" + "|---" * 12 + """|
| """ + " | ".join(f"value {number}" for number in range(12)) + """ |

```
""" + "a_line_of_code_without_any_end " * 12 + """
```

""" + "Averylongwordwithoutanyplacetobreak" * 8 + """

$$\\sum_{i=0}^{n} a_i x^i + \\sum_{i=0}^{n} b_i y^i + \\sum_{i=0}^{n} c_i z^i + \\sum_{i=0}^{n} d_i w^i$$
"""  # fmt: skip
SIZES = {"1280": DESK, "390": PHONE}


def done(text: str) -> openai.Reply:
    """Return a stream that sends this answer in one piece."""
    return stream(text, openai.finish(), openai.usage(10, 5), openai.DONE)


def in_view(place: Locator) -> bool:
    """Return True where the element is visible from left to right without scrolling."""
    box, size = place.bounding_box(), place.page.viewport_size
    assert size
    return box is not None and box["x"] >= 0 and box["x"] + box["width"] <= size["width"]


def scrolls_sideways(page: Page) -> bool:
    """Return True where the page, or its main part, is wider than the screen."""
    return bool(
        page.evaluate(
            """() => [document.scrollingElement, ...document.querySelectorAll('[data-testid="stMain"]')]
                 .some(one => one.scrollWidth > one.clientWidth + 1)"""
        )
    )


# Pictures


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_the_four_states_have_their_picture(
    width: str, dark: bool, browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    name = f"{width}-{'dark' if dark else 'light'}"
    with visit(browser, chat_app, size=SIZES[width], dark=dark) as chat:
        expect(chat.text("What is Parley?")).to_be_visible()
        chat.idle()
        shoot(chat, f"empty-{name}")
        model.script(done("Swift, brisk and *fleet*."), done("Because air scatters blue light more than red light."))
        for question in ("Three synonyms for quick", "Why is the sky blue?"):
            chat.open()
            chat.ask(question)
        chat.open()
        gate = Gate()
        model.script(stream(ANSWER, gate, REST, openai.finish(), openai.usage(10, 5), openai.DONE))
        chat.send("How do I bake my first bread?")
        expect(chat.answer.get_by_test_id("stCode")).to_contain_text("flour_g * hydration")
        expect(chat.stop).to_be_visible()
        shoot(chat, f"streaming-{name}")
        gate.open()
        chat.idle()
        chat.thumb(up=False).click()
        chat.text("Too long").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        chat.idle()
        shoot(chat, f"rated-{name}")
        if width == "390":
            chat.page.get_by_test_id("stExpandSidebarButton").click()
        else:
            chat.page.get_by_role("button", name="Three synonyms for quick").click()
            expect(chat.messages.first).to_contain_text("Three synonyms for quick")
            chat.idle()
            chat.page.locator('[class*="st-key-row_"]').first.hover()
            chat.page.get_by_role("button", name="Conversation menu").first.click()
            expect(chat.page.get_by_role("menuitem", name="Download")).to_be_in_viewport()
        expect(chat.page.get_by_role("button", name="Why is the sky blue?")).to_be_in_viewport()
        shoot(chat, f"earlier-{name}")


def shoot(chat: Chat, name: str) -> None:
    """Take a picture once nothing moves."""
    chat.page.evaluate("document.fonts.ready.then(() => 0)")
    chat.page.wait_for_function("document.getAnimations().every(one => one.effect.getTiming().iterations === Infinity)")
    chat.page.screenshot(path=picture(name), animations="disabled")


def test_a_dark_system_gets_a_dark_page(browser: Browser, chat_app: app_process.AppProcess) -> None:
    with visit(browser, chat_app, dark=True) as chat:
        expect(chat.page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(20, 23, 31)")


# On a phone


@contextmanager
def phone(browser: Browser, app: app_process.AppProcess) -> Iterator[Chat]:
    """A tester's page on a phone."""
    with visit(browser, app, size=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2) as chat:
        yield chat


def test_on_a_phone_everything_is_reached_with_a_thumb(
    browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    with phone(browser, chat_app) as chat:
        expect(chat.box).to_be_in_viewport()
        expect(chat.page.get_by_role("button", name="New conversation")).not_to_be_in_viewport()
        for suggestion in ("What is Parley?", "Write a haiku in Python"):
            until(partial(in_view, chat.text(suggestion)))
        until(lambda: not scrolls_sideways(chat.page))
        gate = Gate()
        model.script(stream(WIDE, gate, "The end.", openai.finish(), openai.DONE))
        chat.send("A wide one")
        expect(chat.answer).to_contain_text("value 11")
        expect(chat.stop).to_be_in_viewport(ratio=1)
        until(partial(in_view, chat.stop))
        until(lambda: not scrolls_sideways(chat.page))
        gate.open()
        chat.idle()
        until(lambda: not scrolls_sideways(chat.page))
        reachable = [chat.thumb(True), chat.thumb(False), *map(chat.button, ("Copy", "Regenerate", "Edit question"))]
        for place in reachable:
            place.scroll_into_view_if_needed()
            until(partial(in_view, place))
        chat.thumb(up=False).tap()
        expect(chat.text("Something else")).to_be_visible()
        until(partial(in_view, chat.page.get_by_role("textbox", name="Anything to add?")))
        until(lambda: not scrolls_sideways(chat.page))


def test_on_a_phone_the_conversations_open_and_close(browser: Browser, chat_app: app_process.AppProcess) -> None:
    with phone(browser, chat_app) as chat:
        chat.ask("The first one")
        first = chat.conversation_id
        chat.open()
        chat.ask("The second one")
        chat.page.get_by_test_id("stExpandSidebarButton").tap()
        chat.wait_for_sidebar()
        entry = chat.page.get_by_role("button", name="The first one")
        until(lambda: in_view(entry))
        entry.tap()
        expect(chat.messages.first).to_contain_text("The first one")
        expect(entry).not_to_be_in_viewport()
        until(lambda: chat.conversation_id == first)
        chat.idle()
        chat.page.get_by_test_id("stExpandSidebarButton").tap()
        chat.wait_for_sidebar()
        chat.page.get_by_role("button", name="Conversation menu").first.tap()
        for name in ("Download", "Delete"):
            until(partial(in_view, chat.page.get_by_role("menuitem", name=name)))


# With a keyboard


def tab_to(page: Page, what: str, at_most: int = 40, back: bool = False) -> None:
    """Press Tab until the focus is on an element whose text or label has these words."""
    for _ in range(at_most):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        label = page.evaluate(
            """() => { const one = document.activeElement;
                 if (!one.matches('button, input, textarea, [role=radio]')) return '';
                 return [one.ariaLabel, one.innerText, one.placeholder, one.closest('label')?.innerText].join(' '); }"""
        )
        if what in label:
            return
    raise AssertionError(f"{what} was not reached")


def test_a_keyboard_is_enough(chat: Chat, model: openai.Server) -> None:
    keys = chat.page.keyboard
    gate = Gate()
    model.script(done("The first answer."), stream("The second", gate, " answer.", openai.finish(), openai.DONE))
    tab_to(chat.page, "Ask anything")
    keys.type("Question")
    keys.press("Enter")
    expect(chat.feedback).to_have_count(1)
    chat.idle()
    expect(chat.box).to_be_focused()
    tab_to(chat.page, "Regenerate", back=True)
    keys.press("Enter")
    expect(chat.answer).to_contain_text("The second")
    tab_to(chat.page, "Stop")
    keys.press("Enter")
    expect(chat.text("Stopped")).to_be_visible()
    chat.idle()
    expect(chat.box).to_be_focused()
    tab_to(chat.page, "Copy", back=True)
    keys.press("Shift+Tab")
    keys.press("Space")
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.idle()
    tab_to(chat.page, "New conversation", back=True)
    keys.press("Enter")
    expect(chat.messages).to_have_count(0)
    expect(chat.text("What is Parley?")).to_be_visible()
    chat.idle()
    expect(chat.box).to_be_focused()
    tab_to(chat.page, "What is Parley?")
    keys.press("Space")
    expect(chat.answer).to_contain_text("Hello from the stand-in.")


# The tester's view


def test_a_tester_sees_no_group_and_no_measurement(chat: Chat, model: openai.Server) -> None:
    chat.ask("Question")
    expect(chat.page.get_by_role("button", name="Details")).to_have_count(0)
    shown = chat.page.locator("body").inner_text()
    assert not [word for word in (CONTROL_MODEL, TEST_MODEL, "Control", "Test", "tokens") if word in shown]


def test_no_input_is_without_a_name(chat: Chat) -> None:
    chat.ask("Question")
    chat.thumb(up=False).click()
    expect(chat.page.get_by_role("textbox", name="Anything to add?")).to_be_visible()
    until(lambda: not chat.page.evaluate(NAMELESS), show=lambda: chat.page.evaluate(NAMELESS))
