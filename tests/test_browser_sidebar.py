"""The list of earlier conversations, its search and its scrolling; and the switch of the theme."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from lib.domain.conversation import Question
from lib.domain.ids import new_id
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record
from tests.support.waiting import ENOUGH_S, until

pytestmark = pytest.mark.browser

ROWS = '[class*="st-key-row_"]'


def test_hundreds_of_conversations_load_as_one_scrolls(chat: Chat, record: Record) -> None:
    chat.ask("The newest")
    store, visitor_id = record.store, record.events(chat.conversation_id)[0]["user_id"]
    about = store.conversations.get(chat.conversation_id, visitor_id)
    assert about
    for number in range(120):
        asked = Question(new_id(), new_id(), "session", 1, "m", about.assignment)
        store.conversations.ask(
            replace(about, id=asked.conversation_id, title=None, turns=()), asked, f"Older {number}"
        )
    assert store.events.record([]).wait(ENOUGH_S)
    chat.page.reload()
    rows = chat.page.locator(ROWS)
    expect(rows).to_have_count(30)
    foot = chat.page.get_by_role("button", name="Privacy")
    for count in (60, 90, 120):
        rows.last.scroll_into_view_if_needed()
        expect(rows).not_to_have_count(count - 30)
        expect(foot).to_be_in_viewport()
        expect(chat.page.get_by_role("button", name="New conversation")).to_be_in_viewport()
    until(lambda: {round(box["height"]) for row in rows.all()[:3] if (box := row.bounding_box())} == {36})  # pixels


def test_a_search_finds_titles_and_texts_in_any_case(chat: Chat, model: openai.Server) -> None:
    model.script(openai.answer("Die Tür ist ÖFFENTLICH."), openai.answer("Green."))
    chat.ask("A question about doors")
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    chat.ask("What colour is **grass**?")
    rows, search = chat.page.locator(ROWS), chat.page.get_by_role("textbox", name="Search conversations")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("What colour is **grass**?")  # as it was typed
    for words, found in (("öffentlich tür", "doors"), ("GRASS", "grass"), ("green", "grass")):
        search.fill(words)
        search.press("Enter")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(found)
    search.fill("100%")
    search.press("Enter")
    expect(chat.page.get_by_test_id("stSidebar").get_by_text("Nothing found", exact=True)).to_be_visible()
    search.fill("")
    search.press("Enter")
    expect(rows).to_have_count(2)


def test_every_row_has_its_menu_by_keyboard_too(chat: Chat) -> None:
    chat.ask("The first")
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    chat.ask("The second")
    first = chat.page.locator(ROWS).filter(has_text="The first")
    first.get_by_role("button", name="The first").focus()
    chat.page.keyboard.press("Tab")
    menu = first.get_by_role("button", name="Conversation menu")
    expect(menu).to_be_focused()
    expect(menu).to_have_css("opacity", "1")
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("menu")).to_be_focused()
    for key, item in (("ArrowDown", "Download"), ("ArrowUp", "Rename")):
        chat.page.keyboard.press(key)
        expect(chat.page.get_by_role("menuitem", name=item)).to_be_focused()
    chat.page.keyboard.press("Enter")
    name = chat.page.get_by_role("textbox", name="Name", exact=True)
    expect(name).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(name).to_have_count(0)
    chat.choose("The first", "Delete")
    chat.button("Cancel").click()
    expect(chat.page.locator(ROWS)).to_have_count(2)
    chat.choose("The first", "Delete")
    chat.button("Delete").click()
    expect(chat.page.locator(ROWS)).to_have_count(1)
    expect(chat.messages).to_have_count(2)  # another conversation is on the page


def test_the_theme_follows_the_system_and_can_be_switched(chat: Chat) -> None:
    app = chat.page.get_by_test_id("stApp")
    for choice, colour in (("Dark", "rgb(20, 23, 31)"), ("Follow the system", "rgb(255, 255, 255)")):
        chat.box.fill("A draft")
        chat.page.get_by_role("button", name="Appearance").click()
        chat.page.get_by_role("menuitem", name=choice).click()
        expect(app).to_have_css("background-color", colour)
        expect(chat.box).to_have_value("A draft")
        chat.idle()
