"""Two answers side by side in a real browser: the journey, blindness, and the failures of one of the two."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, WebSocket, expect
from sqlalchemy import select

from lib.access.identity import Access
from lib.domain.clock import now_ms
from lib.domain.conversation import Turn
from lib.domain.invitations import Terms, address, new_invitation
from lib.store import schema
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.axe import expect_no_findings, findings_at_rest
from tests.support.chat_page import PHONE, SOON_MS, Chat, Record, click_together, tab, visit
from tests.support.network_cable import cable
from tests.support.openai_server import Gate, Reply, Request, finish, status, stream, usage
from tests.support.waiting import ENOUGH_S, until

pytestmark = pytest.mark.browser
TOML = """
[statsig_openai_integration]
compare = {share}
{more}
default = {{ model = "secret-default" }}
[statsig_openai_integration.groups]
Hidden-control = {{ weight = 1, parameters = {{ model = "secret-one" }} }}
Hidden-test = {{ weight = 1, parameters = {{ model = "secret-two" }} }}
"""
SECRETS = re.compile(r"hidden-|secret-(one|two|default)|time_to_first|response_time|completion_tokens", re.IGNORECASE)
CHOICES = ("A is better", "B is better", "Both good", "Both bad")
FORGET = """() => {
  window.parleyComparing.seen.clear();
  window.parleyComparing.since.clear();
  document.querySelector('[data-testid="stMain"]').dispatchEvent(new Event("scroll"));
}"""
OPERATOR = "operator-token-of-the-tests"


def start(
    folder: Path, model: openai.Server, more: str = "", share: int = 100, **settings: str
) -> app_process.AppProcess:
    """The app where every unit compares, for testers who are no operators."""
    app_process.lay_out(folder)
    (folder / ".streamlit" / "experiments.toml").write_text(TOML.format(more=more, share=share))
    environ = {"OPENAI_BASE_URL": model.base_url, "PARLEY_OPERATOR_TOKEN": OPERATOR, **settings}
    return app_process.start(folder, environ)


@pytest.fixture(scope="module")
def compare_app(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    started = start(tmp_path_factory.mktemp("compare"), model)
    yield started
    started.stop()
    assert not started.outbound()
    assert "raceback" not in started.log()


@pytest.fixture
def chat(browser: Browser, compare_app: app_process.AppProcess, model: openai.Server) -> Iterator[Chat]:
    """A new visitor's empty page."""
    model.forget()
    with visit(browser, compare_app) as opened:
        yield opened


@pytest.fixture(scope="module")
def record(compare_app: app_process.AppProcess) -> Iterator[Record]:
    with Record.of(compare_app) as opened:
        yield opened


def side(chat: Chat, letter: str) -> Locator:
    """The newest answer of this letter."""
    return chat.page.get_by_role("region", name=f"Answer {letter}", exact=True).last


def says(text: str, *after: Any) -> Reply:
    return stream(text, *after, finish(), usage(3, 2), openai.DONE)


def thinks(thought: str, text: str) -> Reply:
    return stream(openai.chunk({"reasoning_content": thought}), text, finish(), usage(3, 2), openai.DONE)


def of_models(one: Reply, two: Reply) -> Callable[[Request], Reply]:
    """The replies of the two models, whichever is asked first."""
    return lambda request: one if request.body["model"] == "secret-one" else two


def both(one: Reply, two: Reply) -> tuple[Callable[[Request], Reply], ...]:
    return of_models(one, two), of_models(one, two)


def letter_of(chat: Chat, text: str) -> str:
    """The letter under which a text stands."""
    return "A" if text in side(chat, "A").inner_text() else "B"


def preferences(record: Record, chat: Chat) -> list[Any]:
    return [event["value"] for event in record.events(chat.conversation_id, "preference")]


# The journey


def test_an_empty_page_asks_for_a_comparison_and_not_for_a_thumb(chat: Chat) -> None:
    expect(chat.text("Ask a question, read both answers and tell us which one is better.")).to_be_visible()
    expect(chat.page.get_by_text("thumb")).to_have_count(0)


def test_a_question_is_answered_twice_and_voted_on(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(*both(says("first words"), says("second words")))
    chat.compare("Question")
    assert {request.body["model"] for request in model.requests} == {"secret-one", "secret-two"}
    for name in CHOICES:
        expect(chat.button(name)).to_be_visible()
    expect(chat.feedback).to_have_count(0)
    chat.button(f"{letter_of(chat, 'second words')} is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    until(lambda: preferences(record, chat) == ["Hidden-test"])
    assert record.names(chat.conversation_id).count("chat_completion") == 2
    assert record.events(None, "exposure") == []
    expect(chat.box).to_be_enabled()


def test_the_conversation_goes_on_from_the_preferred_answer(chat: Chat, model: openai.Server) -> None:
    model.script(*both(says("first words"), says("second words")))
    chat.compare("Question")
    chat.button(f"{letter_of(chat, 'first words')} is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.compare("And then?")
    assert [request.body["messages"][1]["content"] for request in model.requests[2:]] == ["first words"] * 2
    expect(chat.text("Your vote:", exact=False)).to_be_visible()
    expect(chat.page.get_by_role("button", name="Both bad")).to_have_count(1)


def test_a_vote_is_changed_and_explained(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.button("Both good").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)
    chat.button("A is better").click()
    expect(chat.text("What was wrong with B? (optional)")).to_be_visible()
    chat.text("Too long").click()
    until(lambda: "feedback_reason" in record.names(chat.conversation_id))
    chat.button("Send").click()
    expect(chat.page.get_by_text("Too long", exact=True)).to_have_count(0)
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.button("Say why").click()
    expect(chat.page.get_by_role("radio", name="Too long").last).to_be_checked()
    votes = record.events(chat.conversation_id, "preference")
    [reason] = record.events(chat.conversation_id, "feedback_reason")
    assert [vote["value"] for vote in votes] == ["tie", votes[1]["metadata"]["left"]]
    assert reason["metadata"]["answer_id"] == votes[1]["metadata"]["right_answer_id"]


def test_a_vote_is_not_needed_to_go_on(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.compare("And then?")
    assert preferences(record, chat) == []


def test_both_stream_at_once_and_stop_ends_both(chat: Chat, model: openai.Server) -> None:
    model.script(*both(stream("first words", openai.HANG), stream("second words", openai.HANG)))
    chat.send("Question")
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text("words")
    expect(chat.stop).to_have_count(1)
    expect(chat.page.get_by_role("button", name="Both bad")).to_have_count(0)
    chat.stop.click()
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text("Stopped")
    chat.idle()
    assert all(request.gone.wait(ENOUGH_S) for request in model.requests)
    expect(chat.button("Try again")).to_be_visible()


def test_a_failed_side_leaves_the_other_and_asks_for_no_vote(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(*both(status(401), says("second words")))
    chat.send("Question")
    expect(chat.button("Try again")).to_be_visible(timeout=SOON_MS)
    chat.idle()
    letter = letter_of(chat, "second words")
    expect(side(chat, letter).get_by_role("button", name="Copy")).to_be_visible()
    for name in CHOICES:
        expect(chat.page.get_by_role("button", name=name)).to_have_count(0)
    chat.button("Try again").click()
    expect(chat.button("Both bad")).to_be_visible(timeout=SOON_MS)
    assert len(model.requests) == 4


def test_regenerate_and_edit_ask_both_again(chat: Chat, model: openai.Server) -> None:
    chat.compare("Question")
    model.script(*both(says("The second try."), says("The second try.")))
    chat.button("Regenerate").click()
    both_say(chat, "The second try.")
    model.script(*both(says("The third try."), says("The third try.")))
    chat.button("Edit question").click()
    chat.page.get_by_label("Your question").fill("Another question")
    chat.button("Ask again").click()
    both_say(chat, "The third try.")
    expect(chat.page.get_by_role("region", name="Answer A")).to_have_count(1)
    asked = [request.body["messages"][-1]["content"] for request in model.requests]
    assert asked == ["Question"] * 4 + ["Another question"] * 2


def both_say(chat: Chat, text: str) -> None:
    """Wait until both newest answers have this text and have ended."""
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(text)
    chat.idle()


def test_a_reason_counts_although_a_new_conversation_follows_at_once(chat: Chat, record: Record) -> None:
    chat.compare("Question")
    chat.button("A is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.idle()
    asked = chat.conversation_id
    click_together(chat.page.get_by_role("radio", name="Too long").last, chat.button("New conversation"))
    expect(chat.messages).to_have_count(0)
    assert record.names(asked)[-1] == "feedback_reason"


def test_a_question_that_waits_is_asked_when_both_answers_have_ended(chat: Chat, model: openai.Server) -> None:
    gates = Gate(), Gate()
    model.script(*both(says("first", gates[0]), says("second", gates[1])))
    chat.send("Question")
    expect(side(chat, "A")).to_contain_text(re.compile("first|second"))
    chat.send("And then?")
    expect(chat.text("Waits for the answer above")).to_be_visible()
    gates[0].open()
    assert len(model.requests) == 2
    gates[1].open()
    until(lambda: len(model.requests) == 4)
    chat.idle()


# Reload, other tabs, other processes


def test_a_reload_midway_follows_both_and_shows_the_vote_again(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(*both(says("first", gate, " words"), says("second", gate, " words")))
    chat.send("Question")
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(re.compile("first|second"))
    letters = letter_of(chat, "first")
    chat.page.reload()
    for letter in "AB":
        expect(side(chat, letter)).to_contain_text(re.compile("first|second"))
    with tab(chat.page.context, chat.app, f"/?c={chat.conversation_id}") as other:
        expect(side(other, "B")).to_contain_text(re.compile("first|second"))
        gate.open()
        for one in (chat, other):
            expect(one.button("Both bad")).to_be_visible(timeout=SOON_MS)
    assert letter_of(chat, "first words") == letters
    chat.button("B is better").click()
    expect(chat.text("Saved, thank you")).to_be_visible()
    chat.page.reload()
    expect(chat.page.locator('button[data-testid="stBaseButton-primary"]', has_text="B is better")).to_be_visible()
    assert len(model.requests) == 2


def test_a_network_that_is_cut_midway_costs_neither_answer_nor_the_vote(
    browser: Browser, compare_app: app_process.AppProcess, model: openai.Server, record: Record
) -> None:
    model.forget()
    begun, gate = Gate(), Gate()
    model.script(*both(*(says(f"{which} words", begun, " more", gate, " end") for which in ("first", "second"))))
    with cable(compare_app.url) as wire, browser.new_context() as context:
        chat = Chat(context.new_page(), replace(compare_app, url=wire.url))  # its console reports the lost connection
        chat.open()
        chat.send("Question")
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        wire.pull()
        expect(chat.box).to_be_disabled()  # the page has noticed the lost connection
        begun.open()
        wire.plug()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words more", timeout=SOON_MS)
        gate.open()
        expect(chat.button("Both bad")).to_be_visible(timeout=SOON_MS)
        chat.button("A is better").click()
        expect(chat.text("Saved, thank you")).to_be_visible()
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words more end")
        until(lambda: len(preferences(record, chat)) == 1)
    assert len(model.requests) == 2


def test_a_killed_process_leaves_what_had_arrived_and_another_one_ends_both(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start(tmp_path / "app", model)
    model.script(*both(stream("first words", openai.HANG), stream("second words", openai.HANG)))
    with visit(browser, app) as chat:
        chat.send("Question")
        for letter in "AB":
            expect(side(chat, letter)).to_contain_text("words")
        with Record.of(app) as record:
            until(lambda: all(side.answer for side in _turn(record, chat).sides))
        conversation = chat.page.url.partition("?")[2]
        cookies = chat.page.context.cookies()
    app.process.send_signal(signal.SIGKILL)
    app.process.wait()
    again = app_process.start(app.folder, app.environ)
    try:
        with browser.new_context() as context:
            context.add_cookies([{**cookie, "url": again.url, "domain": None, "path": None} for cookie in cookies])
            with tab(context, again, f"/?{conversation}") as chat:
                for letter in "AB":
                    expect(side(chat, letter)).to_contain_text("Interrupted", timeout=4 * SOON_MS)
                    expect(side(chat, letter)).to_contain_text("words")
    finally:
        again.stop()


def _turn(record: Record, chat: Chat) -> Turn:
    with record.store.read() as connection:
        ours = select(schema.conversation.c.visitor_id).where(schema.conversation.c.id == chat.conversation_id)
        owner = str(connection.scalar(ours))
    found = record.store.conversations.get(chat.conversation_id, owner)
    assert found is not None
    return found.turns[-1]


# Blindness


def messages(chat: Chat) -> list[str]:
    """Return a list that grows with the messages between the page and the server, from its next start on."""
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
    for told in (before, chat.page.content(), copied, *frames):
        assert not SECRETS.search(told)


def test_groups_stand_left_and_right_alike(chat: Chat, model: openai.Server) -> None:
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
            chat.idle()  # until then the button that was moved down is there twice
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
        chat.compare("And then?")  # a new comparison has its vote


@pytest.fixture(scope="module")
def together_app(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    started = start(tmp_path_factory.mktemp("together"), model, 'reveal = "together"')
    yield started
    started.stop()


def one_waits(model: openai.Server) -> Gate:
    """Let one answer be complete at once and the other wait in its middle, until the gate opens."""
    model.forget()
    gate = Gate()
    model.script(*both(says("first words"), says("second", gate, " words")))
    return gate


def one_has_ended(model: openai.Server) -> None:
    """Wait until the model server has sent all of one answer."""
    until(lambda: model.requests and any(request.complete.wait(0.01) for request in model.requests))


def test_both_appear_together_where_the_table_says_so(
    browser: Browser, together_app: app_process.AppProcess, model: openai.Server
) -> None:
    gate = one_waits(model)
    with visit(browser, together_app) as chat:
        frames = messages(chat)
        chat.send("Question")
        one_has_ended(model)
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
    gate = one_waits(model)
    with visit(browser, together_app) as chat:
        chat.send("Question")
        one_has_ended(model)
        for letter in "AB":  # the seconds go on under both
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


# Guests


def test_guests_of_a_comparing_invitation_compare_and_others_do_not(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start(tmp_path / "app", model, share=0, PARLEY_ACCESS="invite")
    model.forget()
    key = (app.folder / "data/parley.db.signing-key").read_text().strip()
    try:
        with Record.of(app) as record:
            for name, compares in (("Friday", True), ("Others", False)):
                made = new_invitation(name, Terms(days=7, compare=compares), now_ms())
                record.store.guests.invite(made)
                link = address(app.url, Access(key).invitation_token(made.id, made.expires_ms // 1000))
                with browser.new_context() as context:
                    page = context.new_page()
                    page.goto(link)
                    page.get_by_role("button").click()
                    chat = Chat(page, app)
                    expect(chat.box).to_be_enabled(timeout=SOON_MS)
                    if compares:
                        chat.compare("Question")
                    else:
                        chat.ask("Question")
            exposed = record.events(None, "exposure")
        assert [event["metadata"]["group"] is not None for event in exposed] == [True]
        assert len(model.requests) == 3
    finally:
        app.stop()


# Limits


def test_a_budget_that_is_met_between_the_two_lets_neither_be_asked(
    tmp_path: Path, browser: Browser, model: openai.Server
) -> None:
    app = start(tmp_path / "app", model, PARLEY_BUDGET_ANSWERS_PER_VISITOR="3")
    model.forget()
    try:
        with visit(browser, app) as chat:
            chat.compare("Question")
            chat.send("Once more")
            for letter in "AB":
                expect(side(chat, letter)).to_contain_text("all your answers for today", timeout=SOON_MS)
            chat.idle()
            assert len(model.requests) == 2
    finally:
        app.stop()


# Layout and keyboard


def stand_side_by_side(chat: Chat) -> bool:
    """Return True where both answers are of one size in one row, Copy stands at the left, and all choices are equal."""
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
    """Return True where answer B begins below the end of answer A, and both are as wide as a phone."""
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


def test_on_a_phone_the_choices_wake_once_both_were_seen(
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
            expect(side(other, "A")).to_be_attached()  # named by the component that sees the reader scroll
            expect(side(other, "A").get_by_text("Answer A", exact=True)).not_to_be_in_viewport()
            other.page.evaluate(FORGET)  # a slow machine shows the top of the page before its end
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
