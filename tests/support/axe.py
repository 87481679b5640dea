"""axe-core in a page under test: the findings of its rules, one line for each element."""

from collections.abc import Callable
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.support.chat_page import DESK, PHONE
from tests.support.layout import DRAWN
from tests.support.waiting import until

STILL = """(document.querySelector('[class*="st-key-stop"]') || !document.querySelector('[data-stale="true"]'))
  && document.getAnimations()
    .every(one => one.playState === "finished" || one.effect.getTiming().iterations === Infinity)"""
"""True in a page where no animation runs and no element is faded because it waits to be drawn anew.

While an answer grows, elements that nobody sees stay faded. A busy Chromium may list finished animations for a while.
"""
GROUND = "getComputedStyle(document.querySelector('[data-testid=\"stApp\"]') ?? document.body).backgroundColor"

OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
"""All rules that axe-core runs by itself, and targets of 24 pixels (WCAG 2.2), which it leaves out by default."""
OF_COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]}
"""The rules whose findings depend on a page's colours."""


def findings(page: Page, options: dict[str, Any] = OPTIONS) -> list[str]:
    """Return axe-core's findings in a page, one line each: rule, element, reason.

    Call it on a page at rest: a colour that still fades has another contrast.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [_line(rule["id"], node) for rule in found["violations"] for node in rule["nodes"]]


def findings_at_rest(page: Page) -> list[str]:
    """Return axe-core's findings in a page once it is at rest, in its present colours."""
    page.wait_for_function(STILL)
    return findings(page)


def findings_light_and_dark(page: Page) -> list[str]:
    """Return axe-core's findings in a page once it is at rest: those of all rules in light colours, and those of the
    rules about colours in dark ones. Leave the page in light colours."""
    found, light = [], page.evaluate(GROUND)
    for scheme, changed, options in (("light", "===", OPTIONS), ("dark", "!==", OF_COLOURS)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(f"{GROUND} {changed} {light!r} && {STILL}")
        found += [f"{scheme}: {line}" for line in findings(page, options)]
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{GROUND} === {light!r}")
    return found


def expect_no_findings_at_any_size(page: Page) -> None:
    """Wait until axe-core finds nothing in a page whose charts are drawn: light and dark, at a desk and on a phone."""
    for width, height in (PHONE, DESK):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(DRAWN)
        expect_no_findings(page)


def expect_no_findings(page: Page, find: Callable[[Page], list[str]] = findings_light_and_dark) -> None:
    """Wait until axe-core finds nothing in a page. While a page is drawn anew its colours fade, so one look may err."""
    found: list[str] = []

    def nothing() -> bool:
        found[:] = find(page)
        return not found

    until(nothing, show=lambda: "\n".join(found))


def _line(rule: str, node: dict[str, Any]) -> str:
    reason = " ".join(node["failureSummary"].split())
    return f"{rule}: {node['html'][:300]} ({reason})"
