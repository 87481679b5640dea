"""Browsers whose time zone this machine does not know: every page is there, in UTC."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import app_process
from tests.support.chat_page import Chat, watched

pytestmark = pytest.mark.browser

CLAIM = """const own = Intl.DateTimeFormat.prototype.resolvedOptions;
Intl.DateTimeFormat.prototype.resolvedOptions =
  function () { return {...own.call(this), timeZone: sessionStorage.zone}; }"""
PAGES = {"results": "Results", "experiment": "Experiment", "events": "Events"}


@pytest.fixture(scope="module")
def claiming(browser: Browser) -> Iterator[Page]:
    """A window whose browser reports the time zone in its session storage."""
    with browser.new_context() as context, watched(context):
        context.add_init_script(CLAIM)
        yield context.new_page()


@pytest.mark.parametrize("zone", ["Etc/Unknown", "../../etc/passwd", ""])
def test_every_page_opens(zone: str, claiming: Page, chat_app: app_process.AppProcess) -> None:
    page = claiming
    page.goto(chat_app.url + "/healthz")
    page.evaluate("zone => { sessionStorage.zone = zone; }", zone)
    chat = Chat(page, chat_app)
    chat.open()
    assert page.evaluate("new Intl.DateTimeFormat().resolvedOptions().timeZone") == zone
    chat.ask("Hello?")
    page.reload()
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    expect(page.get_by_test_id("stSidebar").get_by_text("Today", exact=True)).to_be_visible()
    for path, title in PAGES.items():
        page.goto(f"{chat_app.url}/{path}")
        expect(page.get_by_role("link", name=title, exact=True)).to_be_visible()
        page.wait_for_function(
            "document.querySelector('[data-testid=\"stApp\"]')?.dataset.testScriptState === 'notRunning'"
        )
        expect(page.get_by_text("Something went wrong")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)
