"""The Results page in Chromium: the look of each state, its visitors, and refreshes that leave the reader in place."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lib.domain.clock import DAY_MS, now_ms
from lib.experiments.definitions import Definition, read_definitions
from lib.readout.runs import terms_of
from lib.statistics.intervals import Interval
from lib.store.bounds import hold
from lib.store.database import Database
from tests.conftest import StartApp
from tests.support import app_process, invented_traffic
from tests.support.chat_page import AT_REST, DESK, PHONE, turn_narrow_and_dark, watched_page, window
from tests.support.chromium import picture
from tests.support.invented_traffic import EXPERIMENT, Group, Traffic
from tests.support.layout import DRAWN, expect_within_the_screen
from tests.support.waiting import until

pytestmark = pytest.mark.browser

"""The first visit of a process loads pandas and Altair."""
STATES = {
    "undecided": (invented_traffic.undecided(), "Undecided"),
    "better": (invented_traffic.better(), "Better"),
    "harmed": (invented_traffic.harmed(), "Harmed: response time"),
    "broken": (invented_traffic.broken(), "Broken"),
    "three": (invented_traffic.three(), "Better: B"),
    "selection": (invented_traffic.selection(), "Raters may differ"),
    "held": (invented_traffic.held(), "Better"),
    "few": (Traffic({"Control": Group(9), "Test": Group(14)}, days=0.4), "Not enough data"),
}
"""Experiments of one store, each in a state of its own: its traffic and the word on its badge."""
TABLE = """
[{name}.groups]
Control = {{ weight = 1, parameters = {{ model = "a" }} }}
Test = {{ weight = 1, parameters = {{ model = "b" }} }}
"""
THREE = """
[{name}.groups]
Control = {{ weight = 1, parameters = {{ model = "a" }} }}
B = {{ weight = 1, parameters = {{ model = "b" }} }}
C = {{ weight = 1, parameters = {{ model = "c" }} }}
"""
FEW = {"lib/demo/sample.py": ("USERS, SEED, LIFT, DAYS = 160", "USERS, SEED, LIFT, DAYS = 8")}
SOON = {
    "pages/results/page.py": ("REFRESH_S = 60", "REFRESH_S = 2"),
    "pages/readouts.py": ("KEPT_S = 60.0", "KEPT_S = 2.0"),
}
"""Constants in the app's files: their text, and a text with which a test need not wait."""


@pytest.fixture(scope="module")
def results_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """The app with an experiment in every state, and one that no user has met."""
    folder = tmp_path_factory.mktemp("app")
    lay_out(folder, FEW)
    definitions = folder / ".streamlit" / "experiments.toml"
    tables = "".join((THREE if name == "three" else TABLE).format(name=name) for name in STATES)
    definitions.write_text(definitions.read_text() + tables)
    url = f"sqlite:///{folder}/data/parley.db"
    invented_traffic.fill(url, *(replace(past, experiment=name) for name, (past, _) in STATES.items()))
    record_a_verdict(url, read_definitions(definitions.read_text())["held"])
    started = app_process.start(folder)
    yield started
    started.stop()
    assert not started.outbound()
    assert "raceback" not in started.log()


def lay_out(folder: Path, constants: Mapping[str, tuple[str, str]]) -> None:
    """Lay out the app in a folder with these constants changed."""
    app_process.lay_out(folder)
    for name, (was, now) in constants.items():
        text = (folder / name).read_text()
        assert was in text
        (folder / name).write_text(text.replace(was, now))


def record_a_verdict(url: str, definition: Definition) -> None:
    """Record that an earlier readout has shown that Test is better."""
    early = now_ms() - 3 * DAY_MS
    with closing(Database.open(url)) as database, database.begin() as connection:
        interval = Interval(0.012, early, 0.18, early)
        hold(connection, definition.name, False, terms_of(definition), {("satisfaction", "Test"): interval})


@contextmanager
def look(
    browser: Browser, app: app_process.AppProcess, experiment: str, size: tuple[int, int] = DESK, dark: bool = False
) -> Iterator[Page]:
    """Open the page of one experiment, and wait until it is drawn."""
    with watched_page(browser, f"{app.url}/results?experiment={experiment}", size, dark) as page:
        settle(page)
        yield page


def settle(page: Page) -> None:
    """Wait until the whole page is drawn."""
    expect(page.get_by_text("updated every minute").or_(page.get_by_text("As soon as people ask")).last).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_function(DRAWN)


def headline(page: Page) -> Locator:
    return page.get_by_role("heading", level=3).first


def badge(page: Page, word: str) -> Locator:
    """Return the badge with this word; the name of its icon stands before the word."""
    return page.get_by_text(re.compile(rf"[a-z_]+\s*{word}$")).first


# Looks


@pytest.mark.parametrize("state", ["empty", *STATES])
def test_every_state_is_drawn_within_the_screen_and_when_that_turns_narrow_and_dark(
    state: str, browser: Browser, results_app: app_process.AppProcess
) -> None:
    experiment = EXPERIMENT if state == "empty" else state
    word = "Not enough data" if state == "empty" else STATES[state][1]
    with look(browser, results_app, experiment) as page:
        expect(badge(page, word)).to_be_visible()
        expect_within_the_screen(page)
        page.screenshot(path=picture(f"results-{state}-1280-light"))
        turn_narrow_and_dark(page)
        settle(page)
        expect(badge(page, word)).to_be_visible()
        expect_within_the_screen(page)
        page.screenshot(path=picture(f"results-{state}-390-dark"))


def test_a_phone_that_opens_it_shows_it_within_the_screen(
    browser: Browser, results_app: app_process.AppProcess
) -> None:
    with look(browser, results_app, "harmed", PHONE, dark=True) as page:
        expect(badge(page, "Harmed: response time")).to_be_visible()
        expect_within_the_screen(page)


def test_the_first_screen_has_the_verdict_the_next_step_and_the_chart_that_decides(
    browser: Browser, results_app: app_process.AppProcess
) -> None:
    with look(browser, results_app, "harmed") as page:
        expect(headline(page)).to_have_text(re.compile(r"^Test is better on satisfaction: \+.*but slower"))
        for words in ("Weigh the gain against the harm", "shaded band"):
            expect(page.get_by_text(words).first).to_be_in_viewport()


def test_a_broken_split_shows_no_winner(browser: Browser, results_app: app_process.AppProcess) -> None:
    with look(browser, results_app, "broken") as page:
        expect(headline(page)).to_contain_text("Winners are not shown")
        expect(page.get_by_label("Users who met the experiment").first).to_be_visible()
        expect(page.get_by_label(re.compile("[Dd]ifference"))).to_have_count(0)


def test_charts_have_names_and_colours_that_stay_with_their_groups(
    browser: Browser, results_app: app_process.AppProcess
) -> None:
    with look(browser, results_app, "better") as page:
        expect(page.get_by_label("Satisfaction: difference to Control with its interval").first).to_be_visible()
        expected = {"Control": {"rgb(107, 114, 128)"}, "Test": {"rgb(37, 99, 235)"}}
        until(lambda: colours(page) == expected, show=lambda: colours(page))


def colours(page: Page) -> dict[str, set[str]]:
    """Return the colours of each group's points in the charts."""
    points = page.locator("svg .mark-symbol path").evaluate_all(
        "all => all.map(one => [one.getAttribute('aria-label') ?? '', getComputedStyle(one).fill])"
    )
    return {
        group: {fill for label, fill in points if re.search(rf"(group|Group): {group}\b", label)}
        for group in ("Control", "Test")
    }


# Visitors


def test_operators_go_from_the_chat_to_the_results_and_back(
    browser: Browser, results_app: app_process.AppProcess
) -> None:
    with window(browser) as page:
        page.goto(results_app.url)
        page.get_by_role("link", name="Results", exact=True).click()
        expect(page.get_by_text("nobody has met this experiment").last).to_be_visible()
        expect(page).to_have_url(f"{results_app.url}/results")
        page.get_by_role("link", name="Chat", exact=True).click()
        expect(page.get_by_test_id("stChatInputTextArea")).to_be_visible()


def test_for_testers_there_is_no_such_page(browser: Browser, tmp_path: Path) -> None:
    traffic_url = f"sqlite:///{tmp_path}/data/parley.db"
    invented_traffic.fill(traffic_url, invented_traffic.better())
    app = app_process.start(tmp_path, {"PARLEY_OPERATOR_TOKEN": "only-operators-know-this-token"})
    try:
        with window(browser) as page:
            seen = {}
            for path in ("/results", "/nonsense"):
                answer = page.goto(app.url + path)
                assert answer and answer.status == 404
                expect(page.get_by_role("heading", name="There is no page here")).to_be_visible()
                seen[path] = page.content()
                page.screenshot(path=picture("no-page"))
                page.get_by_role("link", name="Go to the chat").click()
                expect(page.get_by_test_id("stChatInputTextArea")).to_be_visible()
                expect(page.get_by_role("link", name="Results")).to_have_count(0)
            assert seen["/results"] == seen["/nonsense"]
    finally:
        app.stop()


# Actions


def test_a_refresh_leaves_the_reader_in_place(
    browser: Browser, results_app: app_process.AppProcess, start_app: StartApp, tmp_path: Path
) -> None:
    store = f"sqlite:///{results_app.folder}/data/parley.db"
    lay_out(tmp_path, SOON)
    shutil.copy2(results_app.folder / ".streamlit" / "experiments.toml", tmp_path / ".streamlit")
    app = start_app({"DATABASE_URL": store}, folder=tmp_path)
    with look(browser, app, "undecided") as page:
        remark = page.get_by_test_id("stExpander").first
        remark.evaluate(AT_REST)
        remark.get_by_role("button").or_(remark.locator("summary")).first.click()
        expect(remark.get_by_text("How do I connect a model of my own?").last).to_be_visible()
        remark.scroll_into_view_if_needed()
        _, place = remark.evaluate(AT_REST)
        users = page.get_by_role("cell", name="74", exact=True)
        expect(users).to_have_count(1)
        more = Traffic({"Control": Group(6), "Test": Group(6)}, days=4, experiment="undecided", seed=99)
        invented_traffic.fill(store, replace(more, groups={"Control": Group(6, rates=0), "Test": Group(6, rates=0)}))
        expect(page.get_by_role("cell", name="80", exact=True)).to_have_count(1)
        expect(users).to_have_count(0)
        expect(remark.get_by_text("How do I connect a model of my own?").last).to_be_visible()
        assert abs(remark.evaluate(AT_REST)[1] - place) < 40


def test_the_filter_is_in_the_address_and_survives_a_reload(
    browser: Browser, results_app: app_process.AppProcess
) -> None:
    with look(browser, results_app, "better") as page:
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("combobox", name=re.compile("Experiment")).click()
        page.get_by_role("option", name="harmed", exact=True).click()
        expect(page.get_by_text("but slower").first).to_be_visible()
        expect(page).to_have_url(re.compile("experiment=harmed"))
        page.reload()
        expect(page.get_by_text("but slower").first).to_be_visible()


def test_the_readout_and_the_tables_can_be_downloaded(browser: Browser, results_app: app_process.AppProcess) -> None:
    with look(browser, results_app, "harmed") as page:
        page.get_by_role("button", name="Download", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Readout (JSON)").click()
        assert re.fullmatch(r"harmed-\d{4}-\d\d-\d\d\.json", download.value.suggested_filename)
        found = json.loads(download.value.path().read_text())
        assert (found["experiment"], found["verdict"], found["sentence"]) == (
            "harmed",
            "better",
            headline(page).inner_text(),
        )
        with page.expect_download() as download:
            page.get_by_role("button", name="All metrics (CSV)").click()
        assert download.value.path().read_text().startswith("\ufeffmetric,role,direction,group,n,")


def test_sample_data_comes_and_goes_with_a_click(browser: Browser, results_app: app_process.AppProcess) -> None:
    with look(browser, results_app, EXPERIMENT) as page:
        page.get_by_role("button", name="Show it with sample data").click()
        expect(badge(page, "Simulated data")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("In simulated data:").last).to_be_visible()
        page.screenshot(path=picture("results-sample-1280-light"))
        page.get_by_role("button", name="Remove sample data").click()
        expect(page.get_by_role("button", name="Show it with sample data")).to_be_visible()
        expect(badge(page, "Simulated data")).to_have_count(0)
