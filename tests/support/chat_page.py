"""The chat page as a tester's hands and eyes have it, in a real browser, and what the app recorded meanwhile.

`visit` opens the page in a browser context of its own and watches it: a request to another machine, a failed script or
an error in the console fails the test. `Chat` is what the contract says about the page, as names.
"""

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, WebError, expect

from lib.store import Store
from tests.support.app_process import AppProcess
from tests.support.loopback_guard import is_loopback
from tests.support.waiting import ENOUGH_S

SOON_MS = 1000 * ENOUGH_S
"""The time limit of `expect` (conftest.py sets it) and of Playwright's other waits."""
DESK, PHONE = (1280, 800), (390, 844)

STATE = """document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState"""
IDLE = f"""() => {STATE} === 'notRunning'
  && ![...document.querySelectorAll('button')].some(b => b.textContent.includes('Stop'))"""
WATCH = """() => {
  const seen = [], text = () => [...document.querySelectorAll('[data-testid="stChatMessage"]')].at(-1)?.innerText ?? '';
  const visible = b => b.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const look = () => {
    const stops = [...document.querySelectorAll('button')].filter(b => b.innerText.trim().endsWith('Stop'));
    const now = [STATE, stops.filter(visible).length, stops.filter(b => b.disabled).length].join();
    if (now !== seen.at(-1)) seen.push(now);
    window.watch = requestAnimationFrame(look);
  };
  window.seen = seen;
  look();
}""".replace("STATE", STATE)


class Chat:
    """One tab. Everything visible is a Playwright locator, so that `expect` waits for it."""

    def __init__(self, page: Page, app: AppProcess) -> None:
        self.page, self.app = page, app
        self.box = page.get_by_test_id("stChatInputTextArea")
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.messages = page.get_by_test_id("stChatMessage")
        self.feedback = page.get_by_test_id("stFeedback")

    @property
    def answer(self) -> Locator:
        """The newest message; of an asked question, its answer."""
        return self.messages.last

    def button(self, name: str) -> Locator:
        """The newest button of this name."""
        return self.page.get_by_role("button", name=name, exact=True).last

    def thumb(self, up: bool) -> Locator:
        """The newest thumb."""
        return self.page.get_by_role("radio", name="Thumbs up" if up else "Thumbs down").last

    def choose(self, title: str, item: str) -> None:
        """Choose this item of the menu of a conversation in the sidebar."""
        row = self.page.locator('[class*="st-key-row_"]').filter(has_text=title)
        row.hover()
        row.get_by_role("button", name="Conversation menu").click()
        self.page.get_by_role("menuitem", name=item).click()

    def open(self, path: str = "/") -> None:
        """Load an address of the app, until the input is there."""
        self.page.goto(self.app.url + path)
        expect(self.box).to_be_enabled(timeout=SOON_MS)

    def send(self, text: str) -> None:
        """Type a question and press Enter."""
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text: str, within_ms: float = SOON_MS) -> None:
        """A question and its whole answer."""
        before = self.feedback.count()
        self.send(text)
        expect(self.feedback).to_have_count(before + 1, timeout=within_ms)
        self.idle(within_ms)

    def idle(self, within_ms: float = SOON_MS) -> None:
        """Until no answer runs: no script, no Stop."""
        self.page.wait_for_function(IDLE, timeout=within_ms)

    def state(self) -> str:
        """Streamlit's own word on its script."""
        return str(self.page.evaluate(STATE))

    @property
    def conversation_id(self) -> str:
        """The id in the address; empty where there is none."""
        return urlsplit(self.page.url).query.removeprefix("c=")

    def watch(self) -> None:
        """Look at every frame from now on; `seen` tells."""
        self.page.evaluate(WATCH)

    def seen(self) -> list[tuple[str, int, int]]:
        """Since `watch`, whenever it changed: the script's state, visible Stops, disabled Stops."""
        rows = [row.split(",") for row in self.page.evaluate("window.seen")]
        return [(state, int(visible), int(disabled)) for state, visible, disabled in rows]


@contextmanager
def visit(
    browser: Browser, app: AppProcess, *, path: str = "/", size: tuple[int, int] = DESK, dark: bool = False, **more: Any
) -> Iterator[Chat]:
    """The page in a browser of its own (no cookies), watched until the block ends."""
    options: dict[str, Any] = {
        "viewport": {"width": size[0], "height": size[1]},
        "color_scheme": "dark" if dark else "light",
    }
    with browser.new_context(**options, **more) as context, watched(context), tab(context, app, path) as chat:
        yield chat


@contextmanager
def tab(context: BrowserContext, app: AppProcess, path: str = "/") -> Iterator[Chat]:
    """One more tab of a browser."""
    with context.new_page() as page:
        chat = Chat(page, app)
        chat.open(path)
        yield chat


@contextmanager
def watched_page(browser: Browser, url: str, size: tuple[int, int] = DESK, dark: bool = False) -> Iterator[Page]:
    """A page of the app in a browser of its own, `watched` to its end."""
    options: dict[str, Any] = {
        "viewport": {"width": size[0], "height": size[1]},
        "color_scheme": "dark" if dark else "light",
    }
    with browser.new_context(**options, timezone_id="Europe/Berlin") as context, watched(context):
        page = context.new_page()
        page.goto(url)
        yield page


@contextmanager
def watched(context: BrowserContext) -> Iterator[None]:
    """While the block lasts no tab of this browser may ask another machine, fail in a script or write an error into
    its console. (`browser.launch` sees to it that no such request gets through; routes would switch the cache off.)
    At an address below the root Streamlit looks for its server twice; that alone may fail."""
    faults: list[str] = []

    def look(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and not is_loopback(parts.hostname):
            faults.append(f"asked for {request.url}")

    def read(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.search(r"/\w+/_stcore/", message.location["url"]):
            faults.append(message.text)

    def fail(error: WebError) -> None:
        faults.append(str(error.error))

    context.set_default_timeout(SOON_MS)
    context.on("request", look)
    context.on("console", read)
    context.on("weberror", fail)
    yield
    for event, listener in (("request", look), ("console", read), ("weberror", fail)):
        context.remove_listener(event, listener)
    assert not faults, faults


class Record:
    """The app's record, read beside it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    @contextmanager
    def of(cls, app: AppProcess) -> "Iterator[Record]":
        """The record of an app with the default database."""
        store = Store.open(f"sqlite:///{app.folder}/data/parley.db")
        try:
            yield cls(store)
        finally:
            store.close()

    def events(self, conversation_id: str | None = None, *names: str) -> list[dict[str, Any]]:
        """Events of the export, oldest first; of one conversation, those that name it."""
        return [
            event
            for event in self.store.events.export()
            if (not names or event["name"] in names)
            and (not conversation_id or event["metadata"].get("conversation_id") == conversation_id)
        ]

    def names(self, conversation_id: str) -> list[str]:
        """The names of a conversation's events, oldest first."""
        return [event["name"] for event in self.events(conversation_id)]


def open_pages(app: AppProcess) -> int:
    """Return the number of open pages, by Streamlit's own count."""
    with urllib.request.urlopen(app.url + "/_stcore/metrics") as answer:
        return int(re.findall(r"^active_sessions (\d+)", answer.read().decode(), re.MULTILINE)[0])
