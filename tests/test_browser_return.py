"""Answers survive reloads, tabs, cuts and restarts; and the list of earlier conversations."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.events import chat_completion
from lib.domain.ids import new_id
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import IDLE, Chat, Record, open_pages, tab, visit, window
from tests.support.network_cable import cable
from tests.support.openai_server import DONE, Gate, finish, stream, usage
from tests.support.waiting import ENOUGH_S, until, within

pytestmark = pytest.mark.browser
HEARTBEAT_S = 0.5
BOX_SCRIPT = re.compile(r"/ChatInput\.[^/]+\.js$")
AT_THE_END = """() => { const main = document.querySelector('[data-testid="stMain"]');
  return main.scrollTop > 300 && main.scrollHeight - main.scrollTop - main.clientHeight < 5; }"""


def gated(gate: Gate) -> openai.Reply:
    """Return an answer whose second half comes once the gate is open."""
    return stream("The first half", gate, " and the second.", finish(), usage(10, 6), DONE)


WHOLE = "The first half and the second."


def values(record: Record, conversation_id: str) -> list[object]:
    """Return the finish reasons of a conversation's answers."""
    return [event["value"] for event in record.events(conversation_id, "chat_completion")]


# While an answer runs


def test_a_reload_finds_the_running_answer_where_it_is(chat: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(gated(gate))
    chat.send("Question")
    expect(chat.answer).to_contain_text("The first half")
    chat.page.reload()
    expect(chat.answer).to_contain_text("The first half")
    expect(chat.stop).to_have_count(1)
    assert chat.state() == "running"
    gate.open()
    expect(chat.answer).to_contain_text(WHOLE)
    chat.idle()
    expect(chat.messages).to_have_count(2)
    assert len(model.requests) == 1
    assert record.names(chat.conversation_id) == ["chat_completion"]


@pytest.mark.alone
def test_a_second_tab_follows_the_same_answer_and_can_stop_it(chat: Chat, model: openai.Server) -> None:
    model.script(stream("The first half", openai.HANG))
    chat.send("Question")
    expect(chat.answer).to_contain_text("The first half")
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        expect(other.answer).to_contain_text("The first half")
        expect(other.stop).to_have_count(1)
        with within(1):
            other.stop.click()
            expect(other.text("Stopped")).to_be_visible()
            expect(chat.text("Stopped")).to_be_visible()
            chat.idle()
    assert len(model.requests) == 1


def test_another_conversation_and_back_finds_the_answer(chat: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(gated(gate), openai.answer("Another answer."))
    chat.send("Question")
    expect(chat.answer).to_contain_text("The first half")
    first = chat.conversation_id
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    chat.idle()
    expect(chat.stop).to_have_count(0)
    chat.ask("Another question")
    expect(chat.answer).to_contain_text("Another answer.")
    chat.page.get_by_role("button", name="Question", exact=True).click()
    expect(chat.answer).to_contain_text("The first half")
    expect(chat.stop).to_have_count(1)
    gate.open()
    expect(chat.answer).to_contain_text(WHOLE)
    chat.idle()
    assert chat.conversation_id == first
    assert len(model.requests) == 2
    assert record.names(first) == ["chat_completion"]


def test_another_page_and_back_finds_the_answer(chat: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(gated(gate))
    chat.send("Question")
    expect(chat.answer).to_contain_text("The first half")
    conversation_id = chat.conversation_id
    chat.page.get_by_role("link", name="Results", exact=True).click()
    expect(chat.page).to_have_url(chat.app.url + "/results")
    chat.page.get_by_role("link", name="Chat", exact=True).click()
    expect(chat.answer).to_contain_text("The first half")
    expect(chat.stop).to_have_count(1)
    assert chat.conversation_id == conversation_id
    gate.open()
    expect(chat.answer).to_contain_text(WHOLE)
    chat.idle()
    assert len(model.requests) == 1
    assert record.names(conversation_id) == ["chat_completion"]
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    assert chat.conversation_id == ""


def test_the_answer_of_a_closed_tab_is_whole_and_counts_as_abandoned(
    chat: Chat, model: openai.Server, record: Record
) -> None:
    gate = Gate()
    model.script(gated(gate))
    with tab(chat.page.context, chat.app) as other:
        other.send("Question")
        expect(other.answer).to_contain_text("The first half")
        conversation_id = other.conversation_id
    until(lambda: open_pages(chat.app) == 1)
    gate.open()
    until(lambda: values(record, conversation_id) == ["stop"])
    until(lambda: record.names(conversation_id)[1:] == ["abandoned"])
    chat.open(f"/?c={conversation_id}")
    expect(chat.answer).to_contain_text(WHOLE)
    assert len(model.requests) == 1
    completed, abandoned = record.events(conversation_id)
    assert abandoned["value"] == 1
    assert abandoned["metadata"]["answer_id"] == completed["metadata"]["answer_id"]


def test_a_network_that_is_gone_for_three_seconds_costs_nothing(
    browser: Browser, chat_app: app_process.AppProcess, model: openai.Server, record: Record
) -> None:
    model.forget()
    model.script(openai.answer(" ".join(f"w{number}" for number in range(60)), pace=0.1))
    with cable(chat_app.url) as wire, window(browser) as page:
        chat = Chat(page, replace(chat_app, url=wire.url))  # its console reports the lost connection
        chat.open()
        chat.send("Question")
        expect(chat.answer).to_contain_text("w5 ")
        wire.pull()
        time.sleep(3)
        wire.plug()
        expect(chat.answer).to_contain_text("w59")
        expect(chat.answer).to_contain_text(" ".join(f"w{number}" for number in range(60)))
        chat.idle()
        expect(chat.messages).to_have_count(2)
        expect(chat.feedback).to_have_count(1)
        chat.thumb(up=True).click()
        until(lambda: len(record.names(chat.conversation_id)) == 2)
        assert record.names(chat.conversation_id) == ["chat_completion", "satisfaction"]
    assert len(model.requests) == 1


def test_a_question_from_a_second_tab_is_part_of_the_conversation(chat: Chat, model: openai.Server) -> None:
    chat.ask("First")
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        other.ask("From the other tab")
    chat.send("Third")
    until(lambda: len(model.requests) == 3)
    sent = [message["content"] for message in model.requests[-1].body["messages"] if message["role"] == "user"]
    assert sent == ["First", "From the other tab", "Third"]


# Answers of other processes


@contextmanager
def elsewhere(chat: Chat, record: Record) -> Iterator[tuple[Question, list[str]]]:
    """Ask the next question of this conversation as another process would; yield the question and its answer's states.

    A thread writes heartbeats while the block lasts: without them the page would end the answer after three seconds.
    """
    visitor_id = record.events(chat.conversation_id)[0]["user_id"]
    conversation = record.store.conversations.get(chat.conversation_id, visitor_id)
    assert conversation
    question = replace(conversation.question(conversation.turns[-1]), answer_id=new_id(), turn=2)
    assert record.store.conversations.ask(conversation, question, "From elsewhere").wait(ENOUGH_S)
    states, ended = [""], threading.Event()

    def write_heartbeats() -> None:
        while not ended.wait(HEARTBEAT_S):
            record.store.conversations.partial(question.answer_id, states[-1])

    process = threading.Thread(target=write_heartbeats, name="another process")
    process.start()
    try:
        chat.page.reload()
        yield question, states
    finally:
        ended.set()
        process.join()


def test_an_answer_of_another_process_is_followed_and_waited_for(
    chat: Chat, model: openai.Server, record: Record
) -> None:
    chat.ask("First")
    with elsewhere(chat, record) as (question, states):
        expect(chat.messages.nth(2)).to_contain_text("From elsewhere")
        expect(chat.stop).to_have_count(1)
        states.append("Written somewhere")
        expect(chat.answer).to_contain_text("Written somewhere")
        chat.send("Third")
        expect(chat.text("Waits for the answer above")).to_be_visible()
        completion = Completion("Written somewhere else.", "stop", 1.0, 0.5)
        record.store.conversations.finish(question, completion, chat_completion(question, completion))
        expect(chat.answer).to_contain_text("Hello from the stand-in.")
    expect(chat.messages.nth(3)).to_contain_text("Written somewhere else.")
    sent = [message["content"] for message in model.requests[-1].body["messages"]]
    assert sent[2:] == ["From elsewhere", "Written somewhere else.", "Third"]


@pytest.mark.alone
def test_an_answer_of_another_process_is_stopped_within_a_second(chat: Chat, record: Record) -> None:
    chat.ask("First")
    with elsewhere(chat, record) as (_, states):
        states.append("Written somewhere")
        expect(chat.answer).to_contain_text("Written somewhere")
        chat.stop.click(trial=True)  # the page has just been reloaded
        with within(1):
            chat.stop.click()
            expect(chat.text("Stopped")).to_be_visible()
            chat.idle()
    expect(chat.answer).to_contain_text("Written somewhere")
    assert values(record, chat.conversation_id) == ["stop", "stopped"]


def test_an_answer_that_another_process_ended_is_shown_as_the_record_has_it(
    chat: Chat, model: openai.Server, record: Record
) -> None:
    gate = Gate()
    model.script(gated(gate))
    chat.send("Question")
    expect(chat.answer).to_contain_text("The first half")
    visitor_id = record.events(None, "exposure")[-1]["user_id"]
    conversation = record.store.conversations.get(chat.conversation_id, visitor_id)
    assert conversation
    question = conversation.question(conversation.turns[-1])
    completion = Completion("The first half", "interrupted", 1.0, 0.5, error="ProcessEnded")
    assert record.store.conversations.finish(question, completion, chat_completion(question, completion)).wait(ENOUGH_S)
    gate.open()
    expect(chat.text("Interrupted")).to_be_visible()
    expect(chat.answer).not_to_contain_text("and the second")
    chat.button("Try again").click()
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    chat.idle()
    assert values(record, chat.conversation_id) == ["interrupted", "stop"]


# The list of conversations


def test_earlier_conversations_are_listed_and_open(chat: Chat, record: Record) -> None:
    chat.ask("What is the capital of France?")
    first = chat.conversation_id
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    assert chat.conversation_id == ""
    chat.ask("And of Peru?")
    assert chat.conversation_id != first
    expect(chat.page.get_by_test_id("stSidebar").get_by_text("Today", exact=True)).to_be_visible()
    chat.page.get_by_role("button", name="What is the capital of France?").click()
    expect(chat.messages.first).to_contain_text("What is the capital of France?")
    until(lambda: chat.conversation_id == first)
    chat.idle()
    chat.page.go_back()
    expect(chat.messages.first).to_contain_text("And of Peru?")


def test_the_address_is_the_conversation(chat: Chat) -> None:
    chat.ask("First")
    first = chat.conversation_id
    chat.open("/")
    expect(chat.messages).to_have_count(0)
    chat.open(f"/?c={first}")
    expect(chat.messages).to_have_count(2)


def test_a_conversation_is_renamed(chat: Chat, record: Record) -> None:
    chat.ask("First question")
    chat.choose("First question", "Rename")
    name = chat.page.get_by_role("textbox", name="Name", exact=True)
    name.fill("A better name")
    name.press("Enter")
    expect(chat.page.get_by_role("button", name="A better name")).to_be_visible()
    chat.app.wait_written()
    chat.page.reload()
    expect(chat.page.get_by_role("button", name="A better name")).to_be_visible()
    expect(chat.page.get_by_role("button", name="First question")).to_have_count(0)


def test_a_conversation_is_deleted(chat: Chat, record: Record) -> None:
    chat.ask("Keep me")
    kept = chat.conversation_id
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    chat.ask("Delete me")
    gone = chat.conversation_id
    chat.choose("Delete me", "Delete")
    expect(chat.page.get_by_text("Delete “Delete me”? This cannot be undone.").last).to_be_visible()
    expect(chat.messages).to_have_count(2)
    chat.button("Delete").click()
    expect(chat.messages).to_have_count(0)
    expect(chat.page.get_by_role("button", name="Delete me")).to_have_count(0)
    chat.open(f"/?c={gone}")
    expect(chat.text("That conversation is not here.", exact=False)).to_be_visible()
    expect(chat.messages).to_have_count(0)
    chat.open(f"/?c={kept}")
    expect(chat.messages).to_have_count(2)
    assert record.names(gone) == ["chat_completion"]  # the numbers stay in the record


def test_a_page_that_follows_an_answer_stays_when_another_conversation_is_deleted(
    chat: Chat, model: openai.Server
) -> None:
    gate = Gate()
    chat.ask("Delete me")
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    model.script(gated(gate))
    chat.send("Keep me")
    expect(chat.answer).to_contain_text("The first half")
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        expect(other.answer).to_contain_text("The first half")
        chat.choose("Delete me", "Delete")
        chat.button("Delete").click()
        for each in (chat, other):
            expect(each.page.get_by_role("button", name="Delete me")).to_have_count(0)
            expect(each.messages).to_have_count(2)
        gate.open()
        for each in (chat, other):
            expect(each.answer).to_contain_text(WHOLE)
            each.idle()


def test_all_conversations_are_deleted(chat: Chat, record: Record) -> None:
    chat.ask("First")
    first = chat.conversation_id
    chat.button("New conversation").click()
    expect(chat.messages).to_have_count(0)
    chat.ask("Second")
    chat.button("Privacy").click()
    chat.button("Delete all my conversations").click()
    chat.button("Delete all").click()
    expect(chat.messages).to_have_count(0)
    for title in ("First", "Second"):
        expect(chat.page.get_by_role("button", name=title, exact=True)).to_have_count(0)
    chat.open(f"/?c={first}")
    expect(chat.messages).to_have_count(0)
    until(lambda: "First" not in _texts(record, first))


def _texts(record: Record, conversation_id: str) -> str:
    """Return all stored texts of a conversation."""
    lines = record.store.events.export(text=True)
    return str([line.get("text") for line in lines if conversation_id in str(line["metadata"])])


def test_a_conversation_is_downloaded(chat: Chat, model: openai.Server) -> None:
    model.script(openai.answer("It is **Paris**."))
    chat.ask("What is the capital of France?")
    with chat.page.expect_download() as waiting:
        chat.choose("What is the capital", "Download")
    text = Path(waiting.value.path()).read_text()
    assert "What is the capital of France?" in text
    assert "It is **Paris**." in text
    assert re.fullmatch(r"What-is-the-capital-of-France \d{4}-\d\d-\d\d\.md", waiting.value.suggested_filename)


def test_no_other_visitor_opens_a_conversation(chat: Chat, browser: Browser) -> None:
    chat.ask("My secret question")
    with visit(browser, chat.app, path=f"/?c={chat.conversation_id}") as stranger:
        expect(stranger.text("That conversation is not here.", exact=False)).to_be_visible()
        expect(stranger.messages).to_have_count(0)
        expect(stranger.page.get_by_text("My secret question")).to_have_count(0)
        assert stranger.conversation_id == ""
        stranger.ask("My own")
        assert stranger.conversation_id not in ("", chat.conversation_id)


def converse(chat: Chat, model: openai.Server, answers: int, length: int) -> None:
    """Ask this many questions, numbered from 0. Each answer repeats its two words `length` times."""
    for number in range(answers):
        model.script(openai.answer(f"Answer {number}. " + "More words. " * length))
        chat.send(f"Question {number}")
        expect(chat.answer).to_contain_text(f"Answer {number}.")
        chat.idle()


def test_a_long_conversation_opens_at_its_end_and_shows_earlier_messages(chat: Chat, model: openai.Server) -> None:
    converse(chat, model, 21, 40)
    chat.page.reload()
    expect(chat.answer).to_contain_text("Answer 20.")
    expect(chat.answer.get_by_text("Answer 20.").last).to_be_in_viewport()
    expect(chat.page.get_by_text("Answer 0.")).to_have_count(0)
    chat.button("Show earlier messages").click()
    expect(chat.messages.nth(1)).to_contain_text("Answer 0.")
    expect(chat.messages).to_have_count(42)


def test_a_conversation_opens_at_its_end_where_the_box_comes_last(chat: Chat, model: openai.Server) -> None:
    converse(chat, model, 4, 200)
    held: list[Route] = []
    chat.page.route(BOX_SCRIPT, lambda route: held.append(route))
    chat.page.reload()
    expect(chat.answer).to_contain_text("Answer 3.")
    chat.page.wait_for_function(IDLE)
    until(lambda: chat.page.evaluate("true") and held)
    for route in held:
        route.continue_()
    expect(chat.box).to_be_enabled()
    chat.page.wait_for_function(AT_THE_END)


# A restart


@pytest.fixture
def again(model: openai.Server, tmp_path: Path) -> Iterator[app_process.AppProcess]:
    """A separate app, which a test may end."""
    model.forget()
    app = app_process.start(tmp_path / "app", {"OPENAI_BASE_URL": model.base_url})
    yield app
    if app.process.poll() is None:
        app.stop()


def test_after_a_restart_the_conversation_and_the_half_answer_are_there(
    again: app_process.AppProcess, browser: Browser, model: openai.Server
) -> None:
    model.script(openai.answer("Whole."), stream("Half an answer", openai.HANG))
    port = int(again.url.rpartition(":")[2])
    with window(browser) as page:
        chat = Chat(page, again)
        chat.open()
        chat.ask("First")
        chat.thumb(up=True).click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        chat.send("Second")
        expect(chat.answer).to_contain_text("Half an answer")
        again.stop()
        assert "did not end" not in again.log()
        restarted = app_process.start(again.folder, {"OPENAI_BASE_URL": model.base_url}, port=port)
        try:
            expect(chat.text("Interrupted")).to_be_visible()
            expect(chat.answer).to_contain_text("Half an answer")
            chat.page.reload()
            expect(chat.answer).to_contain_text("Half an answer")
            expect(chat.page.get_by_role("radio", name="Thumbs up").first).to_be_checked()
            chat.button("Try again").click()
            expect(chat.answer).to_contain_text("Hello from the stand-in.")
            with Record.of(restarted) as record:
                ended = record.events(chat.conversation_id, "chat_completion")
            assert [event["value"] for event in ended] == ["stop", "interrupted", "stop"]
        finally:
            restarted.stop()
