"""The layout of a page in Chromium: elements that are wider than the screen, and charts that are not drawn yet."""

from playwright.sync_api import Page

from tests.support.waiting import until

DRAWN = """() => [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
  .every(one => one.querySelector('svg.marks, canvas.marks'))
  && !document.querySelector('[data-testid="stSkeleton"]')"""
"""True in a page whose charts are all drawn."""
TABLES = '[data-testid="stTable"], [data-testid="stDataFrame"]'
"""Elements that scroll by themselves."""
_TOO_WIDE = """scrolling => [...document.querySelectorAll('*')]
  .filter(one => one.checkVisibility() && !(scrolling && one.closest(scrolling)))
  .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.dataset.testid ?? one.tagName)"""


def expect_within_the_screen(page: Page, scrolling: str = "") -> None:
    """Wait until no visible element ends outside the screen, except in elements that the selector `scrolling` names."""
    found: list[str] = []

    def fits() -> bool:
        found[:] = page.evaluate(_TOO_WIDE, scrolling)
        return not found

    until(fits, show=lambda: found)
