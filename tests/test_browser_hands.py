"""Gestures on the chat page, in Chromium: copy, scroll, type with an input method, press Esc."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import AT_REST, Chat, Record, visit
from tests.support.held_messages import drawing_held
from tests.support.keyboard import go_to, press
from tests.support.openai_server import HANG, Gate, stream
from tests.support.waiting import until

pytestmark = pytest.mark.browser

REFUSE = """navigator.clipboard.writeText = () => Promise.reject(new DOMException("", "NotAllowedError"));
document.execCommand = () => false;"""
NOTES = """() => {
  window.notes = [];
  new MutationObserver(changes => {
    for (const { addedNodes } of changes)
      for (const one of addedNodes) if (one.className === 'parley-note') window.notes.push(one.textContent);
  }).observe(document.body, { childList: true });
}"""
RIGHT_END = "one => one.getBoundingClientRect().right"
WORDS_END = """one => { const range = document.createRange(); range.selectNodeContents(one);
  return range.getBoundingClientRect().right; }"""
DISTANCE = """() => { const main = document.querySelector('[data-testid="stMain"]');
  return main.scrollHeight - main.scrollTop - main.clientHeight; }"""
KEY = """(box, options) => box.dispatchEvent(
  new KeyboardEvent("keydown", {bubbles: true, cancelable: true, ...options}))"""
LONG = "A paragraph that is long enough to fill a line of the page, and then some more of it. " * 3
TABLE = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 12
CODE = "```python\n" + "print('a line of code')\n" * 15 + "```\n"


def whole(*steps: openai.Step) -> openai.Reply:
    return stream(*steps, openai.finish(), openai.usage(10, 5), openai.DONE)


@pytest.fixture
def reader(browser: Browser, chat_app: app_process.AppProcess, model: openai.Server) -> Iterator[Chat]:
    """A visitor whose browser grants access to the clipboard."""
    model.forget()
    with visit(browser, chat_app, permissions=["clipboard-read", "clipboard-write"]) as chat:
        yield chat


def copy(button: Locator) -> str:
    """Click on a button that copies, and return the note that the page shows for some seconds."""
    button.page.evaluate(NOTES)
    button.click()
    button.page.wait_for_function("window.notes.length > 0")
    return str(button.page.evaluate("window.notes[0]"))


def test_the_click_copies_and_then_it_is_recorded(reader: Chat, model: openai.Server, record: Record) -> None:
    model.script(whole("**Bold** and `code`, $5."))
    reader.ask("Hello?")
    assert copy(reader.button("Copy")) == "Copied"
    assert reader.page.evaluate("navigator.clipboard.readText()") == "**Bold** and `code`, $5."
    until(lambda: "copied" in record.names(reader.conversation_id))


def test_a_refused_clipboard_is_reported_and_not_recorded(reader: Chat, record: Record) -> None:
    reader.page.evaluate(REFUSE)
    reader.ask("Hello?")
    assert copy(reader.button("Copy")).startswith("Not copied.")
    reader.ask("Again?")  # an event of the click would be recorded before this answer
    assert "copied" not in record.names(reader.conversation_id)


def test_an_earlier_answer_is_copied_while_another_grows(reader: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(whole("The first."), whole("The second", gate, " grows."))
    reader.ask("First?")
    reader.send("Second?")
    expect(reader.answer).to_contain_text("The second")
    assert copy(reader.page.get_by_role("button", name="Copy").first) == "Copied"
    assert reader.page.evaluate("navigator.clipboard.readText()") == "The first."
    until(lambda: "copied" in record.names(reader.conversation_id))
    gate.open()
    expect(reader.answer).to_contain_text("The second grows.")


@pytest.mark.parametrize("options", [{"isComposing": True}, {"keyCode": 229}])
def test_keys_of_a_composition_neither_send_nor_stop(
    options: dict[str, object], chat: Chat, model: openai.Server
) -> None:
    gate = Gate()
    model.script(whole("Half", gate, " and whole."))
    chat.box.fill("日本")
    chat.box.evaluate(KEY, {"key": "Enter", **options})
    chat.send("日本語")
    expect(chat.answer).to_contain_text("Half")
    assert len(model.requests) == 1
    chat.box.fill("次")
    chat.box.evaluate(KEY, {"key": "Escape", **options})
    chat.box.evaluate(KEY, {"key": "Enter", **options})
    gate.open()
    expect(chat.answer).to_contain_text("Half and whole.")
    expect(chat.feedback).to_have_count(1)
    expect(chat.box).to_have_value("次")
    assert len(model.requests) == 1


def test_esc_over_something_open_closes_that_alone(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("Half", gate, " and whole."))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    chat.page.get_by_role("button", name="Privacy").click()
    over = chat.page.get_by_role("button", name="Delete all my conversations")
    expect(over).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(over).to_have_count(0)
    expect(chat.stop).to_be_visible()
    gate.open()
    expect(chat.answer).to_contain_text("Half and whole.")


def test_the_page_follows_until_the_reader_scrolls_up_and_offers_the_way_back(chat: Chat, model: openai.Server) -> None:
    gates = [Gate() for _ in range(4)]
    model.script(whole(
        *(f"{LONG}\n\n" for _ in range(8)), gates[0], f"{TABLE}\n{CODE}\n", gates[1], f"{LONG}\n\n{TABLE}\n", gates[2],
        f"{CODE}\n{LONG}\n\n", gates[3], "The end.",
    ))  # fmt: skip
    jump = chat.page.get_by_role("button", name="Jump to latest")
    chat.send("Go")
    for gate, count in zip(gates[:2], (1, 2), strict=True):
        gate.open()
        expect(chat.answer.locator("table")).to_have_count(count)
        chat.page.wait_for_function(f"({DISTANCE})() < 5")
    expect(jump).to_be_hidden()
    chat.messages.last.hover()
    chat.page.mouse.wheel(0, -400)
    expect(jump).to_be_visible()
    main = chat.page.get_by_test_id("stMain")
    before = main.evaluate(AT_REST)
    gates[2].open()
    expect(chat.answer.get_by_test_id("stCode")).to_have_count(2)
    assert main.evaluate(AT_REST) == before
    jump.click()
    chat.page.wait_for_function(f"({DISTANCE})() < 5")
    expect(jump).to_be_hidden()
    gates[3].open()
    expect(chat.answer).to_contain_text("The end.")
    chat.page.wait_for_function(f"({DISTANCE})() < 5")


def test_earlier_messages_come_above_what_the_reader_sees(chat: Chat, model: openai.Server) -> None:
    for number in range(12):
        model.script(whole(f"Answer {number}. {LONG}"))
        chat.send(f"Question {number}?")
        expect(chat.answer).to_contain_text(f"Answer {number}.")
        chat.idle()
    chat.page.reload()
    earlier = chat.page.get_by_role("button", name="Show earlier messages")
    expect(earlier).to_be_visible()
    expect(chat.answer).to_contain_text("Answer 11.")
    chat.page.wait_for_function(f"({DISTANCE})() < 5")
    chat.messages.last.hover()
    chat.page.mouse.wheel(0, -20_000)
    first = chat.messages.first.get_by_test_id("stText").inner_text()
    place = chat.messages.get_by_text(first, exact=True).last
    expect(earlier).to_be_in_viewport()
    chat.page.get_by_test_id("stMain").evaluate(AT_REST)
    top = place.bounding_box()
    assert top
    earlier.click()
    expect(chat.messages.first).to_contain_text("Question 0?")
    until(lambda: (box := place.bounding_box()) and abs(box["y"] - top["y"]) < 60)


def test_a_question_and_its_title_run_by_their_own_direction(chat: Chat, model: openai.Server) -> None:
    model.script(whole("Paris."))
    chat.ask("ما هي عاصمة فرنسا؟")
    question = chat.messages.first.get_by_text("ما هي عاصمة فرنسا؟")
    expect(question).to_have_css("direction", "rtl")
    right = chat.messages.first.evaluate(RIGHT_END)
    until(lambda: abs(right - question.evaluate(WORDS_END)) < 40)
    title = chat.page.locator('[class*="st-key-open_"]').get_by_text("ما هي عاصمة فرنسا؟")
    expect(title).to_have_css("direction", "rtl")
    chat.thumb(up=False).click()
    comment = chat.page.get_by_role("textbox", name="Anything to add?")
    comment.fill("قصير جدا")
    expect(comment).to_have_css("direction", "rtl")


def test_a_break_in_a_cell_and_text_from_right_to_left(chat: Chat, model: openai.Server) -> None:
    model.script(whole("| a |\n|---|\n| one<br>two<br/>three |\n\nمرحبا بالعالم\n\n- واحد\n\nEnd"))
    chat.ask("Go")
    assert chat.answer.locator("td").inner_text().split("\n") == ["one", "two", "three"]
    expect(chat.answer.locator("ul")).to_have_css("direction", "rtl")
    arabic = chat.answer.get_by_text("مرحبا بالعالم")
    expect(arabic).to_have_css("direction", "rtl")
    right = chat.answer.get_by_test_id("stChatMessageContent").evaluate(RIGHT_END)
    until(lambda: abs(right - arabic.evaluate(WORDS_END)) < 40)
    expect(chat.answer.get_by_text("End", exact=True)).to_have_css("direction", "ltr")


def test_a_table_from_right_to_left_stands_at_the_right(chat: Chat, model: openai.Server) -> None:
    model.script(whole("| الخطوة | المدة |\n|---|---|\n| العجن | ساعة |"))
    chat.ask("Go")
    expect(chat.answer.locator("td").first).to_have_css("direction", "rtl")
    table, content = chat.answer.locator("table").first, chat.answer.get_by_test_id("stChatMessageContent")
    until(lambda: abs(table.evaluate(RIGHT_END) - content.evaluate(RIGHT_END)) < 20)
    copy, thumb = chat.button("Copy"), chat.thumb(up=True)
    until(lambda: (one := copy.bounding_box()) and (two := thumb.bounding_box()) and abs(one["y"] - two["y"]) < 20)


def test_a_version_keeps_the_focus_while_the_page_is_drawn_slowly(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    with chat.page.context.new_page() as page, drawing_held(page) as held:
        page.clock.install()
        slow = Chat(page, chat.app)
        slow.open()
        slow.send("Question")
        expect(slow.answer.get_by_text("Half", exact=True)).to_be_visible()
        slow.stop.click()
        press(slow.button("Try again"), back=True)
        expect(slow.answer.get_by_text("2/2", exact=True)).to_be_visible()
        slow.idle()
        expect(slow.box).to_be_focused()
        go_to(slow.button("Earlier version"), back=True)
        with held("version_chevron_left"):
            page.keyboard.press("Enter")
            expect(slow.button("Earlier version")).to_have_count(0)  # its place was taken by the word "Stopped"
            page.clock.fast_forward(6_000)  # runs the timers that the earlier run has left
        expect(slow.answer.get_by_text("1/2", exact=True)).to_be_visible()
        expect(slow.button("Later version")).to_be_focused()
