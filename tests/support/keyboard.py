"""A page by keyboard alone: Tab until an element visibly has the focus."""

from playwright.sync_api import Locator, expect

from tests.support.waiting import until

FOCUSED = "one => one === document.activeElement"
MOST = 80
"""Presses of Tab that are enough to go around any page."""
RING = """one => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  return (style.outlineStyle !== 'none' || style.boxShadow !== 'none') && box.top >= 0 && box.bottom <= innerHeight;
}"""
"""True for an element on the screen with an outline or a shadow, which show that it has the focus."""


def go_to(target: Locator, *, back: bool = False) -> None:
    """Press Tab until an element has the focus; of a button, wait until the focus is visible."""
    for _ in range(MOST):
        if target.evaluate(FOCUSED):
            break
        target.page.keyboard.press("Shift+Tab" if back else "Tab")
    expect(target).to_be_focused()
    if target.evaluate("one => one.tagName") == "BUTTON":
        until(lambda: target.evaluate(RING), show=lambda: target)


def press(target: Locator, *, back: bool = False, key: str = "Enter") -> None:
    go_to(target, back=back)
    target.page.keyboard.press(key)
