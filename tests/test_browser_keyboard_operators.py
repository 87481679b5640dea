"""The operators' acts by keyboard alone: everything is reached, seen, and nothing loses the focus."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support import app_process
from tests.support.axe import STILL
from tests.support.chat_page import IDLE, watched_page
from tests.support.keyboard import go_to, press
from tests.support.layout import DRAWN
from tests.support.waiting import until

pytestmark = pytest.mark.browser

RADIO_SCRIPT = re.compile(r"/Radio\.[^/]+\.js$")
"""The script that Streamlit loads when it first draws a radio."""


@contextmanager
def opened(browser: Browser, app: app_process.AppProcess, path: str) -> Iterator[Page]:
    """A page of the app, drawn to its last line."""
    with watched_page(browser, app.url + path) as page:
        settle(page)
        yield page


def settle(page: Page) -> None:
    expect(page.get_by_text("Parley 0.").last).to_be_visible()
    page.wait_for_function(IDLE)
    page.wait_for_function(DRAWN)


def download(button: Locator) -> str:
    """Press a button that downloads a file, expect the focus on it again, and return the file's text."""
    with button.page.expect_download() as waiting:
        press(button)
    text = Path(waiting.value.path()).read_text("utf-8-sig")
    expect(button).to_be_enabled()
    expect(button).to_be_focused()
    return text


def test_an_operator_pauses_and_edits_without_a_mouse(browser: Browser, app: app_process.AppProcess) -> None:
    with watched_page(browser, f"{app.url}/experiment", dark=True) as page:
        expect(page.get_by_text("Edit the definition", exact=True)).to_be_visible()
        page.wait_for_function(IDLE)
        begin = page.get_by_role("button", name="New experiment", exact=True)
        press(begin)
        expect(page.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
        expect(begin).to_have_css("color", "rgb(157, 180, 255)")  # Streamlit's own is too dark to read
        page.keyboard.press("Escape")
        expect(begin).to_be_focused()
        pause = page.get_by_role("button", name="Pause", exact=True)
        press(pause)
        reason = page.get_by_role("dialog").get_by_role("textbox", name="Why, in a sentence", exact=True)
        expect(reason).to_be_focused()
        now = page.get_by_role("button", name="Pause it", exact=True)
        expect(now).to_be_visible()
        page.keyboard.press("Shift+Tab")
        expect(now).to_be_focused()  # Tab stays inside the dialog
        page.keyboard.press("Escape")
        expect(pause).to_be_focused()
        page.keyboard.press("Enter")
        expect(reason).to_be_focused()
        press(now)
        resume = page.get_by_role("button", name="Resume", exact=True)
        expect(resume).to_be_focused()  # Resume has taken the place of Pause
        page.wait_for_function(IDLE)
        press(page.locator("summary").filter(has_text="Edit the definition"))
        go_to(page.get_by_label("System prompt of Test", exact=True))
        save = page.get_by_role("button", name="Save the version", exact=True)
        expect(save).to_be_disabled()
        page.keyboard.type("Be brief.")
        page.keyboard.press("Tab")
        expect(reason_of_version := page.get_by_role("textbox", name="Why, in a sentence", exact=True)).to_be_focused()
        expect(save).to_be_enabled()  # the difference is drawn above
        expect(reason_of_version).to_be_focused()
        page.keyboard.type("It reads better")
        page.keyboard.press("Tab")
        expect(save).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Nothing is changed.").last).to_be_visible()
        definition = page.get_by_role("textbox", name="Definition", exact=True)
        for one in (save, definition):
            expect(one).to_have_count(1)  # the saved version's fields are gone
        expect(save).to_be_disabled()
        expect(definition).to_be_focused()


def test_an_operator_decides_and_reads_the_record_without_a_mouse(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with opened(browser, operated, "/experiment") as page:
        form = page.get_by_role("dialog")
        reason = form.get_by_role("textbox", name="Why, in a sentence", exact=True)
        control, test = (form.get_by_role("radio", name=f"{group}'s parameters") for group in ("Control", "Test"))
        held: list[Route] = []
        page.route(RADIO_SCRIPT, lambda route: held.append(route), times=1)
        press(page.get_by_role("button", name="Decide", exact=True))
        expect(reason).to_be_visible()
        until(lambda: page.evaluate("true") and held)
        held[0].continue_()
        expect(test).to_be_focused()  # the first field, though it was drawn last
        page.keyboard.press("ArrowUp")
        expect(control).to_be_checked()
        page.wait_for_function(IDLE)
        expect(control).to_be_focused()
        now = form.get_by_role("button", name="Decide", exact=True)
        press(now)
        expect(form.get_by_text("Say in a sentence why: the history shows it beside the decision.")).to_be_visible()
        page.wait_for_function(IDLE)
        expect(now).to_be_focused()
        go_to(reason, back=True)
        page.keyboard.type("Nobody waits for so little")
        press(now)
        expect(
            page.get_by_role("button", name="Start", exact=True)
        ).to_be_focused()  # the first act that is possible now
        page.wait_for_function(IDLE)
        press(page.get_by_role("link", name="History", exact=True), back=True)
        expect(page.get_by_text("Control became the default", exact=True)).to_be_visible()
        settle(page)
        press(page.locator("summary").filter(has_text="The readout as it stood"))
        expect(page.locator('[class*="st-key-picture_wide_"] img')).to_be_visible()
        page.wait_for_function(STILL)
        readout = json.loads(download(page.get_by_role("button", name="Download the readout (JSON)", exact=True)))
        assert readout["verdict"] == "better"


def test_an_operator_reads_and_exports_results_without_a_mouse(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with opened(browser, operated, "/results") as page:
        charts = ("Satisfaction", "Errors")
        first, second = (
            page.get_by_role("button", name=f"Show data: {name}: difference to Control") for name in charts
        )
        go_to(first)
        page.keyboard.press("ArrowLeft")  # wraps around to the toolbar's last button
        expect(page.get_by_role("button", name="Fullscreen: Satisfaction: difference to Control")).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(first).to_be_focused()
        page.keyboard.press("Tab")
        expect(second).to_be_focused()  # a toolbar is one stop
        page.keyboard.press("Shift+Tab")
        expect(first).to_be_focused()
        files = page.get_by_role("button", name="Download", exact=True)
        press(files, back=True)
        readout = page.get_by_role("button", name="Readout (JSON)", exact=True)
        expect(readout).to_be_focused()
        assert json.loads(download(readout))["control"] == "Control"
        page.keyboard.press("Escape")
        expect(files).to_be_focused()
        choice = page.get_by_role("button", name="Filter", exact=True)
        press(choice, back=True)
        expect(page.get_by_role("combobox", name="Experiment", exact=True)).to_be_focused()
        go_to(page.get_by_role("spinbutton", name="year, Dates start date"))
        page.keyboard.type("20200101")
        page.keyboard.press("Enter")
        expect(page.get_by_text("This is a part of the experiment that the filter chose.").last).to_be_visible()
        page.keyboard.press("Escape")
        expect(choice).to_be_focused()


def test_an_operator_filters_and_reads_events_without_a_mouse(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with opened(browser, operated, "/events") as page:
        event = page.get_by_role("combobox", name="Event", exact=True)
        go_to(event)
        page.keyboard.type("chat_completion")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("name=chat_completion"))
        page.wait_for_function(IDLE)
        expect(event).to_be_focused()
        unit, table = page.get_by_role("textbox", name="Unit", exact=True), page.get_by_test_id("stDataFrame")
        go_to(unit)
        page.keyboard.type("not a unit")
        page.keyboard.press("Enter")
        expect(page.get_by_text("No event matches.").last).to_be_visible()
        expect(unit).to_be_focused()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.press("Delete")
        page.keyboard.press("Enter")
        expect(table).to_be_visible()
        days = page.get_by_role("button", name="Days", exact=True)
        press(days)
        expect(page.get_by_role("spinbutton", name="year, Since")).to_be_focused()
        page.keyboard.type("20200101")
        page.keyboard.press("Escape")
        expect(page.get_by_text("Days: 2020-01-01 to today").last).to_be_visible()
        expect(days).to_be_focused()
        settle(page)
        go_to(page.get_by_role("button", name="Show/hide columns: Events, newest first", exact=True))
        page.keyboard.press("Tab")  # its toolbar is one stop
        expect(table.get_by_test_id("glide-cell-1-0")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(table.get_by_test_id("glide-cell-1-1")).to_be_focused()
        page.keyboard.press("Shift+Space")
        event_itself = page.locator("summary").filter(has_text="This event: chat_completion")
        expect(event_itself).to_be_visible()
        settle(page)
        press(event_itself)
        expect(page.get_by_text('"metadata"').last).to_be_visible()
