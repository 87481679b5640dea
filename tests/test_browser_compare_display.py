"""The display of two answers in a real browser: nothing reveals the groups, both appear together, and the layout holds
on a wide screen and on a phone."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser, WebSocket, expect

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.axe import expect_no_findings, findings_at_rest
from tests.support.chat_page import PHONE, SOON_MS, Chat, Record, tab, visit
from tests.support.comparing_page import (
    CHOICES,
    OPERATOR,
    both,
    letter_of,
    preferences,
    says,
    side,
    start_comparing,
    thinks,
)
from tests.support.comparing_page import chat as chat
from tests.support.comparing_page import compare_app as compare_app
from tests.support.comparing_page import record as record
from tests.support.openai_server import Gate
from tests.support.waiting import until

pytestmark = pytest.mark.browser

SECRETS = re.compile(r"hidden-|secret-(one|two|default)|time_to_first|response_time|completion_tokens", re.IGNORECASE)
FORGET = """() => {
  window.parleyComparing.seen.clear();
  window.parleyComparing.since.clear();
  document.querySelector('[data-testid="stMain"]').dispatchEvent(new Event("scroll"));
}"""

# Blindness


def messages(chat: Chat) -> list[str]:
    """Open the page anew, and return a list to which its messages from and to the server are appended as they come."""
    frames: list[str] = []

    def listen(socket: WebSocket) -> None:
        for event in ("framereceived", "framesent"):
            socket.on(
                event,
                lambda frame: frames.append(frame if isinstance(frame, str) else frame.decode("utf-8", "replace")),
            )

    chat.page.on("websocket", listen)
    chat.open()
    return frames


def test_nothing_in_the_page_or_its_messages_reveals_the_groups(chat: Chat, model: openai.Server) -> None:
    frames = messages(chat)
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.compare("Question")
    before = chat.page.content()
    chat.button("A is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.text("Wrong").click()
    side(chat, "A").get_by_role("button", name="Copy").click()
    expect(chat.page.get_by_role("status").filter(has_text="Copied.")).to_have_count(1)
    copied = str(chat.page.evaluate("navigator.clipboard.readText()"))
    chat.idle()
    chat.page.reload()
    expect(chat.button("Both bad")).to_be_visible(timeout=SOON_MS)
    assert len(frames) > 5
    for sent_or_shown in (before, chat.page.content(), copied, *frames):
        assert not SECRETS.search(sent_or_shown)


def test_every_group_stands_on_either_side(chat: Chat, model: openai.Server) -> None:
    letters = set()
    for number in range(12):  # twelve equal draws have a chance of 1 in 2,000
        model.script(*both(says(f"first {number}"), says(f"second {number}")))
        chat.compare(f"Question {number}")
        letters.add(letter_of(chat, f"first {number}"))
        if len(letters) == 2:
            return
    raise AssertionError(f"always under {letters}")


def test_an_operator_reads_group_model_and_times_under_each_side(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    with operated(browser, compare_app) as chat:
        chat.compare("Question")
        groups = set()
        for letter in "AB":
            side(chat, letter).get_by_role("button", name="Details").click()
            expect(side(chat, letter)).to_contain_text("First token")
            chat.idle()  # during the redraw, the button that moved down is in the page twice
            groups.add(re.findall("Hidden-(control|test)", side(chat, letter).inner_text())[0])
        assert groups == {"control", "test"}


def operated(browser: Browser, app: app_process.AppProcess) -> AbstractContextManager[Chat]:
    return visit(browser, app, extra_http_headers={"Authorization": f"Bearer {OPERATOR}"})


def test_an_operator_votes_blind_and_no_longer_after_reading_the_groups(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server, record: Record
) -> None:
    model.forget()
    model.script(*both(thinks("Hidden-thoughts", "first words"), thinks("Hidden-thoughts", "second words")))
    with operated(browser, compare_app) as chat:
        frames = messages(chat)
        chat.compare("Question")
        chat.button("A is better").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        chat.idle()
        assert not any(SECRETS.search(frame) for frame in frames)
        side(chat, "B").get_by_role("button", name="Details").click()
        expect(side(chat, "B")).to_contain_text("First token")
        expect(side(chat, "A")).not_to_contain_text("First token")
        expect(chat.text("Your vote: A is better")).to_be_visible()
        expect(chat.page.get_by_role("button", name="Both bad")).to_have_count(0)
        expect(side(chat, "B").get_by_test_id("stExpander")).to_be_visible()
        assert len(preferences(record, chat)) == 1


def test_an_operator_who_reads_the_groups_first_has_no_vote_in_any_tab(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    with operated(browser, compare_app) as chat:
        chat.compare("Question")
        with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
            expect(other.button("Both bad")).to_be_visible(timeout=SOON_MS)
            side(chat, "A").get_by_role("button", name="Details").click()
            expect(chat.text("No vote: you have seen which group gave which answer.")).to_be_visible()
            expect(chat.page.get_by_role("button", name="A is better")).to_have_count(0)
            other.button("A is better").click()
            expect(other.text("No vote: you have seen which group gave which answer.")).to_be_visible()
        chat.compare("And then?")  # the next comparison has a vote again


@pytest.fixture(scope="module")
def together_app(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    started = start_comparing(tmp_path_factory.mktemp("together"), model, 'reveal = "together"')
    yield started
    started.stop()


def hold_one_answer(model: openai.Server) -> Gate:
    """Script one answer that ends at once and one that waits in its middle until the returned gate opens."""
    model.forget()
    gate = Gate()
    model.script(*both(says("first words"), says("second", gate, " words")))
    return gate


def wait_for_one_answer(model: openai.Server) -> None:
    """Wait until the model server has sent all of one answer."""
    until(lambda: model.requests and any(request.complete.wait(0.01) for request in model.requests))


def test_both_appear_together_where_the_table_says_so(
    browser: Browser, together_app: app_process.AppProcess, model: openai.Server
) -> None:
    gate = hold_one_answer(model)
    with visit(browser, together_app) as chat:
        frames = messages(chat)
        chat.send("Question")
        wait_for_one_answer(model)
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("Thinking")
            expect(side(chat, letter)).not_to_contain_text("words")
        assert not any("first words" in frame for frame in frames)
        gate.open()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        expect(chat.button("Both good")).to_be_visible()
        chat.idle()


def test_until_both_have_ended_nothing_reveals_which_was_first(
    browser: Browser, together_app: app_process.AppProcess, model: openai.Server
) -> None:
    gate = hold_one_answer(model)
    with visit(browser, together_app) as chat:
        chat.send("Question")
        wait_for_one_answer(model)
        for letter in "AB":  # both show how long they have taken so far
            expect(side(chat, letter)).to_contain_text(re.compile(r"Thinking … \d+ s"), timeout=SOON_MS)
        chat.page.reload()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text(re.compile(r"Thinking … \d+ s"), timeout=SOON_MS)
            expect(side(chat, letter)).not_to_contain_text("words")
        gate.open()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        expect(chat.button("Both good")).to_be_visible()
        chat.idle()


# Layout and keyboard


def stand_side_by_side(chat: Chat) -> bool:
    """Return True if both answers have one size in one row, Copy stands left, and all choices have one width."""
    left, right = side(chat, "A").bounding_box(), side(chat, "B").bounding_box()
    copy = side(chat, "A").get_by_role("button", name="Copy").bounding_box()
    widths = [box["width"] for name in CHOICES if (box := chat.button(name).bounding_box())]
    return bool(
        left and right and copy
        and left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
        and abs(left["width"] - right["width"]) < 2 and abs(left["height"] - right["height"]) < 2
        and copy["x"] - left["x"] < 30 and copy["width"] < left["width"] / 2
        and len(widths) == len(CHOICES) and max(widths) - min(widths) < 2
    )  # fmt: skip


def stand_below_each_other(chat: Chat) -> bool:
    """Return True if answer B begins below the end of answer A, and answer A is wider than 300 pixels."""
    above, below = side(chat, "A").bounding_box(), side(chat, "B").bounding_box()
    return bool(above and below and above["y"] + above["height"] <= below["y"] and above["width"] > 300)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_wide_screen_both_stand_side_by_side(
    dark: bool, browser: Browser, compare_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    model.script(*both(says("Short."), says("A long answer. " * 40)))
    with visit(browser, compare_app, dark=dark) as chat:
        chat.compare("Question")
        until(lambda: stand_side_by_side(chat))
        expect(chat.page.get_by_role("navigation", name="Show an answer")).to_be_hidden()
        chat.button("A is better").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        expect_no_findings(chat.page, findings_at_rest)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_one_stands_below_the_other_with_a_switch(
    dark: bool, browser: Browser, compare_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    long = "A long answer that needs some room on a phone. " * 60
    model.script(*both(says("first " + long), says("second " + long)))
    with visit(browser, compare_app, size=PHONE, dark=dark) as chat:
        chat.compare("Question")
        until(lambda: stand_below_each_other(chat))
        switch = chat.page.get_by_role("navigation", name="Show an answer")
        switch.get_by_role("button", name="Show answer A").click()
        expect(side(chat, "A").get_by_text("Answer A", exact=True)).to_be_in_viewport()
        expect(switch.get_by_role("button", name="Show answer A")).to_have_attribute("aria-pressed", "true")
        switch.get_by_role("button", name="Show answer B").click()
        expect(side(chat, "B").get_by_text("Answer B", exact=True)).to_be_in_viewport()
        chat.button("B is better").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        chat.page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        expect_no_findings(chat.page, findings_at_rest)


def test_on_a_phone_the_choices_are_enabled_once_both_were_seen(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server
) -> None:
    model.forget()
    long = "A long answer that needs some room on a phone. " * 60
    model.script(*both(says("first " + long), says("second " + long)))
    with visit(browser, compare_app, size=PHONE) as chat:
        chat.compare("Question")
        conversation = chat.page.url.partition("?")[2]
        with tab(chat.page.context, chat.app, f"/?{conversation}") as other:  # it opens at the end, below answer A
            choices = other.page.locator('[class*="st-key-choices_"]')
            expect(other.button("A is better")).to_be_in_viewport(timeout=SOON_MS)
            expect(side(other, "A")).to_be_attached()  # the component that observes scrolling has named it
            expect(side(other, "A").get_by_text("Answer A", exact=True)).not_to_be_in_viewport()
            other.page.evaluate(FORGET)  # on a slow machine the top of the page was in view before its end
            expect(choices).to_have_attribute("inert", "")
            switch = other.page.get_by_role("navigation", name="Show an answer")
            switch.get_by_role("button", name="Show answer A").click()
            switch.get_by_role("button", name="Show answer B").click()
            expect(choices).not_to_have_attribute("inert", "")
            other.button("B is better").click()
            expect(other.text("Saved, thank you")).to_be_visible()


def test_the_choices_are_reached_and_pressed_by_keyboard(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    expect(chat.box).to_be_focused()
    for _ in range(20):
        chat.page.keyboard.press("Shift+Tab")
        if chat.page.evaluate("document.activeElement.innerText.includes('Both bad')"):
            break
    chat.page.keyboard.press("Enter")
    until(lambda: preferences(record, chat) == ["both_bad"])
