"""A tester's whole way by keyboard alone: everything is reached, seen, and nothing loses the focus."""

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, watched, window
from tests.support.keyboard import go_to, press
from tests.support.openai_server import Gate, stream

pytestmark = pytest.mark.browser

SETTINGS = {
    "PARLEY_CONSENT": "Your messages are kept for 90 days.",
    "PARLEY_SUGGESTIONS": "What is flour?|What is yeast?",
    "PARLEY_OPERATORS": "operator@example.org",
}


def test_a_tester_needs_no_mouse_from_the_notice_to_the_theme(
    browser: Browser, chat_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    permissions = ["clipboard-read", "clipboard-write"]
    with window(browser, permissions=permissions) as page, watched(page.context):
        page.goto(chat_app.url)
        chat = Chat(page, chat_app)
        press(page.get_by_role("button", name="I agree", exact=True))
        expect(chat.box).to_be_focused()
        _ask_and_stop(chat, model)
        _rate_and_copy(chat)
        _edit_and_choose_a_version(chat)
        _use_the_sidebar(chat)


def _ask_and_stop(chat: Chat, model: openai.Server) -> None:
    flour, yeast = (chat.page.get_by_role("radio", name=f"What is {what}?", exact=True) for what in ("flour", "yeast"))
    press(flour, key="ArrowRight")
    expect(yeast).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.feedback).to_have_count(1)
    expect(chat.box).to_be_focused()
    gate = Gate()
    model.script(stream("Half", gate, openai.finish(), openai.DONE))
    chat.page.keyboard.type("And salt?")
    chat.page.keyboard.press("Enter")
    expect(chat.answer.get_by_text("Half", exact=True)).to_be_visible()
    press(chat.stop)
    expect(chat.answer.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(chat.box).to_be_focused()
    gate.open()
    chat.idle()


def _rate_and_copy(chat: Chat) -> None:
    press(chat.thumb(up=True), back=True, key="ArrowLeft")
    expect(chat.thumb(up=False)).to_be_focused()
    chat.page.keyboard.press("Space")
    saved, send = chat.page.get_by_text("Saved, thank you", exact=True), chat.button("Send")
    expect(saved).to_be_visible()  # before this, the page may still redraw the panel
    chat.idle()
    expect(chat.thumb(up=False)).to_be_focused()
    wrong, reason = (chat.page.get_by_role("radio", name=name, exact=True) for name in ("Wrong", "Incomplete"))
    press(wrong, key="ArrowRight")
    expect(reason).to_be_focused()
    chat.page.keyboard.press("Space")
    expect(reason).to_be_checked()
    expect(saved).to_be_visible()
    chat.idle()
    go_to(chat.page.get_by_role("textbox", name="Anything to add?", exact=True))
    chat.page.keyboard.type("Too short")
    press(send)
    expect(send).to_have_count(0)
    expect(saved).to_be_visible()
    expect(chat.box).to_be_focused()
    press(chat.button("Copy"), back=True)
    expect(chat.page.get_by_role("status").filter(has_text="Copied.")).to_have_count(1)
    assert chat.page.evaluate("navigator.clipboard.readText()") == "Half"


def _edit_and_choose_a_version(chat: Chat) -> None:
    press(chat.button("Edit question"))
    editor = chat.page.get_by_role("textbox", name="Your question", exact=True)
    expect(editor).to_be_focused()
    expect(editor).to_be_in_viewport(ratio=1)
    chat.page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(chat.box).to_be_focused()
    press(chat.button("Edit question"), back=True)
    expect(editor).to_be_focused()
    chat.page.keyboard.type(" How much?")
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_text("And salt? How much?", exact=True).first).to_be_visible()
    expect(chat.answer.get_by_test_id("stFeedback")).to_be_visible()
    chat.idle()
    expect(chat.box).to_be_focused()
    press(chat.button("Regenerate"), back=True)
    expect(chat.button("Earlier version")).to_be_enabled()
    chat.idle()
    expect(chat.box).to_be_focused()
    press(chat.button("Earlier version"), back=True)
    expect(chat.answer.get_by_text("2/3", exact=True)).to_be_visible()
    chat.idle()
    expect(chat.button("Earlier version")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.answer.get_by_text("1/3", exact=True)).to_be_visible()
    expect(chat.button("Later version")).to_be_focused()


def _use_the_sidebar(chat: Chat) -> None:
    """Use the sidebar: start, rename and delete a conversation, search, switch the theme, open the privacy panel."""
    page, rows = chat.page, chat.page.locator('[class*="st-key-row_"]')
    press(page.get_by_role("button", name="New conversation", exact=True), back=True)
    expect(chat.messages).to_have_count(0)
    expect(chat.box).to_be_focused()
    menu = rows.get_by_role("button", name="Conversation menu", exact=True)
    _choose(menu, "Download", "Rename", keys=("ArrowDown", "ArrowUp"))
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    page.keyboard.type("Bread")
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("Bread")
    expect(menu).to_be_focused()
    _choose(menu, "Download", "Delete")
    expect(page.locator(".st-key-delete_now_cancel button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(menu).to_be_focused()
    _search(page, rows)
    _choose(page.get_by_role("button", name="Appearance", exact=True), "Light", "Dark")
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(20, 23, 31)")
    chat.idle()
    _choose(menu, "Download", "Delete")
    expect(page.locator(".st-key-delete_now_cancel button")).to_be_focused()
    press(page.locator(".st-key-delete_now button"), back=True)
    expect(rows).to_have_count(0)
    privacy = page.get_by_role("button", name="Privacy", exact=True)
    press(privacy)
    expect(page.get_by_role("button", name="Delete all my conversations", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-delete_all_now_cancel button")).to_be_focused()
    page.keyboard.press("Escape")
    expect(privacy).to_be_focused()


def _choose(button: Locator, *items: str, keys: tuple[str, str] = ("ArrowDown", "ArrowDown")) -> None:
    """Open a menu, move with each key to the next of the items, and choose the last item."""
    page = button.page
    press(button, back=True)
    expect(page.get_by_role("menu")).to_be_focused()
    for key, item in zip(keys, items, strict=True):
        page.keyboard.press(key)
        expect(page.get_by_role("menuitem", name=item)).to_be_focused()
    page.keyboard.press("Enter")


def _search(page: Page, rows: Locator) -> None:
    go_to(page.get_by_role("textbox", name="Search conversations", exact=True), back=True)
    page.keyboard.type("nothing like it")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stSidebar").get_by_text("Nothing found", exact=True)).to_be_visible()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
