"""axe-core finds nothing on the chat page: light and dark, at a desk and on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.axe import findings
from tests.support.chat_page import DESK, PHONE, Chat, visit

pytestmark = pytest.mark.browser

SETTINGS = {
    "PARLEY_OPERATORS": "operator@example.org",  # as testers see it: this machine is no operator
    "PARLEY_SUGGESTIONS": "What is Parley? | Write a haiku in Python",
}
STILL = "document.getAnimations().every(one => one.effect.getTiming().iterations === Infinity)"


@pytest.fixture(params=[(DESK, False), (DESK, True), (PHONE, False), (PHONE, True)], ids=str)
def tester(
    request: pytest.FixtureRequest, browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> Iterator[Chat]:
    """A tester's page of this size, light or dark."""
    model.forget()
    size, dark = request.param
    with visit(browser, chat_app, size=size, dark=dark) as chat:
        chat.idle()
        yield chat


def found(chat: Chat) -> list[str]:
    """Return what axe-core finds once everything stands still."""
    chat.page.wait_for_function(STILL)
    return findings(chat.page)


def test_nothing_is_found_on_the_empty_page_and_under_an_answer(tester: Chat) -> None:
    assert found(tester) == []
    tester.ask("Hello?")
    assert found(tester) == []
