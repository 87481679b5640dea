"""Typed text survives reloads, page switches, lost connections and Stop; and the focus is in the box."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, visit, window
from tests.support.network_cable import Cable, cable
from tests.support.openai_server import Gate, stream
from tests.support.waiting import until

pytestmark = pytest.mark.browser

STATE = "document.querySelector('[data-testid=\"stApp\"]').dataset.testConnectionState"
COMPONENT_SCRIPT = re.compile(r"/BidiComponent\.[^/]+\.js$")
LOST = "Connection lost. Reconnecting; your text is kept."
DROP = """() => { const send = WebSocket.prototype.send; WebSocket.prototype.send = function (...data) {
  if (window.dropping) return; send.apply(this, data); }; window.dropping = true; }"""
"""Drops every message that the page sends, without an error."""


def whole(*steps: openai.Step) -> openai.Reply:
    return stream(*steps, openai.finish(), openai.usage(10, 5), openai.DONE)


@pytest.fixture
def wired(browser: Browser, chat_app: app_process.AppProcess, model: openai.Server) -> Iterator[tuple[Chat, Cable]]:
    """A tester's page behind a cable that can be pulled."""
    model.forget()
    with cable(chat_app.url) as wire, window(browser) as page:
        page.goto(wire.url)
        chat = Chat(page, chat_app)
        expect(chat.box).to_be_enabled()
        chat.idle()
        yield chat, wire


def lose(chat: Chat, wire: Cable) -> None:
    wire.pull()
    chat.page.wait_for_function(f"{STATE} !== 'CONNECTED'")


def test_a_lost_connection_is_one_calm_line_and_the_text_stays(wired: tuple[Chat, Cable]) -> None:
    chat, wire = wired
    chat.ask("Hello?")
    chat.box.fill("Half a thought")
    lose(chat, wire)
    line = chat.page.get_by_text(LOST)
    expect(line).to_be_visible()
    chat.page.wait_for_function(f"{STATE} === 'PINGING_SERVER'")
    expect(chat.page.get_by_role("dialog")).to_have_count(0)
    wire.plug()
    expect(line).to_have_count(0)
    expect(chat.page.get_by_role("dialog")).to_have_count(0)
    expect(chat.box).to_have_value("Half a thought")
    expect(chat.box).to_be_focused()
    chat.box.press("Enter")
    expect(chat.feedback).to_have_count(2)


def test_a_question_that_did_not_arrive_comes_back_into_the_box(
    wired: tuple[Chat, Cable], model: openai.Server
) -> None:
    chat, wire = wired
    chat.ask("Hello?")
    chat.page.evaluate(DROP)
    chat.send("Are you still there?")
    expect(chat.box).to_have_value("")
    lose(chat, wire)
    chat.page.evaluate("window.dropping = false")
    wire.plug()
    expect(chat.box).to_have_value("Are you still there?")
    chat.box.press("Enter")
    expect(chat.feedback).to_have_count(2)
    until(lambda: len(model.requests) == 2)
    chat.idle()
    expect(chat.feedback).to_have_count(2)
    expect(chat.box).to_have_value("")


def test_a_question_that_arrived_does_not_come_back(wired: tuple[Chat, Cable], model: openai.Server) -> None:
    chat, wire = wired
    gate = Gate()
    model.script(whole("Half", gate, " and whole."))
    chat.send("Hello?")
    expect(chat.answer).to_contain_text("Half")
    lose(chat, wire)
    gate.open()
    wire.plug()
    expect(chat.answer).to_contain_text("Half and whole.")
    chat.idle()
    expect(chat.box).to_have_value("")
    assert len(model.requests) == 1


def test_a_draft_survives_a_reload_and_goes_with_its_question(chat: Chat) -> None:
    chat.box.fill("Half a thought")
    chat.page.reload()
    expect(chat.box).to_have_value("Half a thought")
    chat.box.press("Enter")
    expect(chat.feedback).to_have_count(1)
    chat.page.reload()
    expect(chat.feedback).to_have_count(1)
    chat.idle()
    expect(chat.box).to_have_value("")


def test_what_is_typed_before_the_page_has_loaded_its_component_is_a_draft_too(chat: Chat) -> None:
    held: list[Route] = []
    chat.page.route(COMPONENT_SCRIPT, lambda route: held.append(route))
    chat.page.reload()
    chat.box.fill("Half a thought")
    until(lambda: chat.page.evaluate("true") and held)
    for route in held:
        route.continue_()
    chat.page.wait_for_function("window.parley?.kept")
    chat.page.unroute(COMPONENT_SCRIPT)
    chat.page.reload()
    expect(chat.box).to_have_value("Half a thought")


def test_a_draft_survives_a_switch_to_another_page(browser: Browser, app: app_process.AppProcess) -> None:
    with visit(browser, app) as chat:
        chat.box.fill("Half a thought")
        chat.page.get_by_role("link", name="Events", exact=True).click()
        expect(chat.box).to_have_count(0)
        chat.page.get_by_role("link", name="Chat", exact=True).click()
        expect(chat.box).to_have_value("Half a thought")


def test_the_focus_is_in_the_box_on_load_and_after_new(chat: Chat) -> None:
    expect(chat.box).to_be_focused()
    chat.ask("Hello?")
    chat.page.reload()
    expect(chat.box).to_be_focused()
    chat.page.get_by_role("button", name="New conversation").click()
    expect(chat.messages).to_have_count(0)
    expect(chat.box).to_be_focused()


def test_stop_puts_waiting_questions_back_into_the_box(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("First", gate))
    chat.send("One?")
    expect(chat.answer).to_contain_text("First")
    waiting = chat.page.get_by_text("Waits for the answer above")
    for number, question in enumerate(("Two?", "Three?"), 1):
        chat.send(question)
        expect(waiting).to_have_count(number)
    chat.box.fill("And half a fourth")
    chat.stop.click()
    expect(chat.box).to_have_value("Two?\n\nThree?\n\nAnd half a fourth")
    chat.idle()
    expect(chat.messages).to_have_count(2)
    assert len(model.requests) == 1
    gate.open()


def test_a_waiting_question_can_be_edited_or_removed(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("First", gate, "."), whole("Second."))
    chat.send("One?")
    expect(chat.answer).to_contain_text("First")
    waiting = chat.page.get_by_text("Waits for the answer above")
    for number, question in enumerate(("Two?", "Three?"), 1):
        chat.send(question)
        expect(waiting).to_have_count(number)
    chat.page.get_by_role("button", name="Remove", exact=True).nth(1).click()
    expect(waiting).to_have_count(1)
    chat.page.get_by_role("button", name="Edit", exact=True).click()
    expect(waiting).to_have_count(0)
    expect(chat.box).to_have_value("Two?")
    expect(chat.box).to_be_focused()
    chat.box.press("End")
    chat.page.keyboard.type(" Or three?")
    chat.box.press("Enter")
    expect(waiting).to_have_count(1)
    gate.open()
    expect(chat.feedback).to_have_count(2)
    assert [request.body["messages"][-1]["content"] for request in model.requests] == ["One?", "Two? Or three?"]


def test_a_question_is_edited_with_the_keys_of_the_box(chat: Chat, model: openai.Server) -> None:
    model.script(whole("First."), whole("Second."))
    chat.ask("One?")
    editor = chat.page.get_by_role("textbox", name="Your question")
    chat.button("Edit question").click()
    expect(editor).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(chat.box).to_be_focused()
    chat.button("Edit question").click()
    expect(editor).to_be_focused()
    chat.page.keyboard.type(" And")
    chat.page.keyboard.press("Shift+Enter")
    chat.page.keyboard.type("two?")
    chat.page.keyboard.press("Enter")
    expect(chat.answer).to_contain_text("Second.")
    assert model.requests[-1].body["messages"][-1]["content"] == "One? And\ntwo?"
    chat.idle()
    expect(chat.box).to_be_focused()
