"""Bad input, a bad set-up and hostile answers in a real browser: refused, reported, disarmed, without a traceback."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, visit
from tests.support.openai_server import stream
from tests.support.waiting import until

pytestmark = pytest.mark.browser

KEY = "sk-proj-do-not-tell-anybody-4711"
SETTINGS = {"OPENAI_API_KEY": KEY}
NOT_SET_UP = "The assistant is not set up correctly. Please tell the person who invited you."

TYPED = {
    "dollars": "It costs $5, or $6 with tax: $x^2$",
    "markdown": "# Not *a* title\n\n- no list\n\n`no code` **not bold** [no link](https://example.org)",
    "shortcodes": ":smile: :material/home: :red[not red] :rainbow[text]",
    "html": "<script>alert(1)</script> <b>bold</b> <img src=x onerror=alert(1)> &amp; &lt;",
    "right to left": "مرحبا بالعالم (abc) שלום",
    "spaces": "  two  spaces\n\n\n    and four\ttab",
    "beyond the plane": "👩‍👩‍👧 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ｆｕｌｌ e\u0301",
    "backslashes": r"C:\new\table \(x\) \[y\]",
}
TYPE = """(box, text) => {
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(box, text);
  box.dispatchEvent(new Event('input', { bubbles: true }));
}"""


def type_raw(chat: Chat, javascript_string: str) -> None:
    """Put a text that no keyboard can type into the input, and press Enter."""
    chat.box.evaluate_handle(f"box => ({TYPE})(box, {javascript_string})")
    chat.box.press("Enter")


def question(chat: Chat, number: int = 0) -> Locator:
    """Return the element with the text of a question; questions count from 0."""
    return chat.messages.nth(2 * number).get_by_test_id("stText")


def questions(chat: Chat) -> list[str]:
    """Return the visible texts of all questions on the page."""
    return [question(chat, number).inner_text().lstrip("\u200b") for number in range(chat.messages.count() // 2)]


# Prompts


def test_prompts_are_shown_exactly_as_typed_and_again_after_a_restart(
    browser: Browser, model: openai.Server, tmp_path: Path
) -> None:
    model.forget()
    app = app_process.start(tmp_path / "app", {"OPENAI_BASE_URL": model.base_url})
    try:
        with browser.new_context() as context:
            chat = Chat(context.new_page(), app)
            chat.open()
            for prompt in TYPED.values():
                chat.ask(prompt)
            until(lambda: questions(chat) == list(TYPED.values()), show=lambda: questions(chat))
            assert [request.body["messages"][-1]["content"] for request in model.requests] == list(TYPED.values())
            app.stop()
            app = app_process.start(
                app.folder, {"OPENAI_BASE_URL": model.base_url}, port=int(app.url.rpartition(":")[2])
            )
            chat.page.reload()
            expect(chat.messages).to_have_count(2 * len(TYPED))
            until(lambda: questions(chat) == list(TYPED.values()), show=lambda: questions(chat))
            expect(chat.messages.locator("script, img, h1, b, a")).to_have_count(0)
    finally:
        app.stop()


def test_characters_that_break_things_are_left_out(chat: Chat, model: openai.Server, record: Record) -> None:
    type_raw(chat, r"'null \u0000 escape \u001b\u0007 lone \ud83d half \udc00 end'")
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    chat.idle()
    [asked] = [request.body["messages"][-1]["content"] for request in model.requests]
    assert re.fullmatch("null  escape  lone \ufffd* ?half \ufffd* ?end", asked), asked
    expect(question(chat)).to_have_text(asked)
    chat.page.reload()
    expect(question(chat)).to_have_text(asked)
    expect(chat.feedback).to_have_count(1)
    chat.ask("And it goes on")
    assert [event["value"] for event in record.events(chat.conversation_id)] == ["stop", "stop"]


@pytest.mark.parametrize("blank", ["   ", " \n\t ", "\u200b\u2060"])
def test_a_blank_prompt_is_refused_visibly(blank: str, chat: Chat, model: openai.Server) -> None:
    type_raw(chat, json.dumps(blank))
    expect(chat.text("Please write a question first.")).to_be_visible()
    chat.idle()
    expect(chat.stop).to_have_count(0)
    assert (chat.conversation_id, model.requests) == ("", [])


def test_a_prompt_that_is_too_long_is_refused_with_the_reason_and_stays_in_the_box(
    chat: Chat, model: openai.Server
) -> None:
    chat.send("word " * 1601)
    expect(
        chat.text("This is too long: 8,005 characters, and at most 8,000 can be asked.", exact=False)
    ).to_be_visible()
    expect(chat.box).to_have_value("word " * 1601)
    chat.ask("Short then")
    expect(chat.page.get_by_text("This is too long")).to_have_count(0)
    assert len(model.requests) == 1


def test_the_longest_prompt_is_asked(chat: Chat, model: openai.Server) -> None:
    chat.ask("x" * 8000)
    assert model.requests[0].body["messages"][-1]["content"] == "x" * 8000


def test_a_megabyte_is_refused_and_the_page_goes_on(chat: Chat, model: openai.Server) -> None:
    type_raw(chat, "'x'.repeat(1_000_000)")
    expect(chat.text("This is too long: 1,000,000 characters", exact=False)).to_be_visible()
    until(lambda: chat.box.evaluate("box => box.value.length") == 1_000_000)
    chat.ask("Short then")
    assert len(model.requests) == 1


# A bad set-up


@pytest.mark.parametrize("code", [401, 403])
def test_a_wrong_key_is_reported_to_the_operator_and_not_to_the_tester(
    code: int, chat: Chat, model: openai.Server, record: Record
) -> None:
    model.script(openai.status(code, {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}))
    frames: list[str] = []
    chat.page.on("websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(str(data))))
    chat.page.reload()
    chat.send("Hello?")
    expect(chat.answer.get_by_text(NOT_SET_UP, exact=True).last).to_be_visible()
    chat.idle()
    expect(chat.feedback).to_have_count(0)
    expect(chat.button("Try again")).to_be_visible()
    [ended] = record.events(chat.conversation_id)
    assert (ended["value"], ended["metadata"]["finish_reason"]) == ("error", "error")
    answer_id = ended["metadata"]["answer_id"]
    [line] = [line for line in chat.app.log().splitlines() if answer_id in line and "no answer" in line]
    assert f"HTTP {code}" in line
    assert "Incorrect API key" in line
    assert re.search(r"seconds=\d", line)
    assert frames
    assert KEY not in chat.page.content() + "".join(frames) + chat.app.log()
    assert all(KEY.encode() not in file.read_bytes() for file in (chat.app.folder / "data").iterdir())
    chat.button("Try again").click()
    expect(chat.answer).to_contain_text("Hello from the stand-in.")


def test_a_page_that_is_no_answer_leaves_no_empty_bubble(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(openai.page("<html><body>Please sign in</body></html>"))
    chat.send("Hello?")
    expect(chat.answer.get_by_text("No answer came back. Please try again.").last).to_be_visible()
    chat.idle()
    expect(chat.feedback).to_have_count(0)
    expect(chat.page.get_by_role("button", name="Copy")).to_have_count(0)
    chat.page.reload()
    expect(chat.answer.get_by_text("No answer came back. Please try again.").last).to_be_visible()
    [ended] = record.events(chat.conversation_id)
    assert (ended["value"], ended["metadata"]["error"]) == ("error", "NoAnswer")


def test_whitespace_is_no_answer(chat: Chat, model: openai.Server) -> None:
    model.script(stream("  ", "\n\n", openai.finish(), openai.DONE))
    chat.send("Hello?")
    expect(chat.answer.get_by_text("No answer came back. Please try again.").last).to_be_visible()
    expect(chat.feedback).to_have_count(0)


def test_an_answer_at_its_length_limit_says_so(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half of", openai.finish("length"), openai.DONE))
    chat.ask("Hello?")
    expect(chat.answer).to_contain_text("Half of")
    expect(chat.answer.get_by_text("Cut off at the length limit.").last).to_be_visible()
    expect(chat.feedback).to_have_count(1)


# Hostile answers


def harmful(pixel: str) -> str:
    """Return a text with every form of an image in Markdown, and some in HTML."""
    return f"""\
Words ![one]({pixel}1) ![]({pixel}2 "title") ![three](<{pixel}3>) and

![four][ref] ![ref] ![ref][] ![a [nested] name]({pixel}5) ![two
lines]({pixel}6)

[![linked]({pixel}7)](https://example.org) ![brackets \\] in]({pixel}8) ![par(en)s]({pixel}9(1))

<img src="{pixel}10"> <IMG SRC={pixel}11> <svg><image href="{pixel}12"/></svg>
<video poster="{pixel}13"></video><iframe src="{pixel}14"></iframe><link rel=stylesheet href="{pixel}15">
<style>body {{ background: url({pixel}16) }}</style> <div style="background:url({pixel}17)">x</div>

| table |
|---|
| ![cell]({pixel}18) |

- ![item]({pixel}19)

> ![quote]({pixel}20)

$\\includegraphics{{{pixel}21}}$ $\\href{{{pixel}22}}{{x}}$

[ref]: {pixel}4

The end.
"""


@pytest.mark.parametrize("pieces", [1, 7])
def test_an_answer_makes_the_browser_ask_for_nothing(pieces: int, chat: Chat, model: openai.Server) -> None:
    """Besides, the `chat` fixture fails on requests to another machine and on the console's errors about the policy."""
    text = harmful(model.base_url.replace("/v1", "/pixel?"))
    size = len(text) if pieces == 1 else pieces
    model.script(stream(*(text[at : at + size] for at in range(0, len(text), size)), openai.finish(), openai.DONE))
    asked: list[str] = []
    chat.page.on("request", lambda request: asked.append(request.url))
    chat.ask("Show me a picture")
    expect(chat.answer).to_contain_text("The end.")
    chat.page.reload()
    expect(chat.answer).to_contain_text("The end.")
    assert [url for url in asked if "pixel" in url] == []
    assert [request.path for request in model.requests] == ["/v1/chat/completions"]
    expect(chat.answer.locator("img, iframe, video, svg image, link, style")).to_have_count(0)


def test_the_policy_stops_an_image_that_a_script_adds(
    browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> None:
    """The content policy alone, without the filter of Markdown, stops an image that a script adds to the page."""
    model.forget()
    with browser.new_page() as page:  # its console reports the refused image
        page.goto(chat_app.url)
        outcome = page.evaluate(
            """address => new Promise(done => {
                 document.addEventListener('securitypolicyviolation', event => done(event.violatedDirective));
                 const image = new Image(); image.onload = () => done('loaded'); image.src = address;
               })""",
            model.base_url.replace("/v1", "/pixel"),
        )
    assert outcome == "img-src"
    assert model.requests == []


# Without stored text


@pytest.fixture
def forgetful(model: openai.Server, tmp_path: Path) -> Iterator[app_process.AppProcess]:
    """An app that stores no text."""
    model.forget()
    settings = {"OPENAI_BASE_URL": model.base_url, "PARLEY_KEEP_TEXT": "false"}
    app = app_process.start(tmp_path / "app", settings)
    yield app
    if app.process.poll() is None:
        app.stop()


def test_text_that_is_not_kept_lives_in_the_process_only(
    forgetful: app_process.AppProcess, browser: Browser, model: openai.Server
) -> None:
    model.script(openai.answer("An unforgettable answer."))
    with visit(browser, forgetful) as chat:
        chat.ask("An unforgettable question")
        chat.thumb(up=False).click()
        comment = chat.page.get_by_role("textbox", name="Anything to add?")
        comment.fill("An unforgettable comment")
        comment.press("Enter")
        chat.text("Too long").click()
        with Record.of(forgetful) as record:
            until(
                lambda: "feedback_reason" in record.names(chat.conversation_id),
                show=lambda: record.names(chat.conversation_id),
            )
            chat.page.reload()
            expect(question(chat)).to_have_text("An unforgettable question")
            expect(chat.answer).to_contain_text("An unforgettable answer.")
            assert "nforgettable" not in str(list(record.store.events.export(text=True)))
            expect(chat.feedback).to_have_count(1)
            model.script(openai.answer("Another one.", pace=0.6))  # slow enough for partial texts
            chat.ask("Another question")
            until(lambda: record.names(chat.conversation_id).count("chat_completion") == 2)
            for file in (forgetful.folder / "data").iterdir():
                assert b"nforgettable" not in file.read_bytes(), file
        assert "nforgettable" not in forgetful.log()
        chat.button("Privacy").click()
        expect(chat.page.get_by_text("Your messages are not stored.").last).to_be_visible()
