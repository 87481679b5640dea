"""The chat in a real WebKit and a real Firefox: one tester's way through it, and the following of growing answers."""

from collections.abc import Iterator

import pytest

from tests.support import webdriver
from tests.support.app_process import AppProcess
from tests.support.chat_page import Record
from tests.support.comparing_page import start_comparing
from tests.support.openai_server import DONE, HANG, Gate, Server, finish, stream, usage
from tests.support.real_page import BOX, FROM_END, MAIN, RealPage
from tests.support.waiting import until

pytestmark = pytest.mark.browser

LONG = "A sentence that is long enough for some lines of an answer, and says nothing else. " * 4
TABLE = "| Setting | Meaning |\n|---|---|\n" + "".join(f"| `NAME_{row}` | {LONG[:60]} |\n" for row in range(8))
LIST = "".join(f"- Item {row}: {LONG[:80]}\n" for row in range(10))
CODE = "```python\n" + "".join(f"print('line {row}')\n" for row in range(14)) + "```\n"
TIMES = 12
REGION = '[role="region"][aria-label^="Answer"]'


@pytest.fixture(scope="module", params=["webkit", "firefox"])
def driver(request: pytest.FixtureRequest) -> Iterator[webdriver.Driver]:
    """A browser for all tests of this file."""
    if packages := webdriver.missing(request.param):
        pytest.skip(f"there is no {request.param} to drive (on Debian: apt-get install {packages})")
    with webdriver.launch(request.param) as launched:
        yield launched


@pytest.fixture(scope="module")
def comparing_app(tmp_path_factory: pytest.TempPathFactory, model: Server) -> Iterator[AppProcess]:
    """The app where every unit compares."""
    started = start_comparing(tmp_path_factory.mktemp("comparing"), model)
    yield started
    started.stop()


@pytest.fixture
def page(driver: webdriver.Driver, chat_app: AppProcess, model: Server) -> RealPage:
    """An empty page of 1280 × 800."""
    model.forget()
    opened = RealPage(driver, chat_app.url)
    opened.open()
    driver.resize(1280, 800)
    return opened


def expect_recorded(page: RealPage, app: AppProcess, *names: str) -> None:
    """Wait until the record of this page's conversation has these events."""
    with Record.of(app) as record:
        ours = conversation(page)
        until(lambda: set(names) <= set(record.names(ours)), show=lambda: record.names(ours))


def test_a_tester_asks_stops_rates_copies_reloads_and_goes_on_on_a_phone(
    page: RealPage, model: Server, chat_app: AppProcess
) -> None:
    gate = Gate()
    model.script(
        stream("Half of ", HANG),
        stream("Paris is the capital. ", gate, LONG, finish(), usage(11, 30), DONE),
        stream("On a phone as well.", finish(), usage(11, 5), DONE),
    )
    page.ask("What is the capital of France?")
    page.until_answer_says("Half of")
    page.click("Stop")
    page.idle()
    page.until_answer_says("Stopped")

    page.ask("And once more?")
    page.until_answer_says("Paris is the capital.")
    gate.open()
    page.until_answer_says(LONG[-40:].strip())
    page.idle()
    page.click("Copy")
    expect_recorded(page, chat_app, "copied")  # once the text is in the clipboard; the page's note disappears too soon
    page.driver.run(f"{BOX}.focus()")
    page.paste()
    page.until(f"{BOX}.value.startsWith('Paris is the capital. A sentence')")
    page.clear()

    page.click("Thumbs down")
    page.click("Too slow")
    expect_recorded(page, chat_app, "dissatisfaction", "feedback_reason")

    page.reload()
    page.until_answer_says("Paris is the capital.")
    page.driver.resize(390, 844)
    page.until("document.documentElement.scrollWidth <= innerWidth && innerWidth === 390")
    page.ask("And here?")
    page.until_answer_says("On a phone as well.")
    page.idle()
    page.until(f"{FROM_END} < 5")


def test_every_growing_answer_is_followed_to_its_end(page: RealPage, model: Server) -> None:
    for number in range(TIMES):
        grows = [f"{LONG}\n\n{LONG}\n\n", f"{TABLE}\n", f"{LIST}\n{CODE}\n", f"End {number}."]
        gates = [Gate() for _ in grows]
        model.script(stream(*(step for pair in zip(gates, grows, strict=True) for step in pair), finish(), DONE))
        page.ask(f"Question {number}?")
        for gate, there in zip(gates, ("p", "td", "pre", None), strict=True):
            gate.open()
            page.until_answer_has(there) if there else page.until_answer_says(f"End {number}.")
            page.until(f"{FROM_END} < 5")
        page.idle()
        page.until(f"{FROM_END} < 5 && {page.named('Jump to latest')} === undefined")


def test_a_reader_who_scrolls_up_is_left_alone_and_led_back(page: RealPage, model: Server) -> None:
    gate, last = Gate(), Gate()
    model.script(stream(f"{LONG}\n\n" * 8, gate, f"{TABLE}\n", last, "The end.", finish(), DONE))
    page.ask("Go")
    page.until(f"{FROM_END} < 5 && {MAIN}.scrollTop > 300")
    page.wheel(-250)
    page.until(page.named("Jump to latest") + " !== undefined")
    before = page.at_rest(f"{MAIN}.scrollTop")
    gate.open()
    page.until_answer_has("td")
    assert page.at_rest(f"{MAIN}.scrollTop") == before
    page.click("Jump to latest")
    page.until(f"{FROM_END} < 5")
    last.open()
    page.until_answer_says("The end.")
    page.until(f"{FROM_END} < 5")
    page.idle()


def test_two_answers_grow_side_by_side_and_are_voted_on(
    driver: webdriver.Driver, comparing_app: AppProcess, model: Server
) -> None:
    model.forget()
    gate = Gate()
    model.script(*(stream(f"{word} words ", gate, LONG, finish(), usage(11, 30), DONE) for word in ("These", "Those")))
    page = RealPage(driver, comparing_app.url)
    page.open()
    driver.resize(1280, 800)
    page.ask("Which is better?")
    page.until_answer_says("These words")
    page.until_answer_says("Those words")
    gate.open()
    page.idle()
    page.click("A is better")
    page.until("document.body.innerText.includes('Saved, thank you')")
    assert page.value(f"[...document.querySelectorAll('{REGION}')].map(one => one.ariaLabel)") == [
        "Answer A",
        "Answer B",
    ]
    lefts = page.value(f"[...document.querySelectorAll('{REGION}')].map(one => one.getBoundingClientRect().left)")
    assert lefts[0] < lefts[1]
    with Record.of(comparing_app) as record:
        until(lambda: "preference" in record.names(conversation(page)))


def conversation(page: RealPage) -> str:
    """Return the conversation's id from the page's address."""
    return str(page.value("new URLSearchParams(location.search).get('c')"))
