"""axe-core finds nothing in what opens on the operators' pages, under a comparison and at the doors.

Words in charts have enough contrast, and the navigation shows the focus.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support import app_process, invented_traffic
from tests.support import openai_server as openai
from tests.support.axe import GROUND, STILL, expect_no_findings, expect_no_findings_at_any_size
from tests.support.chat_page import DESK, IDLE, PHONE, Chat, edit_prompt, window
from tests.support.layout import DRAWN
from tests.support.openid_provider import AUTH
from tests.support.waiting import until
from tests.test_browser_axe import ANSWER
from tests.test_browser_operator_pages import pick

pytestmark = pytest.mark.browser

CONTRASTS = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const page = light(rgb(getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor));
  return [...document.querySelectorAll('[data-testid="stVegaLiteChart"] svg text')].map((one) => {
    const own = light(rgb(getComputedStyle(one).fill));
    return [one.textContent, (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05)];
  });
}"""
"""Returns the words of all charts, each with its contrast to the page."""


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    """The app with some days of answers; this machine is an operator."""
    folder = tmp_path_factory.mktemp("operated")
    invented_traffic.fill(f"sqlite:///{folder}/data/parley.db", invented_traffic.harmed())
    app = app_process.start(folder, {"OPENAI_BASE_URL": model.base_url})
    yield app
    app.stop()


@pytest.fixture(scope="module")
def comparing(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    """The app where every unit compares two answers."""
    folder = tmp_path_factory.mktemp("comparing")
    app_process.lay_out(folder)
    definitions = folder / ".streamlit" / "experiments.toml"
    heading = "[statsig_openai_integration]\n"
    definitions.write_text(definitions.read_text().replace(heading, f"{heading}compare = 100\n", 1))
    app = app_process.start(folder, {"OPENAI_BASE_URL": model.base_url})
    yield app
    app.stop()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of an app by invitation and of one by sign-in."""
    invited = app_process.start(tmp_path_factory.mktemp("invited"), {"PARLEY_ACCESS": "invite"})
    folder = tmp_path_factory.mktemp("signed")
    app_process.lay_out(folder)
    (folder / ".streamlit/secrets.toml").write_text(AUTH.format(app="http://127.0.0.1", provider="http://127.0.0.1:9"))
    signed = app_process.start(folder, {"PARLEY_ACCESS": "sign-in"})
    yield {"This page is by invitation": invited.url, "Sign in": signed.url}
    invited.stop()
    signed.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty window."""
    with window(browser, reduced_motion="reduce") as opened:
        yield opened


def always(model: openai.Server, text: str) -> None:
    """Script the model server to give this answer to every question from now on."""
    model.forget()
    model.script(otherwise=openai.stream(text, openai.finish(), openai.usage(900, 400), openai.DONE))


def nothing_is_found(page: Page) -> None:
    """Wait until no answer runs and axe-core finds nothing in the page, light and dark, at a desk and on a phone."""
    page.wait_for_function(IDLE)
    expect_no_findings_at_any_size(page)


def charts_can_be_read(page: Page) -> None:
    """Wait until all words of charts have a contrast of at least 4.5 to 1, light and dark."""

    def unreadable() -> list[tuple[str, float]]:
        page.wait_for_function(IDLE)
        page.wait_for_function(DRAWN)
        found = page.evaluate(CONTRASTS) or [("no words: the charts are drawn anew", 0.0)]
        return [(words, contrast) for words, contrast in found if contrast < 4.5]

    light = page.evaluate(GROUND)
    for scheme, changed in (("dark", "!=="), ("light", "===")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(f"{GROUND} {changed} {light!r} && {STILL}")
        until(lambda: not unreadable(), show=unreadable)


def operator_page(page: Page, app: app_process.AppProcess, path: str) -> None:
    page.goto(app.url + path)
    expect(page.get_by_text("Parley 0.").last).to_be_visible()  # the last line of such a page
    page.wait_for_function(IDLE)
    page.wait_for_function(DRAWN)


def test_nothing_is_found_in_an_answers_details_and_its_life(
    page: Page, operated: app_process.AppProcess, model: openai.Server
) -> None:
    always(model, ANSWER)
    chat = Chat(page, operated)
    chat.open()
    chat.ask("How do I bake my first bread?")
    chat.button("Details").click()
    expect(page.get_by_text("Finished normally").last).to_be_visible()
    nothing_is_found(page)
    operator_page(page, operated, "/events")
    pick(page, 0)
    expect(page.get_by_role("heading", name="The life of an answer")).to_be_visible()
    page.wait_for_function(IDLE)  # drawing a chart moves the elements below it
    page.wait_for_function(DRAWN)
    page.get_by_text("This event:").last.click()
    expect(page.get_by_text('"metadata"').last).to_be_visible()
    nothing_is_found(page)
    charts_can_be_read(page)


def test_nothing_is_found_in_the_editor_and_in_the_form_of_an_invitation(
    page: Page, operated: app_process.AppProcess
) -> None:
    operator_page(page, operated, "/experiment")
    charts_can_be_read(page)
    edit_prompt(page, "Be brief.")
    nothing_is_found(page)
    page.get_by_role("button", name="New invitation").click()
    expect(page.get_by_role("button", name="Make the link")).to_be_visible()
    nothing_is_found(page)


def test_words_in_charts_can_be_read(page: Page, operated: app_process.AppProcess) -> None:
    operator_page(page, operated, "/results")
    charts_can_be_read(page)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nothing_is_found_where_answers_are_compared(
    size: tuple[int, int], page: Page, comparing: app_process.AppProcess, model: openai.Server
) -> None:
    always(model, ANSWER)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    chat = Chat(page, comparing)
    chat.open()
    page.wait_for_function(IDLE)
    expect_no_findings(page)
    chat.send("How do I bake my first bread?")
    expect(chat.button("Both bad")).to_be_visible()
    for letter in ("A", "B") if size == PHONE else ():
        page.get_by_role("button", name=f"Show answer {letter}").click()
    expect(page.locator('[class*="st-key-choices_"]:not([inert])')).to_have_count(1)
    chat.button("Both bad").click()
    expect(chat.text("What was wrong with them? (optional)")).to_be_visible()
    page.wait_for_function(IDLE)
    expect_no_findings(page)


def test_nothing_is_found_at_the_doors(page: Page, doors: dict[str, str]) -> None:
    for heading, url in doors.items():
        page.goto(url)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        nothing_is_found(page)


def test_the_focus_is_seen_in_the_navigation(page: Page, operated: app_process.AppProcess) -> None:
    operator_page(page, operated, "/history")
    for name in ("Chat", "Results", "Experiment", "History", "Events"):
        link = page.get_by_role("link", name=name, exact=True)
        while not link.evaluate("one => one === document.activeElement"):
            page.keyboard.press("Tab")
        expect(link).to_have_css("outline-style", "solid")
        expect(link).to_have_css("outline-width", "2px")
