"""axe-core finds nothing on the operators' pages, the doors and the pages that say what is wrong."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import app_process
from tests.support.axe import expect_no_findings_at_any_size
from tests.support.chat_page import IDLE, window

pytestmark = pytest.mark.browser

TOKEN = "the-operator-token-0123"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """The app with a notice before its chat, and a chat that fails."""
    folder = tmp_path_factory.mktemp("closed")
    app_process.lay_out(folder)
    (folder / "pages/chat/page.py").write_text("raise ZeroDivisionError")
    notice = "Your messages are **kept** for 90 days.\n\n- You may stop at any time: `/`."
    app = app_process.start(folder, {"PARLEY_CONSENT": notice, "PARLEY_OPERATOR_TOKEN": TOKEN})
    yield app
    app.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty window."""
    with window(browser, reduced_motion="reduce") as opened:
        yield opened


@pytest.mark.parametrize("path", ["/results", "/experiment", "/history", "/events"])
def test_nothing_is_found_on_an_operators_page(path: str, page: Page, operated: app_process.AppProcess) -> None:
    page.goto(operated.url + path)
    expect(page.get_by_text("Parley 0.").last).to_be_visible()  # the last line of such a page
    page.wait_for_function(IDLE)
    if path == "/results":
        page.get_by_text("All metrics", exact=True).last.click()
        expect(page.get_by_role("columnheader", name="Metric")).to_be_visible()
    expect_no_findings_at_any_size(page)


def test_nothing_is_found_on_the_doors_and_on_a_page_that_fails(page: Page, closed: app_process.AppProcess) -> None:
    for path, words in (("/nowhere", "There is no page here"), ("/operator", "Operator"), ("/auth/logout", "Sign out")):
        page.goto(closed.url + path)
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        expect_no_findings_at_any_size(page)
    page.goto(closed.url)
    expect(page.get_by_role("heading", name="Before you begin")).to_be_visible()
    page.wait_for_function(IDLE)
    expect_no_findings_at_any_size(page)
    page.get_by_role("button", name="I agree").click()
    expect(page.get_by_role("heading", name="This page cannot be shown")).to_be_visible()
    page.wait_for_function(IDLE)
    expect_no_findings_at_any_size(page)
