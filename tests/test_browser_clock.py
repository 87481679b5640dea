"""A browser whose time zone the server does not know: every page is shown, in UTC."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support import app_process
from tests.support.chat_page import Chat, watched

pytestmark = pytest.mark.browser

UNKNOWN = "Etc/Unknown"
"""The zone that a browser reports when it does not know its own."""
CLAIM = f"""const own = Intl.DateTimeFormat.prototype.resolvedOptions;
Intl.DateTimeFormat.prototype.resolvedOptions =
  function () {{ return {{...own.call(this), timeZone: "{UNKNOWN}"}}; }}"""
PAGES = {"results": "Results", "experiment": "Experiment", "events": "Events"}


@pytest.fixture
def chat(browser: Browser, chat_app: app_process.AppProcess) -> Iterator[Chat]:
    """A page in a browser that reports the zone `UNKNOWN`."""
    with browser.new_context() as context, watched(context):
        context.add_init_script(CLAIM)
        yield Chat(context.new_page(), chat_app)


def test_every_page_opens(chat: Chat) -> None:
    page = chat.page
    chat.open()
    assert page.evaluate("new Intl.DateTimeFormat().resolvedOptions().timeZone") == UNKNOWN
    chat.ask("Hello?")
    page.reload()
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    expect(page.get_by_test_id("stSidebar").get_by_text("Today", exact=True)).to_be_visible()
    for path, title in PAGES.items():
        page.goto(f"{chat.app.url}/{path}")
        expect(page.get_by_role("link", name=title, exact=True)).to_be_visible()
        page.wait_for_function(
            "document.querySelector('[data-testid=\"stApp\"]')?.dataset.testScriptState === 'notRunning'"
        )
        expect(page.get_by_text("Something went wrong")).to_have_count(0)
        expect(page.get_by_test_id("stException")).to_have_count(0)
