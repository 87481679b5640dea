"""The Experiment and Events pages in Chromium: their look, their actions, and their visitors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.support import app_process, statsig_server
from tests.support import openai_server as openai
from tests.support.chat_page import AT_REST, DESK, IDLE, PHONE, Chat, turn_narrow_and_dark, watched_page, window
from tests.support.chromium import picture
from tests.support.layout import DRAWN, TABLES, expect_within_the_screen
from tests.support.network_cable import cable
from tests.support.statsig_server import Statsig
from tests.support.waiting import until
from tests.support.websocket_tester import Tester

pytestmark = pytest.mark.browser

"""The first visit of a process loads pandas and Altair."""
LIMIT = 3
EXPERIMENTS = """
[statsig_openai_integration]
allocation = 90
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 50, parameters = { model = "small-model", temperature = 0.7 } }
Test = { weight = 30, parameters = { model = "large-model", temperature = 0.7, system_prompt = "PROMPT" } }
Short = { weight = 20, parameters = { model = "large-model", max_tokens = 60, temperature = 3 } }
""".replace("PROMPT", "Answer in at most three sentences, without lists, and say what you do not know. " * 3)
ANSWER = openai.stream(
    "Set `OPENAI_BASE_URL` to its address, ", "then start Parley again.", openai.finish(), openai.usage(900, 400),
    openai.DONE,
)  # fmt: skip
CONNECTION = "document.querySelector('[data-testid=\"stApp\"]').dataset.testConnectionState"


@pytest.fixture(scope="module")
def statsig() -> Iterator[Statsig]:
    with statsig_server.serve() as server:
        server.specs_fault = 500
        yield server


@pytest.fixture(scope="module")
def operated(
    tmp_path_factory: pytest.TempPathFactory, model: openai.Server, statsig: Statsig
) -> Iterator[app_process.AppProcess]:
    """The app after a morning's use: answers, votes, failures, a limit that was met, events that Statsig rejects."""
    folder = tmp_path_factory.mktemp("app")
    app_process.lay_out(folder)
    (folder / ".streamlit" / "experiments.toml").write_text(EXPERIMENTS)
    app = app_process.start(
        folder,
        {"OPENAI_BASE_URL": model.base_url, "PARLEY_BUDGET_USD_PER_DAY": "5", "STATSIG_SECRET_KEY": "secret-key",
         "PARLEY_BUDGET_ANSWERS_PER_VISITOR": str(LIMIT), "STATSIG_API_URL": statsig.url},
    )  # fmt: skip
    model.script(otherwise=ANSWER)
    for number in range(9):
        if number == 6:
            until(lambda: app_process.metrics(app.url)["parley_outbox_pending"] == 0)
            statsig.events_fault = 500
        with Tester(app.url) as tester:
            if number == 4:
                model.script(openai.status(401))
            tester.ask("How do I connect a model of my own?")
            if tester.thumbs:
                tester.rate(number % 3 > 0)
                tester.idle()
            for _ in range(LIMIT if number == 0 else 0):
                tester.ask("And then?")
    yield app
    app.stop()
    assert not app.outbound()
    assert "raceback" not in app.log()


@contextmanager
def look(
    browser: Browser, app: app_process.AppProcess, path: str, size: tuple[int, int] = DESK, dark: bool = False
) -> Iterator[Page]:
    """Open a page of the app, and wait until it is drawn."""
    with watched_page(browser, app.url + path, size, dark) as page:
        settle(page)
        yield page


def settle(page: Page) -> None:
    """Wait until the whole page is drawn."""
    expect(page.get_by_test_id("stMain")).to_be_visible()
    page.wait_for_function(IDLE)
    page.wait_for_function(DRAWN)


def expect_fit(page: Page, name: str) -> None:
    """Expect that the page fits the screen, also once that turns narrow and dark. Leave a picture of each."""
    expect_within_the_screen(page, TABLES)
    page.screenshot(path=picture(f"{name}-1280-light"))
    turn_narrow_and_dark(page)
    settle(page)
    expect_within_the_screen(page, TABLES)
    page.screenshot(path=picture(f"{name}-390-dark"))


def pick(page: Page, row: int) -> None:
    """Tick a line of the table once the table no longer moves; lines count from 0."""
    page.get_by_test_id("stDataFrame").evaluate(AT_REST)
    box = page.get_by_test_id("stDataFrame").locator("canvas").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + 15, box["y"] + 35 * (row + 1) + 17)


# Looks


def test_the_experiment_page_is_drawn_within_the_screen(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/experiment") as page:
        expect(page.get_by_role("heading", name="statsig_openai_integration")).to_be_in_viewport()
        expect(page.get_by_text("1 of 9 visitors have used all of theirs.").last).to_be_visible()
        expect_fit(page, "experiment")
        expect(page.get_by_text("1 of 9 visitors have used all of theirs.").last).to_be_visible()


def test_the_events_page_is_drawn_within_the_screen_with_an_answers_life(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with look(browser, operated, "/events") as page:
        expect(page.get_by_text("They are sent when it is back.").last).to_be_visible()
        pick(page, 1)
        expect(page.get_by_role("heading", name="The life of an answer")).to_be_visible()
        settle(page)
        expect_fit(page, "events")
        expect(page.get_by_role("heading", name="The life of an answer")).to_be_visible()


def test_on_a_phone_a_line_of_the_ledger_is_selected_too(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/events", PHONE, dark=True) as page:
        pick(page, 1)
        expect(page.get_by_role("heading", name="The life of an answer")).to_be_visible()
        expect_within_the_screen(page, TABLES)


def test_an_empty_ledger_and_an_unused_experiment_are_drawn(browser: Browser, app: app_process.AppProcess) -> None:
    with look(browser, app, "/events") as page:
        expect(page.get_by_text("Nothing has happened yet.").last).to_be_visible()
        expect_fit(page, "events-empty")
        page.goto(app.url + "/experiment")  # the page is still as narrow as a phone
        settle(page)
        expect(page.get_by_text("None yet").last).to_be_visible()
        expect_within_the_screen(page, TABLES)
        page.screenshot(path=picture("experiment-empty-390-dark"))


# Actions


def invitation(page: Page, name: str) -> Locator:
    """The newest invitation of this name in the list."""
    return page.locator('[class*="st-key-invitation_"]').get_by_text(name, exact=True).first


def test_a_line_of_the_ledger_opens_the_answers_life_and_the_event_itself(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with look(browser, operated, "/events") as page:
        expect(page.get_by_text("Select a line to see the answer's life.").last).to_be_visible()
        page.get_by_test_id("stDataFrame").hover()
        expect(page.get_by_role("button", name=re.compile("^Search"))).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("Download as CSV"))).to_have_count(0)
        pick(page, 0)
        expect(page.get_by_text("wait for Statsig: HTTP 500").last).to_be_visible()
        settle(page)  # drawing a chart moves the elements below it
        page.get_by_text("This event:").last.click()
        expect(page.get_by_text('"metadata"').last).to_be_visible()


def test_the_filter_stands_in_the_address_and_opens_again(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/events") as page:
        page.get_by_role("combobox", name="Event").click()
        page.get_by_role("option", name="failed answers").click()
        settle(page)
        expect(page.get_by_test_id("stDataFrame")).to_have_count(1)
        expect(page).to_have_url(re.compile("name=failed"))
        page.reload()
        settle(page)
        expect(page.get_by_role("combobox", name="Event")).to_have_value("failed answers")


def test_days_stand_in_the_address_and_limit_what_is_shown(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/events?until=2026-01-31") as page:
        expect(page.get_by_text("No event matches.").last).to_be_visible()
        expect(page.get_by_text("Days and times are in Europe/Berlin.")).to_have_count(0)
        page.goto(operated.url + "/events?since=2026-01-31")
        settle(page)
        expect(page.get_by_text("Days and times are in Europe/Berlin.").last).to_be_visible()
        expect(page.get_by_test_id("stDataFrame")).to_have_count(1)


def test_a_page_that_is_opened_directly_reports_a_lost_connection_calmly(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    with cable(operated.url) as wire, browser.new_context() as context:
        page = context.new_page()
        page.goto(wire.url + "/history")
        settle(page)
        page.wait_for_function(f"{CONNECTION} === 'CONNECTED'")
        wire.pull()
        line = page.get_by_text("Connection lost. Reconnecting; your text is kept.")
        expect(line).to_be_visible()
        page.wait_for_function(f"{CONNECTION} === 'PINGING_SERVER'")
        expect(page.get_by_role("dialog")).to_have_count(0)
        wire.plug()
        expect(line).to_have_count(0)


def test_a_download_arrives_under_the_page_policy(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/events") as page:
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download", exact=True).click()
            page.get_by_role("button", name="CSV", exact=True).click()
        assert re.fullmatch(r"statsig_openai_integration-events-\d{4}-\d\d-\d\d\.csv", waiting.value.suggested_filename)
        text = Path(waiting.value.path()).read_text()
        assert text.startswith("\ufeffevent_id,name,time,user_id,value,") and text.count("\n") > 20


def test_one_prompt_is_answered_by_every_group_side_by_side(
    browser: Browser, operated: app_process.AppProcess, model: openai.Server
) -> None:
    model.script(otherwise=ANSWER)
    with look(browser, operated, "/experiment") as page:
        page.get_by_role("textbox", name="Prompt").fill("How do I connect a model of my own?")
        page.get_by_role("button", name="Ask every group").click()
        expect(page.get_by_text("then start Parley again.")).to_have_count(3)
        expect(page.get_by_text("not sent: temperature").last).to_be_visible()
        expect(page.get_by_role("button", name="Stop all")).to_have_count(0)
        page.get_by_role("heading", name="Try a prompt").scroll_into_view_if_needed()
        page.screenshot(path=picture("experiment-trial"))


def test_an_invitation_is_made_and_its_link_shown(browser: Browser, operated: app_process.AppProcess) -> None:
    with look(browser, operated, "/experiment") as page:
        page.get_by_role("button", name="New invitation").click()
        page.get_by_role("textbox", name="Name").fill("Design team")
        page.get_by_role("button", name="Make the link").click()
        expect(page.get_by_text(re.compile(rf"^{operated.url}/invite/[0-9a-f]{{12}}\.")).last).to_be_visible()
        expect(page.get_by_text("the address of this page").last).to_be_visible()
        expect(page.get_by_role("button", name="Make the link")).to_be_hidden()
        invitation(page, "Design team").scroll_into_view_if_needed()
        page.screenshot(path=picture("experiment-invitation"))


def test_the_form_closes_though_the_event_of_its_opening_arrives_late(
    browser: Browser, operated: app_process.AppProcess
) -> None:
    servers: list[WebSocketRoute] = []
    held: list[str | bytes] | None = None

    def connect(socket: WebSocketRoute) -> None:
        servers.append(server := socket.connect_to_server())
        socket.on_message(lambda message: server.send(message) if held is None else held.append(message))

    with look(browser, operated, "/experiment") as first, first.context.new_page() as page:
        page.route_web_socket(re.compile("_stcore/stream"), connect)
        page.goto(first.url)
        settle(page)
        held = []
        page.get_by_role("button", name="New invitation").click()
        page.get_by_role("textbox", name="Name").fill("Research")
        page.get_by_role("button", name="Make the link").click()
        until(lambda: page.evaluate("true") and len(held or ()) >= 2)  # opening the form, asking for a link
        for message in held:
            servers[-1].send(message)
        held = None
        expect(invitation(page, "Research")).to_be_visible()
        expect(page.get_by_role("button", name="Make the link")).to_be_hidden()


def test_a_forced_group_shows_on_the_chat_page_until_it_is_given_up(
    browser: Browser, operated: app_process.AppProcess, model: openai.Server
) -> None:
    model.script(otherwise=ANSWER)
    with look(browser, operated, "/experiment") as page:
        page.get_by_role("combobox", name="Your group in this session").press_sequentially("Short")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Forced: Short").last).to_be_visible()
        page.get_by_role("link", name="Open the chat").click()
        chat = Chat(page, operated)
        expect(page.get_by_text("Forced: Short").last).to_be_visible()
        chat.send("How do I connect a model of my own?")
        expect(chat.feedback).to_have_count(1)
        page.screenshot(path=picture("chat-forced"))
        page.reload()
        expect(page.get_by_text("Forced: Short").last).to_be_visible()
        page.get_by_text("See what testers see", exact=True).last.click()
        expect(page.get_by_text("Forced: Short")).to_have_count(0)
        expect(chat.feedback).to_have_count(1)
        page.get_by_text("See what testers see", exact=True).last.click()
        expect(page.get_by_text("Forced: Short").last).to_be_visible()
        page.get_by_role("button", name="Use my own group").click()
        expect(page.get_by_text("New conversations get it")).to_have_count(0)
        expect(page).not_to_have_url(re.compile("group="))


def test_an_operator_sees_what_testers_see_at_a_click(
    browser: Browser, operated: app_process.AppProcess, model: openai.Server
) -> None:
    model.script(otherwise=ANSWER)
    with look(browser, operated, "/") as page:
        chat = Chat(page, operated)
        chat.send("How do I connect a model of my own?")
        expect(chat.feedback).to_have_count(1)
        chat.button("Details").click()
        expect(page.get_by_role("link", name="Its events and their delivery")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_text("See what testers see", exact=True).last.click()
        expect(chat.button("Details")).to_have_count(0)
        expect(chat.feedback).to_have_count(1)
        expect(page.get_by_role("link", name="Results")).to_have_count(0)
        expect(page).to_have_url(re.compile("view=tester"))  # the address changes last, and the reload needs it
        page.reload()
        expect(chat.feedback).to_have_count(1)
        expect(page.get_by_role("switch", name="See what testers see")).to_be_checked()
        expect(page.get_by_role("link", name="Results")).to_have_count(0)
        expect(chat.button("Details")).to_have_count(0)
        page.get_by_text("See what testers see", exact=True).last.click()
        expect(page.get_by_role("link", name="Results", exact=True)).to_be_visible()
        expect(chat.button("Details")).to_be_visible()
        expect(page).not_to_have_url(re.compile("view="))


# A limit, as testers meet it


def test_a_met_limit_says_when_it_ends_in_the_readers_time_zone(
    browser: Browser, operated: app_process.AppProcess, model: openai.Server
) -> None:
    model.script(otherwise=ANSWER)
    with look(browser, operated, "/") as page:
        chat = Chat(page, operated)
        for number in range(LIMIT):
            chat.send(f"Question {number}")
            expect(chat.feedback).to_have_count(number + 1)
            chat.idle()
        chat.send("One too many?")
        zone = ZoneInfo("Europe/Berlin")
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0) + timedelta(days=1)
        day = "today" if midnight.astimezone(zone).date() == datetime.now(zone).date() else "tomorrow"
        text = f"You have had all your answers for today. You can ask again {day} at {midnight.astimezone(zone):%H:%M}."
        expect(chat.answer).to_contain_text(text)
        expect(chat.button("Try again")).to_be_visible()
        page.screenshot(path=picture("chat-limited"))


# Strangers


def test_a_stranger_has_no_way_to_these_pages(browser: Browser, tmp_path: Path) -> None:
    app = app_process.start(tmp_path / "app", {"PARLEY_OPERATOR_TOKEN": "the-operator-token-0123"})
    try:
        for path in ("/", "/experiment", "/events", "/?group=Test"):
            with window(browser) as page:  # not watched: the console reports the missing page
                page.goto(app.url + path)
                if path in ("/experiment", "/events"):
                    page.get_by_role("link", name="Go to the chat").click()
                expect(page.get_by_test_id("stChatInputTextArea")).to_be_visible()
                settle(page)
                shown = page.locator("body").inner_text()
                assert not re.search("Experiment|Events|Results|Forced|Control|gpt-|testers see", shown), path
                links = page.get_by_role("link").evaluate_all("all => all.map(one => one.getAttribute('href'))")
                assert [link for link in links if not link.startswith("#")] == []
    finally:
        app.stop()
