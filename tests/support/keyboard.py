"""A page by keyboard alone: Tab until an element has the focus, and is seen to have it."""

from playwright.sync_api import Locator, expect

from tests.support.waiting import until

FOCUSED = "one => one === document.activeElement"
MOST = 80
"""Presses of Tab that lead around a page."""
RING = """one => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  return (style.outlineStyle !== 'none' || style.boxShadow !== 'none') && box.top >= 0 && box.bottom <= innerHeight;
}"""
"""True of an element that is seen to have the focus."""


def go_to(target: Locator, *, back: bool = False) -> None:
    """Press Tab until this has the focus, and see that it has."""
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
