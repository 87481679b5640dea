"""The whole life of an experiment in Chromium: draft, trial, start, answers, ramp, a new version, decision, history."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lib.domain.operations import Entry
from lib.experiments.acts import Acts
from lib.experiments.definitions import read_definitions_file
from lib.store import Store, audit
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.app_process import AppProcess
from tests.support.chat_page import DESK, IDLE, PHONE, SOON_MS, watched_page
from tests.support.chromium import picture
from tests.support.waiting import until
from tests.support.websocket_tester import Tester

pytestmark = pytest.mark.browser

TOP = "one => one.getBoundingClientRect().top"
CELLS_FIT = "one => [...one.querySelectorAll('td p')].every(p => p.scrollWidth <= p.clientWidth)"
NAME = "greeting"
FILE = """
[greeting]
allocation = 100
default = { model = "small-model" }
stop_on = ["error_rate"]
[greeting.groups]
Control = { weight = 50, parameters = { model = "small-model" } }
Test = { weight = 50, parameters = { model = "small-model", system_prompt = "Be brief." } }
[farewell]
default = { model = "small-model" }
[farewell.groups]
Old = { weight = 1, parameters = { model = "small-model" } }
New = { weight = 1, parameters = { model = "small-model", system_prompt = "Wave." } }
"""


@pytest.fixture(scope="module")
def life_app(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("app")
    app_process.lay_out(folder)
    (folder / ".streamlit" / "experiments.toml").write_text(FILE)
    app = app_process.start(folder, {"OPENAI_BASE_URL": model.base_url, "PARLEY_EXPERIMENT": NAME})
    yield app
    app.stop()
    assert not app.outbound() and "raceback" not in app.log()


@pytest.fixture
def page(browser: Browser, life_app: AppProcess) -> Iterator[Page]:
    with watched_page(browser, f"{life_app.url}/experiment") as opened:
        expect(opened.get_by_text("Edit the definition").last).to_be_visible(timeout=3 * SOON_MS)
        yield opened


def wait_until_idle(page: Page) -> None:
    """Wait until the page's script has ended."""
    page.wait_for_function(IDLE)


def press(page: Page, form: str, act: str, fields: dict[str, str] | None = None, *, refused: bool = False) -> None:
    """Open the form of an act, fill it in, and press the button whose key begins with `act`; wait for the page.

    Unless the act is refused, every form closes, even one that was opened before the page showed the act.
    """
    page.get_by_role("button", name=form).first.click()
    button = page.locator(f'[class*="st-key-{act}_"] button')
    expect(button).to_be_visible()
    for label, text in (fields or {}).items():
        field = page.get_by_label(label).last
        field.fill(text)
        field.press("Tab")
        wait_until_idle(page)
    button.click()
    if not refused:
        expect(button).to_have_count(0)
    wait_until_idle(page)


def edit(page: Page, label: str, text: str) -> None:
    """Type into a field of the editor."""
    page.get_by_text("Edit the definition").last.click()
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Tab")
    wait_until_idle(page)


def log(app: AppProcess) -> list[Entry]:
    store = Store.open(f"sqlite:///{app.folder}/data/parley.db")
    with store.read() as connection:
        found = list(audit.entries(connection, limit=None))
    store.close()
    return found


def test_the_whole_life_of_an_experiment(page: Page, life_app: AppProcess, model: openai.Server) -> None:
    model.script(otherwise=openai.answer("Hello."))
    expect(page.get_by_text("Running, day 1").last).to_be_visible()

    edit(page, "System prompt of Test", "Be brief.\nUse one sentence.")
    expect(page.get_by_text("This ends run 1 and begins run 2: system_prompt of Test").last).to_be_visible()
    expect(page.locator("code").filter(has_text="+Use one sentence.")).to_be_visible()
    page.screenshot(path=picture("life-editor"), full_page=True)

    page.get_by_placeholder("What do your testers ask?").fill("Hi")
    page.get_by_role("button", name="Ask every group").click()
    expect(page.get_by_text("Hello.").first).to_be_visible()
    draft = ["Be brief.\nUse one sentence.", "Hi"]  # the trial uses the draft; no tester gets it
    until(lambda: draft in [[part["content"] for part in sent.body["messages"]] for sent in model.requests])

    page.get_by_label("Why, in a sentence").last.fill("Shorter reads better")
    page.get_by_role("button", name="Save the version").click()
    expect(page.get_by_text("Nothing is changed.").last).to_be_visible()
    with Tester(life_app.url) as tester:
        tester.ask("Hello?")
        tester.rate(True)
        tester.idle()

    press(page, "Pause", "pause_now", {"Why, in a sentence": "Lunch"})
    expect(page.get_by_text("Paused, no new user takes part").last).to_be_visible()
    press(page, "Resume", "start_now")
    expect(page.get_by_text("Running, day 1, 1 rated user").last).to_be_visible()

    press(page, "Groups", "disable_now", {"Why, in a sentence": "Too slow"})
    expect(page.get_by_text("Control is switched off since").last).to_be_visible()
    page.screenshot(path=picture("life-switched-off"))

    press(page, "Decide", "decide_now", refused=True)
    expect(page.get_by_text("Say in a sentence why").last).to_be_visible()
    page.reload()
    expect(page.get_by_text("Edit the definition").last).to_be_visible()
    page.get_by_role("button", name="Decide").first.click()
    page.get_by_text("Control's parameters", exact=True).last.click()
    wait_until_idle(page)
    page.keyboard.press("Escape")
    press(page, "Decide", "decide_now", {"Why, in a sentence": "It reads better"})
    expect(page.get_by_text("Ended on").first).to_be_visible()
    page.screenshot(path=picture("life-decided"))

    press(page, "Start", "start_now")
    expect(page.get_by_text("Running, day 1").last).to_be_visible()

    page.goto(f"{life_app.url}/history")
    expect(page.get_by_text("Control became the default").last).to_be_visible()
    expect(page.get_by_text("It reads better").first).to_be_visible()
    for number in (1, 2, 3):
        expect(page.get_by_text(f"{NAME}, run {number}", exact=True).last).to_be_visible()
    page.screenshot(path=picture("life-history"), full_page=True)
    acts = [one.act for one in reversed(log(life_app)) if one.operator == "a browser on this machine"]
    assert acts == ["version", "pause", "start", "disable", "decide", "start"]
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").click()
    assert "decide,greeting" in Path(waiting.value.path()).read_text("utf-8-sig")
    page.get_by_text("The readout as it stood").last.click()
    wide, narrow = (page.locator(f'[class*="st-key-picture_{kind}_"] img') for kind in ("wide", "narrow"))
    expect(wide).to_have_attribute("alt", re.compile("^Not enough data yet"))
    expect(wide).to_be_visible()
    expect(narrow).to_be_hidden()
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    expect(narrow).to_be_visible()
    expect(wide).to_be_hidden()
    page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the picture").click()
    assert Path(waiting.value.path()).read_text().startswith("<svg")
    page.get_by_role("link", name="Its readout").last.click()
    expect(page.get_by_text(f"{NAME}, run 1").last).to_be_visible()


def test_of_two_operators_the_second_sees_what_the_first_did(page: Page, life_app: AppProcess) -> None:
    edit(page, "System prompt of Test", "Say please.")
    store = Store.open(f"sqlite:///{life_app.folder}/data/parley.db")
    acts = Acts(store)
    acts.attach(read_definitions_file(life_app.folder / ".streamlit" / "experiments.toml"), NAME)
    version = acts.book[NAME].version
    assert version is not None
    acts.save(
        NAME, version.text.replace('primary = "satisfaction"', 'primary = "error_rate"'), version.number, "ann", ""
    )
    store.close()
    page.get_by_role("button", name="Save the version").click()
    expect(page.get_by_text(f"ann saved version {version.number + 1} while you edited").last).to_be_visible()
    expect(page.locator("code").filter(has_text='+primary = "error_rate"')).to_be_visible()
    expect(page.get_by_label("System prompt of Test")).to_have_value("Say please.")


def test_a_broken_definition_says_what_is_wrong_and_cannot_be_saved(page: Page) -> None:
    edit(page, "Definition", "[greeting]\nallocation = 120\n[greeting.groups.Control]\nweight = 1")
    expect(page.get_by_text("line 2: [greeting] allocation: expected a percentage").last).to_be_visible()
    expect(page.get_by_role("button", name="Save the version")).to_be_disabled()


def test_a_model_that_no_provider_has_is_saved_after_a_warning_only(page: Page, life_app: AppProcess) -> None:
    text = FILE.partition("[farewell]")[0].replace('"small-model", system', '"nowhere", system')
    expect(page.get_by_text("Every model is at its provider.").last).to_be_visible()
    edit(page, "Definition", text)
    expect(page.get_by_text("openai has no model nowhere").last).to_be_visible()
    expect(page.get_by_role("button", name="Save the version")).to_be_disabled()
    page.get_by_text("Save it despite the warnings").last.click()
    expect(page.get_by_role("button", name="Save the version")).to_be_enabled()


def test_on_a_phone_each_line_of_the_audit_log_is_a_card_within_the_screen(
    browser: Browser, life_app: AppProcess
) -> None:
    with watched_page(browser, f"{life_app.url}/history", PHONE) as opened:
        table = opened.locator(".st-key-cards_audit table")
        cells = table.locator("tbody tr").first.locator("td")
        expect(cells.nth(1)).to_have_attribute("data-heading", "Operator")
        until(lambda: cells.nth(0).evaluate(TOP) < cells.nth(1).evaluate(TOP))
        until(lambda: table.evaluate("one => one.parentElement.scrollWidth <= one.parentElement.clientWidth"))
        until(lambda: table.evaluate(CELLS_FIT))


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_pages_look_right(browser: Browser, life_app: AppProcess, look: str) -> None:
    size = PHONE if look == "phone" else DESK
    with watched_page(browser, f"{life_app.url}/experiment", size, look == "dark") as opened:
        expect(opened.get_by_text("Edit the definition").last).to_be_visible()
        opened.screenshot(path=picture(f"life-experiment-{look}"), full_page=True)
        opened.goto(f"{life_app.url}/history")
        expect(opened.get_by_role("button", name="Download as CSV")).to_be_visible()
        opened.screenshot(path=picture(f"life-history-{look}"), full_page=True)
        opened.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
