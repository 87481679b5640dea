"""The chat page in a real browser, as a tester uses it, and the app's record of that.

`visit` opens the page in a window of its own and watches it: a request to another machine, a failed script or
an error in the console fails the test. `Chat` has a name for everything on the page that tests use.
"""

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Locator, Page, Request, WebError, expect

from lib.store import Store
from tests.support.app_process import AppProcess, metrics
from tests.support.loopback_guard import is_loopback
from tests.support.waiting import ENOUGH_S, until

SOON_MS = 1000 * ENOUGH_S
"""The time limit of `expect` (conftest.py sets it) and of Playwright's other waits."""
DESK, PHONE = (1280, 800), (390, 844)

STATE = """document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState"""
AT_REST = """element => new Promise(done => {
  let before, frames = 0;
  const look = () => {
    const now = JSON.stringify([element.scrollTop, element.getBoundingClientRect().top]);
    frames = now === before ? frames + 1 : 0;
    before = now;
    if (frames < 30) requestAnimationFrame(look); else done(JSON.parse(now));
  };
  look();
})"""
"""An element's scroll offset and the top of it on the screen, once neither has changed for thirty frames."""
SIDEBAR_IN = """() => {
  const { left, width } = document.querySelector('[data-testid="stSidebar"]').getBoundingClientRect();
  return Math.abs(left) < 1 && width > 100;
}"""
IDLE = f"""() => {STATE} === 'notRunning'
  && ![...document.querySelectorAll('button')].some(b => b.textContent.includes('Stop'))"""
NEWEST = """() => [...document.querySelectorAll('[data-testid="stFeedback"]')].at(-1)
  ?.closest('[class*="st-key-acts_"]')?.className.match(/acts_\\w+/)[0]"""
"""The key of the newest answer with thumbs."""
NEWEST_CHOICES = """() => [...document.querySelectorAll('[class*="st-key-choices_"]')].at(-1)
  ?.className.match(/choices_\\w+/)[0]"""
"""The key of the newest comparison that can be voted on."""
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
        """The newest message, which after a question is its answer."""
        return self.messages.last

    def text(self, words: str, *, exact: bool = True) -> Locator:
        """Return the newest element with these words in the main part of the page.

        A title in the sidebar may have the same words, and while Streamlit moves an element it is there twice.
        """
        return self.page.get_by_test_id("stMain").get_by_text(words, exact=exact).last

    def button(self, name: str) -> Locator:
        """Return the newest button of this name."""
        return self.page.get_by_role("button", name=name, exact=True).last

    def thumb(self, up: bool) -> Locator:
        """Return the thumb up or down of the newest answer that has thumbs."""
        return self.page.get_by_role("radio", name="Thumbs up" if up else "Thumbs down").last

    def choose(self, title: str, item: str) -> None:
        """Choose an item from the menu of the conversation with this title in the sidebar."""
        row = self.page.locator('[class*="st-key-row_"]').filter(has_text=title).last
        row.hover()
        row.get_by_role("button", name="Conversation menu").click()
        self.page.get_by_role("menuitem", name=item).click()

    def open(self, path: str = "/") -> None:
        """Load an address of the app and wait until the input is enabled and the page's script runs."""
        self.page.goto(self.app.url + path)
        expect(self.box).to_be_enabled(timeout=SOON_MS)
        self.page.wait_for_function("window.parley?.kept", timeout=SOON_MS)

    def wait_for_sidebar(self) -> None:
        """Wait until the sidebar has slid in on a phone. A tap while it moves may hit another element."""
        self.page.wait_for_function(SIDEBAR_IN, timeout=SOON_MS)

    def send(self, text: str) -> None:
        """Type a question and press Enter."""
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text: str, within_ms: float = SOON_MS) -> None:
        """Ask a question; wait for its whole answer and until the page is drawn."""
        self._ask(text, NEWEST, within_ms)

    def compare(self, text: str) -> None:
        """Ask a question; wait for both whole answers and until the page is drawn."""
        self._ask(text, NEWEST_CHOICES, SOON_MS)

    def _ask(self, text: str, newest: str, within_ms: float) -> None:
        self.idle(within_ms)
        before = self.page.evaluate(newest)
        self.send(text)
        ended = f"before => {{ const now = ({newest})(); return now && now !== before && ({IDLE})(); }}"
        self.page.wait_for_function(ended, arg=before, timeout=within_ms)

    def idle(self, within_ms: float = SOON_MS) -> None:
        """Wait until no answer runs: the script has ended and there is no Stop button."""
        self.page.wait_for_function(IDLE, timeout=within_ms)

    def state(self) -> str:
        """Return the state that Streamlit reports for its script."""
        return str(self.page.evaluate(STATE))

    @property
    def conversation_id(self) -> str:
        """The id in the address; empty where there is none."""
        return urlsplit(self.page.url).query.removeprefix("c=")

    def watch(self) -> None:
        """Begin to observe every frame; `seen` returns the changes."""
        self.page.evaluate(WATCH)

    def seen(self) -> list[tuple[str, int, int]]:
        """Return the changes since `watch`: the script's state, the numbers of visible and of disabled Stop buttons."""
        rows = [row.split(",") for row in self.page.evaluate("window.seen")]
        return [(state, int(visible), int(disabled)) for state, visible, disabled in rows]


@contextmanager
def window(browser: Browser, size: tuple[int, int] = DESK, dark: bool = False, **more: Any) -> Iterator[Page]:
    """Open a window without cookies and stored data. `more` are options of its browser context.

    A free tab of an earlier window with the same options is used again: what it has loaded and compiled saves two
    thirds of the processor time that a page takes in a new browser context. Routes and further tabs do not outlive the
    block. Init scripts and WebSocket routes would, so give these to a further tab.
    """
    free = _free_tabs.setdefault(browser, {}).setdefault(repr(sorted(more.items())), [])
    page = free.pop() if free else browser.new_context(**more).new_page()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.context.grant_permissions(more.get("permissions", []))
    emptied = False
    open_tabs.append(page)
    try:
        yield page
        emptied = _empty(page)
    except Exception as error:
        error.add_note(describe(page))
        raise
    finally:
        open_tabs.remove(page)
        if emptied:
            free.append(page)
        else:
            page.context.close()


_free_tabs: "WeakKeyDictionary[Browser, dict[str, list[Page]]]" = WeakKeyDictionary()
"""The free tabs of a browser, by the options of their context."""


open_tabs: list[Page] = []
"""The first tab of every open window."""


def describe(page: Page) -> str:
    """Return a line for a failed test's report: the address, the focus and the text of its page."""
    try:
        focused, text = page.evaluate("[document.activeElement?.outerHTML.slice(0, 200), document.body.innerText]")
        return f"{page.url}: focus on {focused!r} in " + re.sub(r"\s*\n\s*", " | ", text)
    except Error as error:
        return f"{page.url}: {error}"


def _empty(page: Page) -> bool:
    """Leave the app and delete all that it stored in this tab's context; return False where the app has ended."""
    context = page.context
    for other in context.pages:
        if other != page:
            other.close()
    try:
        context.unroute_all()
        page.unroute_all()
        page.goto(urljoin(page.url, "/healthz"), timeout=5_000)  # on another host the compiled scripts would be lost
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    except Error:
        return False
    context.clear_cookies()
    context.clear_permissions()
    return True


@contextmanager
def visit(
    browser: Browser, app: AppProcess, *, path: str = "/", size: tuple[int, int] = DESK, dark: bool = False, **more: Any
) -> Iterator[Chat]:
    """Open the page of a new visitor, `watched` until the block ends."""
    with window(browser, size, dark, **more) as page, watched(page.context):
        chat = Chat(page, app)
        chat.open(path)
        yield chat


@contextmanager
def tab(context: BrowserContext, app: AppProcess, path: str = "/") -> Iterator[Chat]:
    """Open one more tab of a browser context, as large as its first."""
    size = context.pages[0].viewport_size if context.pages else None
    with context.new_page() as page:
        if size:
            page.set_viewport_size(size)
        chat = Chat(page, app)
        chat.open(path)
        yield chat


@contextmanager
def watched_page(browser: Browser, url: str, size: tuple[int, int] = DESK, dark: bool = False) -> Iterator[Page]:
    """Open a page of the app in a window of its own with Berlin's time, `watched` until the block ends."""
    with window(browser, size, dark, timezone_id="Europe/Berlin") as page, watched(page.context):
        page.goto(url)
        yield page


@contextmanager
def watched(context: BrowserContext, *, console: bool = True, expected: str | None = None) -> Iterator[None]:
    """Fail if a tab of this context asks another machine, has a script that fails or logs an error in the block.

    With `console` False errors in the console are allowed. Always allowed are errors of requests for `_stcore` below
    the root: there Streamlit looks for its server twice. Requests to an address that contains `expected` are allowed;
    the test or the page's policy blocks them. The browser itself lets no request leave this machine
    (`chromium.launch`): routes would do so, too, but switch the cache off.
    """
    faults: list[str] = []

    def look(request: Request) -> None:
        parts = urlsplit(request.url)
        own = parts.scheme in ("data", "blob") or is_loopback(parts.hostname)
        if not own and (expected is None or expected not in request.url):
            faults.append(f"asked for {request.url}")

    def read(message: ConsoleMessage) -> None:
        if console and message.type == "error" and not re.search(r"/\w+/_stcore/", message.location["url"]):
            faults.append(message.text)

    def fail(error: WebError) -> None:
        faults.append(str(error.error))

    context.on("request", look)
    context.on("console", read)
    context.on("weberror", fail)
    yield
    for event, listener in (("request", look), ("console", read), ("weberror", fail)):
        context.remove_listener(event, listener)
    assert not faults, faults


class Record:
    """The app's record, read beside it.

    A page waits only a quarter of a second for a write and then goes on. So `events` waits until the app has written
    everything that was handed to its store.
    """

    def __init__(self, store: Store, app: AppProcess) -> None:
        self.store, self._app = store, app

    @classmethod
    @contextmanager
    def of(cls, app: AppProcess) -> "Iterator[Record]":
        """Open the record of an app that has the default database."""
        store = Store.open(f"sqlite:///{app.folder}/data/parley.db")
        try:
            yield cls(store, app)
        finally:
            store.close()

    def events(self, conversation_id: str | None = None, *names: str) -> list[dict[str, Any]]:
        """Return the exported events, oldest first: of one conversation and of these names, if they are given."""
        until(self._is_complete)
        return [
            event
            for event in self.store.events.export()
            if (not names or event["name"] in names)
            and (not conversation_id or event["metadata"].get("conversation_id") == conversation_id)
        ]

    def names(self, conversation_id: str) -> list[str]:
        """Return the names of a conversation's events, oldest first."""
        return [event["name"] for event in self.events(conversation_id)]

    def _is_complete(self) -> bool:
        """Return True if the app has written all that was handed to its store, or has ended."""
        try:
            return metrics(self._app.url)["parley_store_queued"] == 0
        except OSError:
            return True


def click_together(*buttons: Locator) -> None:
    """Click these buttons in one task of the browser, so that the server reads all clicks before it draws anything."""
    buttons[0].page.evaluate("all => all.forEach(one => one.click())", [one.element_handle() for one in buttons])


def turn_narrow_and_dark(page: Page) -> None:
    """Give a loaded page a phone's size and dark colours. This costs a tenth of loading it anew."""
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", "dark")


def edit_prompt(page: Page, text: str) -> None:
    """Write another system prompt for Test on the Experiment page, and wait until the difference is shown."""
    page.get_by_text("Edit the definition").last.click()
    field = page.get_by_label("System prompt of Test", exact=True)
    field.fill(text)
    field.press("Tab")
    expect(page.get_by_text("Difference to version").last).to_be_visible()


def open_pages(app: AppProcess) -> int:
    """Return the number of open pages, by Streamlit's own count."""
    with urllib.request.urlopen(app.url + "/_stcore/metrics") as answer:
        return int(re.findall(r"^active_sessions (\d+)", answer.read().decode(), re.MULTILINE)[0])
