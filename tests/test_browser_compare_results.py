"""Comparisons on the operators' pages in Chromium: agreement with the A/B test, votes by place, and the planner."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lib.domain.events import Event
from lib.store import Store
from tests.support import app_process, invented_traffic
from tests.support.axe import expect_no_findings, findings_at_rest
from tests.support.chat_page import DESK, PHONE, watched_page
from tests.support.chromium import picture
from tests.support.invented_events import preferred
from tests.support.layout import expect_within_the_screen
from tests.support.waiting import ENOUGH_S
from tests.test_browser_results import TABLE, look

pytestmark = pytest.mark.browser
VOTES = {"agree": (6, 3), "disagree": (2, 7), "by_place": (6, 3)}
"""Votes of each of thirty testers for Test and for Control, by experiment. In all of them the A/B test prefers Test."""


@pytest.fixture(scope="module")
def compared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    folder = tmp_path_factory.mktemp("compared")
    app_process.lay_out(folder)
    definitions = folder / ".streamlit" / "experiments.toml"
    definitions.write_text(definitions.read_text() + "".join(TABLE.format(name=name) for name in VOTES))
    url = f"sqlite:///{folder}/data/parley.db"
    for name in VOTES:
        invented_traffic.fill(url, replace(invented_traffic.better(), experiment=name))
    with closing(Store.open(url)) as store:
        for name, (wins, losses) in VOTES.items():
            assert store.events.record(list(ballots(name, wins, losses))).wait(ENOUGH_S)
    started = app_process.start(folder)
    yield started
    started.stop()
    assert "raceback" not in started.log()


def ballots(experiment: str, wins: int, losses: int) -> Iterator[Event]:
    """Yield thirty testers' votes. In `by_place` every preferred answer stood left, elsewhere half of them did."""
    for tester in range(30):
        for at, value in enumerate(["Test"] * wins + ["Control"] * losses + ["tie"]):
            test_left = value == "Test" if experiment == "by_place" else (tester + at) % 2 == 0
            left, right = ("Test", "Control") if test_left else ("Control", "Test")
            name = f"{experiment}-{tester}-{at}"
            line = preferred(name, name, f"{experiment}{tester}", value=value, left=left, right=right)
            about = line["metadata"] | {"experiment": experiment}
            yield Event(name, line["name"], line["time"], line["user_id"], value, about)


def box(page: Page) -> Locator:
    return page.locator(".st-key-comparisons")


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)], ids=["desk-light", "phone-dark"])
def test_two_ways_that_agree_stand_beside_each_other(
    size: tuple[int, int], dark: bool, browser: Browser, compared_app: app_process.AppProcess
) -> None:
    with look(browser, compared_app, "agree", size, dark) as page:
        expect(box(page)).to_contain_text("Testers prefer Test: it wins 67 %")
        expect(box(page)).not_to_contain_text("The two ways disagree")
        expect(box(page)).not_to_contain_text("far from half")
        expect(page.get_by_label("Net preference against Control with its interval").first).to_be_visible()
        expect_within_the_screen(page)
        box(page).screenshot(path=picture(f"comparisons-agree-{size[0]}"))


def test_two_ways_that_disagree_say_so_and_why(browser: Browser, compared_app: app_process.AppProcess) -> None:
    with look(browser, compared_app, "disagree") as page:
        expect(box(page)).to_contain_text("Testers prefer Control: it wins 78 %")
        expect(box(page)).to_contain_text("The two ways disagree on Test: in the A/B test it is better than Control")
        expect(box(page)).to_contain_text("Who rates:")
        box(page).screenshot(path=picture("comparisons-disagree"))
        expect_no_findings(page, findings_at_rest)


def test_votes_that_follow_the_place_are_reported(browser: Browser, compared_app: app_process.AppProcess) -> None:
    with look(browser, compared_app, "by_place") as page:
        expect(box(page)).to_contain_text("The left answer won 100 % of the votes with a winner, far from half")


def test_the_planner_answers_for_both_ways_as_one_types(browser: Browser, compared_app: app_process.AppProcess) -> None:
    with watched_page(browser, f"{compared_app.url}/experiment") as page:
        expect(page.get_by_text("Let testers compare: that takes").last).to_be_visible()
        table = page.get_by_test_id("stTable").filter(has_text="Comparisons, differing tastes")
        expect(table).to_contain_text("A/B test, planned users")
        before = table.inner_text()
        page.get_by_label("Difference (points)").fill("20")
        page.keyboard.press("Enter")
        expect(table).not_to_have_text(before, use_inner_text=True)
        expect(page.get_by_text("Looked for: satisfaction").last).to_be_visible()
        expect(page.get_by_label("The chance that each way has found the difference").first).to_be_visible()
