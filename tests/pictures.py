"""The pictures in the documents, taken of the real app: `make pictures` renews docs/pictures, all but the dashboard's.

    python -m tests.pictures [NAME …]

Each NAME is a function below that draws NAME-light.png and NAME-dark.png. A picture has few colours and at most 80 kB.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support import app_process, chromium, invented_traffic, operator_tool, webdriver
from tests.support import openai_server as openai
from tests.support.axe import STILL
from tests.support.chat_page import DESK, IDLE, PHONE, SOON_MS, Chat, edit_prompt
from tests.support.layout import DRAWN
from tests.support.network_cable import cable
from tests.support.openai_server import Gate, stream
from tests.support.real_page import RealPage
from tests.test_browser_look import ANSWER, REST, done
from tests.test_browser_operator_pages import pick

FOLDER = app_process.ROOT / "docs" / "pictures"
LARGEST = 80_000
"""Bytes that a picture may have."""
COLOURS = (256, 128, 64, 32, 16)
"""Numbers of colours to try, in this order, until a picture is small enough."""
TESTERS = {"PARLEY_OPERATORS": "operator@example.org"}
"""The setting with which a browser on this machine is a tester's."""
QUESTION = "How do I bake my first bread?"
ARABIC = (
    "ما الذي يجعل الخبز ينتفخ؟",
    """\
ينتفخ الخبز لأن **الخميرة** تأكل السكر وتطلق غازًا. يحتاج ذلك إلى:

1. دقيق فيه غلوتين، لأنه يحبس الغاز.
2. ماء دافئ.
3. وقت: ساعتان على الأقل.

| الخطوة | المدة |
|---|---|
| العجن | ١٠ دقائق |
| التخمير | ساعتان |
""",
)
JAPANESE = (
    "パンはなぜ膨らむのですか？",
    """\
**酵母**が糖を食べ、炭酸ガスを出すからです。必要なものは三つです。

1. ガスを閉じ込めるグルテンのある小麦粉
2. ぬるま湯
3. 少なくとも二時間

| 手順 | 時間 |
|---|---|
| こねる | 10分 |
| 発酵 | 2時間 |
""",
)


@dataclass
class Studio:
    """The apps, started when they are needed, and one browser, in light or in dark."""

    stack: ExitStack
    browser: Browser
    folder: Path
    model: openai.Server
    dark: bool = False
    apps: dict[str, app_process.AppProcess] = field(default_factory=dict)

    def app(self, name: str, environ: dict[str, str], prepare: Callable[[Path], None] | None = None) -> str:
        """Return the address of the app of this name."""
        if name not in self.apps:
            folder = self.folder / name
            app_process.lay_out(folder)
            if prepare:
                prepare(folder)
            self.apps[name] = app_process.start(folder, environ)
            self.stack.callback(self.apps[name].stop)
        return self.apps[name].url

    @property
    def demo(self) -> str:
        """The app with the demo model, as testers see it."""
        return self.app("demo", TESTERS)

    @property
    def chat(self) -> str:
        """The app in front of the stand-in model server, as testers see it."""
        return self.app("chat", {"OPENAI_BASE_URL": self.model.base_url, **TESTERS})

    @property
    def comparing(self) -> str:
        """The app where every tester compares two answers, in front of the stand-in model server."""
        return self.app("comparing", {"OPENAI_BASE_URL": self.model.base_url, **TESTERS}, _compare)

    @property
    def operated(self) -> str:
        """The app with twelve days of answers, as operators see it."""
        environ = {"OPENAI_BASE_URL": self.model.base_url, "PARLEY_BUDGET_USD_PER_DAY": "5"}
        return self.app("operated", environ, _fill)

    @property
    def decided(self) -> str:
        """The app after a decision, as operators see it."""
        return self.app("decided", {"OPENAI_BASE_URL": self.model.base_url}, _decide)

    @property
    def guarded(self) -> str:
        """The app with a notice before its chat."""
        notice = "Your messages are kept for 90 days. Please write nothing about other people."
        return self.app("guarded", {"PARLEY_CONSENT": notice, "PARLEY_TITLE": "Bread helpdesk", **TESTERS})

    @cached_property
    def invited(self) -> str:
        """The app with access by invitation."""
        return self.app("invited", {"PARLEY_ACCESS": "invite", "PARLEY_OPERATOR_TOKEN": "the-operator-token-0123"})

    @contextmanager
    def page(self, url: str, size: tuple[int, int] = DESK) -> Iterator[Page]:
        """Open a page of an app and wait until it is drawn."""
        with self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if self.dark else "light",
            reduced_motion="reduce",
            timezone_id="Europe/Berlin",
        ) as context:
            context.set_default_timeout(SOON_MS)
            page = context.new_page()
            page.goto(url)
            settle(page)
            yield page

    @contextmanager
    def asking(self, url: str, size: tuple[int, int] = DESK, *replies: openai.Script) -> Iterator[Chat]:
        """Open a chat page whose model sends these replies, and then always the same answer."""
        self.model.forget()
        self.model.script(*replies, otherwise=done(ANSWER + REST))
        with self.page(url, size) as page:
            chat = Chat(page, next(iter(self.apps.values())))
            expect(chat.box).to_be_enabled()
            yield chat


def _compare(folder: Path) -> None:
    definitions, heading = folder / ".streamlit" / "experiments.toml", "[statsig_openai_integration]\n"
    definitions.write_text(definitions.read_text().replace(heading, f"{heading}compare = 100\n", 1))


def _fill(folder: Path) -> None:
    invented_traffic.fill(f"sqlite:///{folder}/data/parley.db", invented_traffic.harmed())


def _decide(folder: Path) -> None:
    invented_traffic.fill(f"sqlite:///{folder}/data/parley.db", invented_traffic.better())
    why = "It is liked more, and neither errors nor response time get worse."
    words = ("experiment", "decide", invented_traffic.EXPERIMENT, "--group", "Test", "--reason", why)
    run = operator_tool.run_tool(folder, *words, OPENAI_BASE_URL="http://127.0.0.1:9/v1", LOGNAME="ann")
    if run.returncode:
        sys.exit(run.stderr)


def settle(page: Page) -> None:
    """Wait until a page is complete and nothing on it moves."""
    expect(page.get_by_test_id("stMain")).to_be_visible()
    for there in (IDLE, DRAWN, STILL, "document.fonts.status === 'loaded'"):
        page.wait_for_function(there)


def shot(page: Page) -> Image.Image:
    settle(page)
    return Image.open(BytesIO(page.screenshot()))


def beside(*pictures: Image.Image) -> Image.Image:
    """Return the pictures in a row, on a background between light and dark."""
    gap, height = 15, max(one.height for one in pictures)
    whole = Image.new("RGB", (sum(one.width + gap for one in pictures) + gap, height + 2 * gap), "#c9cdd8")
    x = gap
    for one in pictures:
        whole.paste(one, (x, gap))
        x += one.width + gap
    return whole


# The pictures


def empty(studio: Studio) -> Image.Image:
    with studio.page(studio.demo) as page:
        return shot(page)


def answer(studio: Studio) -> Image.Image:
    with studio.asking(studio.chat) as chat:
        chat.ask("Three synonyms for quick")
        chat.page.get_by_role("button", name="New conversation").click()
        expect(chat.messages).to_have_count(0)
        chat.ask(QUESTION)
        return shot(chat.page)


def streaming(studio: Studio) -> Image.Image:
    gate = Gate()
    with studio.asking(studio.chat, DESK, stream(ANSWER, gate, REST, openai.finish(), openai.DONE)) as chat:
        chat.send(QUESTION)
        expect(chat.answer.get_by_test_id("stCode")).to_contain_text("flour_g * hydration")
        expect(chat.stop).to_be_visible()
        taken = _picture_of_running(chat.page)
        gate.open()
        chat.idle()
        return taken


def phone(studio: Studio) -> Image.Image:
    with studio.page(studio.demo, PHONE) as page:
        taken = [shot(page)]
    gate = Gate()
    with studio.asking(studio.chat, PHONE, stream(ANSWER, gate, REST, openai.finish(), openai.DONE)) as chat:
        chat.send(QUESTION)
        expect(chat.stop).to_be_visible()
        expect(chat.answer.get_by_test_id("stCode")).to_contain_text("flour_g * hydration")
        taken.append(_picture_of_running(chat.page))
        gate.open()
        chat.idle()
        _rate(chat)
        taken.append(shot(chat.page))
        chat.page.get_by_test_id("stExpandSidebarButton").click()
        expect(chat.page.get_by_role("button", name="New conversation")).to_be_in_viewport()
        taken.append(shot(chat.page))
    return beside(*taken)


def rated(studio: Studio) -> Image.Image:
    with studio.asking(studio.chat) as chat:
        chat.ask(QUESTION)
        _rate(chat)
        return shot(chat.page)


def languages(studio: Studio) -> Image.Image:
    taken = []
    for question, text in (ARABIC, JAPANESE):
        with studio.asking(studio.chat, (720, 640), done(text)) as chat:
            chat.ask(question)
            taken.append(shot(chat.page))
    return beside(*taken)


def comparison(studio: Studio) -> Image.Image:
    with studio.asking(studio.comparing) as chat:
        _ask_to_compare(chat)
        chat.button("A is better").click()
        expect(chat.page.get_by_text("Saved, thank you", exact=True)).to_be_visible()
        settle(chat.page)
        chat.page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
        return shot(chat.page)


def comparison_phone(studio: Studio) -> Image.Image:
    with studio.asking(studio.comparing, PHONE) as chat:
        taken = [shot(chat.page)]
        _ask_to_compare(chat)
        for letter in ("A", "B"):
            chat.page.get_by_role("button", name=f"Show answer {letter}").click()
            if letter == "A":
                taken.append(shot(chat.page))
        chat.button("B is better").click()
        expect(chat.page.get_by_text("Saved, thank you", exact=True)).to_be_visible()
        settle(chat.page)
        chat.page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
        return beside(*taken, shot(chat.page))


def doors(studio: Studio) -> Image.Image:
    taken = []
    for url in (studio.invited, studio.guarded):
        with studio.page(url, PHONE) as page:
            expect(page.get_by_role("heading").first).to_be_visible()
            taken.append(shot(page))
    with cable(studio.chat) as wire, studio.asking(wire.url, PHONE) as chat:
        chat.ask(QUESTION)
        chat.box.fill("And how long does it")
        wire.pull()
        expect(chat.page.get_by_text("Connection lost.")).to_be_visible()
        taken.append(_picture_of_running(chat.page))
    return beside(*taken)


def results(studio: Studio) -> Image.Image:
    with _operator_page(studio, "results") as page:
        return shot(page)


def results_phone(studio: Studio) -> Image.Image:
    with _operator_page(studio, "results", PHONE) as page:
        taken = []
        for screen in range(3):
            page.get_by_test_id("stMain").evaluate("(main, top) => main.scrollTo(0, top)", screen * (PHONE[1] - 80))
            taken.append(shot(page))
        return beside(*taken)


def experiment(studio: Studio) -> Image.Image:
    with _operator_page(studio, "experiment", (1080, 900)) as page:
        expect(page.get_by_text("Every model is at its provider.")).to_be_visible()
        return shot(page)


def editor(studio: Studio) -> Image.Image:
    with _operator_page(studio, "experiment", (1080, 900)) as page:
        edit_prompt(page, "Answer in at most three sentences.")
        settle(page)
        page.get_by_text("Difference to version").evaluate("one => one.scrollIntoView({ block: 'center' })")
        return shot(page)


def history(studio: Studio) -> Image.Image:
    with _operator_page(studio, "history", (1080, 760)) as page:
        return shot(page)


def decision(studio: Studio) -> Image.Image:
    with studio.page(f"{studio.decided}/history", (1080, 840)) as page:
        page.get_by_text("The readout as it stood").click()
        expect(page.locator('[class*="st-key-picture_wide_"] img')).to_be_visible()
        return shot(page)


def events(studio: Studio) -> Image.Image:
    with studio.asking(studio.operated) as chat:
        chat.ask(QUESTION)
        chat.thumb(up=True).click()
        expect(chat.page.get_by_text("Saved, thank you", exact=True)).to_be_visible()
    with _operator_page(studio, "events", (1080, 1200)) as page:
        pick(page, 1)
        expect(page.get_by_role("heading", name="The life of an answer")).to_be_visible()
        return shot(page)


def details(studio: Studio) -> Image.Image:
    with studio.asking(studio.operated) as chat:
        chat.ask(QUESTION)
        chat.button("Details").click()
        expect(chat.page.get_by_text("Finished normally")).to_be_visible()
        return shot(chat.page)


def browsers(studio: Studio) -> Image.Image:
    """Draw an answer in WebKit and then in Firefox, each at a desk's and at a phone's width."""
    taken = []
    for name in ("webkit", "firefox"):
        if packages := webdriver.missing(name):
            sys.exit(f"There is no {name}: install {packages}")
        with webdriver.launch(name) as driver:
            page = RealPage(driver, studio.chat)
            studio.model.forget()
            studio.model.script(otherwise=done(ANSWER))
            page.open()
            driver.run(f"localStorage.setItem('stActiveTheme-/-v2', '\"{'Dark' if studio.dark else 'Light'}\"')")
            page.open()
            for size in ((820, 844), PHONE):
                driver.resize(*size)
                page.ask(QUESTION)
                page.until_answer_has("pre")
                page.until_answer_has(".katex")
                page.idle()
                page.until("document.fonts.status === 'loaded'")
                taken.append(driver.picture().convert("RGB"))
    return beside(*taken)


@contextmanager
def _operator_page(studio: Studio, path: str, size: tuple[int, int] = DESK) -> Iterator[Page]:
    with studio.page(f"{studio.operated}/{path}", size) as page:
        expect(page.get_by_text("Parley 0.")).to_be_visible()  # the last line of such a page
        settle(page)
        yield page


def _picture_of_running(page: Page) -> Image.Image:
    """Return the picture of a page that does not settle: an answer grows, or the connection is lost."""
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.wait_for_function(STILL)
    return Image.open(BytesIO(page.screenshot()))


def _rate(chat: Chat) -> None:
    chat.thumb(up=False).click()
    chat.page.get_by_text("Too long", exact=True).click()
    expect(chat.page.get_by_role("radio", name="Too long")).to_be_checked()
    expect(chat.page.get_by_text("Saved, thank you", exact=True)).to_be_visible()


def _ask_to_compare(chat: Chat) -> None:
    chat.send(QUESTION)
    expect(chat.button("Both bad")).to_be_visible()
    chat.idle()


PICTURES = (
    empty,
    answer,
    streaming,
    rated,
    phone,
    languages,
    comparison,
    comparison_phone,
    doors,
    details,
    results,
    results_phone,
    experiment,
    editor,
    history,
    decision,
    events,
    browsers,
)


def save(taken: Image.Image, path: Path) -> None:
    """Write a picture with as many colours as make it small enough."""
    plain = taken.convert("RGB")
    for colours in COLOURS:
        few = plain.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
    sys.exit(f"{path.name} is larger than {LARGEST} bytes")


def main(names: Sequence[str]) -> None:
    wanted = [one for one in PICTURES if not names or one.__name__.replace("_", "-") in names]
    expect.set_options(timeout=SOON_MS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = stack.enter_context(openai.serve())
        browser = stack.enter_context(chromium.launch(stack.enter_context(sync_playwright())))
        studio = Studio(stack, browser, folder, model)
        for draw in wanted:
            for studio.dark in (False, True):
                name = f"{draw.__name__.replace('_', '-')}-{'dark' if studio.dark else 'light'}.png"
                save(draw(studio), FOLDER / name)
                print(name, f"{(FOLDER / name).stat().st_size / 1_000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
