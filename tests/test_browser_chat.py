"""Ask, watch the answer grow, stop it, ask again: the real app in Chromium, in front of a scripted model server."""

import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record
from tests.support.openai_server import HANG, Gate, Pause, stream
from tests.support.waiting import ENOUGH_S, until, within

pytestmark = pytest.mark.browser

MARKDOWN = """\
# A title

Some prose with `code` and **bold** words.

```python
def answer():
    return 42
```

| planet | moons |
|---|---|
| Earth | 1 |
| Mars | 2 |

- one
- two
    - nested

1. first
2. second

Inline $e^{i\\pi}$ and \\(a^2\\), and on its own:

$$\\int_0^1 x\\,dx = \\frac{1}{2}$$

It costs $5 and then $10.
"""


SETTINGS = {"PARLEY_SUGGESTIONS": "What is Parley? | Write a haiku in Python"}


def whole(*steps: openai.Step) -> openai.Reply:
    """Return a stream of these steps with a normal end."""
    return stream(*steps, openai.finish(), openai.usage(10, 5), openai.DONE)


# The empty page


def test_the_empty_page_greets_and_asks_no_model(chat: Chat, model: openai.Server) -> None:
    expect(chat.page.get_by_role("heading", name="What would you like to talk about?")).to_be_visible()
    expect(chat.page.get_by_text("built-in demo model")).to_have_count(0)
    chat.idle()
    expect(chat.stop).to_have_count(0)
    assert chat.conversation_id == ""
    assert model.requests == []


def test_a_suggestion_is_a_question(chat: Chat, model: openai.Server) -> None:
    chat.text("Write a haiku in Python").click()
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    expect(chat.page.get_by_text("What is Parley?", exact=True)).to_have_count(0)
    expect(chat.page.get_by_role("heading", name="What would you like to talk about?")).to_have_count(0)
    assert [request.messages for request in model.requests] == [[("user", "Write a haiku in Python")]]


def test_a_double_click_on_a_suggestion_keeps_its_conversation(chat: Chat, model: openai.Server) -> None:
    with chat.page.context.new_page() as page:
        late = LateMessages(page)
        slow = Chat(page, chat.app)
        slow.open()
        slow.idle()
        suggestion, gate = slow.text("What is Parley?"), Gate()
        model.script(whole("An answer that takes", gate, " longer than a double click."))
        late.hold()
        suggestion.click()
        until(lambda: page.evaluate("true") and model.requests)
        suggestion.click()  # the browser does not have the new address yet
        late.release()
        expect(slow.answer).to_contain_text("An answer that takes")
        gate.open()
        expect(slow.feedback).to_have_count(1)
        slow.idle()
        expect(slow.messages).to_have_count(2)
        assert slow.conversation_id
        assert len(model.requests) == 1


class LateMessages:
    """Holds back the server's messages to a page, as a slow network does. Create it before the page is opened."""

    def __init__(self, page: Page) -> None:
        self._held: list[str | bytes] | None = None
        page.route_web_socket(re.compile("_stcore/stream"), self._connect)

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or [], None
        for message in held:
            self._route.send(message)

    def _connect(self, route: WebSocketRoute) -> None:
        self._route = route
        route.connect_to_server().on_message(self._pass)

    def _pass(self, message: str | bytes) -> None:
        if self._held is None:
            self._route.send(message)
        else:
            self._held.append(message)


def test_back_leaves_the_first_question_while_its_answer_runs(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("Half", gate, " and whole."))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    chat.page.go_back()
    expect(chat.messages).to_have_count(0)
    assert chat.conversation_id == ""
    gate.open()


@pytest.mark.parametrize("by", ["Enter", "click"])
def test_a_question_is_sent_within_the_event_that_asks_it(by: str, chat: Chat) -> None:
    chat.page.evaluate("""() => {                       // before all others: a timer as Streamlit sets its own
      window.order = [];
      for (const type of ["keydown", "click"])
        addEventListener(type, () => setTimeout(() => window.order.push("timer"), 0), { capture: true, once: true });
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...all) { window.order.push("sent"); return send.apply(this, all); };
    }""")
    chat.box.fill("Hello?")
    if by == "Enter":
        chat.box.press("Enter")
    else:
        chat.page.get_by_test_id("stChatInputSubmitButton").click()
    expect(chat.feedback).to_have_count(1)
    assert chat.page.evaluate("window.order.slice(0, 2)") == ["sent", "timer"]
    assert (
        chat.page.evaluate("Function.prototype.toString.call(setTimeout)") == "function setTimeout() { [native code] }"
    )


# An answer


def test_an_answer_grows_while_it_runs(chat: Chat, model: openai.Server) -> None:
    first, second = Gate(), Gate()
    model.script(whole("The first words", first, " and the next", second, " and the last."))
    chat.send("Tell me")
    expect(chat.answer).to_contain_text("The first words")
    expect(chat.messages).to_have_count(2)
    assert re.fullmatch("[0-9a-f]{32}", chat.conversation_id)
    assert chat.state() == "running"
    first.open()
    expect(chat.answer).to_contain_text("The first words and the next")
    expect(chat.feedback).to_have_count(0)
    second.open()
    expect(chat.answer).to_contain_text("The first words and the next and the last.")
    expect(chat.feedback).to_have_count(1)
    chat.idle()
    assert len(model.requests) == 1


def test_one_stop_while_an_answer_runs_and_none_otherwise(chat: Chat, model: openai.Server) -> None:
    chat.ask("First")
    gate = Gate()
    model.script(whole(gate, "Some ", "words", Pause(0.3), " more."))
    chat.watch()
    chat.send("Second")
    expect(chat.stop).to_have_count(1)
    gate.open()
    expect(chat.feedback).to_have_count(2)
    chat.idle()
    seen = chat.seen()
    assert all(visible <= 1 and disabled == 0 for _, visible, disabled in seen), seen
    assert all(visible == 0 for state, visible, _ in seen if state == "notRunning"), seen
    assert [visible for _, visible, _ in seen].count(1) == 1, seen  # the button appears once and disappears once


def test_the_script_runs_as_long_as_the_answer(chat: Chat, model: openai.Server) -> None:
    gate = Gate()
    model.script(whole("Slow", Pause(1), "er", gate, "ly."))
    chat.idle()
    chat.watch()
    chat.send("Go")
    expect(chat.answer).to_contain_text("Slower")
    before = chat.seen()
    gate.open()
    expect(chat.answer).to_contain_text("Slowerly.")
    chat.idle()
    running = [state for state, _, _ in before]
    assert running.count("notRunning") == 1, before  # the one entry from before the question


def test_markdown_is_drawn_while_it_grows_and_the_same_after_a_reload(chat: Chat, model: openai.Server) -> None:
    pieces = [piece for word in re.findall(r"\S+\s*|\n", MARKDOWN) for piece in (word[:3], word[3:]) if piece]
    model.script(whole(*(step for piece in pieces for step in (piece, Pause(0.002)))))
    chat.ask("Show everything")
    expect(chat.answer.get_by_role("heading", name="A title")).to_be_visible()
    expect(chat.answer.get_by_test_id("stCode")).to_contain_text("return 42")
    expect(chat.answer.get_by_role("cell", name="Mars")).to_be_visible()
    expect(chat.answer.locator("li")).to_have_count(5)
    expect(chat.answer.locator(".katex")).to_have_count(3)
    expect(chat.answer.locator(".katex-display")).to_have_count(1)
    expect(chat.answer.locator(".katex-error")).to_have_count(0)
    expect(chat.answer).to_contain_text("It costs $5 and then $10.")
    grown = chat.answer.get_by_test_id("stMarkdown").all_inner_texts()
    chat.page.reload()
    expect(chat.answer.get_by_test_id("stCode")).to_contain_text("return 42")  # drawn once its script has loaded
    expect(chat.answer.locator(".katex-display")).to_have_count(1)
    until(lambda: chat.answer.get_by_test_id("stMarkdown").all_inner_texts() == grown)


def test_the_focus_is_in_the_input_after_an_answer(chat: Chat) -> None:
    chat.ask("One")
    expect(chat.box).to_be_focused()
    chat.page.keyboard.type("Two")
    chat.page.keyboard.press("Enter")
    expect(chat.feedback).to_have_count(2)
    expect(chat.box).to_be_focused()
    expect(chat.box).to_have_value("")


def test_the_focus_is_in_the_input_after_stop_too(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    chat.stop.click()
    chat.idle()
    expect(chat.box).to_be_focused()


def test_the_model_gets_the_whole_conversation(chat: Chat, model: openai.Server) -> None:
    model.script(openai.answer("Blue."))
    chat.ask("What colour is the sky?")
    chat.ask("Why?")
    assert model.requests[1].messages == [
        ("user", "What colour is the sky?"),
        ("assistant", "Blue."),
        ("user", "Why?"),
    ]
    assert {request.body["model"] for request in model.requests} <= {CONTROL_MODEL, TEST_MODEL}
    assert len({request.body["model"] for request in model.requests}) == 1


def test_a_second_question_waits_for_the_first_answer(chat: Chat, model: openai.Server, record: Record) -> None:
    gate = Gate()
    model.script(whole("The first", gate, " answer."), openai.answer("The second answer."))
    chat.send("First?")
    expect(chat.answer).to_contain_text("The first")
    chat.send("Second?")
    expect(chat.text("Waits for the answer above")).to_be_visible()
    assert len(model.requests) == 1
    gate.open()
    expect(chat.feedback).to_have_count(2)
    chat.idle()
    expect(chat.page.get_by_text("Waits for the answer above")).to_have_count(0)
    expect(chat.messages).to_have_text(
        [re.compile("First?"), re.compile("The first answer."), re.compile("Second?"), re.compile("The second answer.")]
    )
    assert model.requests[1].messages[1] == ("assistant", "The first answer.")
    assert record.names(chat.conversation_id) == ["chat_completion"] * 2


# Stop

STALLS = {
    "before the first token": (HANG,),
    "before the head": None,
    "in the middle": (*(step for _ in range(100) for step in ("word ", Pause(0.05))), HANG),
    "in a stall": ("Half an answer", HANG),
}


@pytest.mark.alone
@pytest.mark.parametrize("moment", STALLS)
def test_stop_ends_it_within_a_second(moment: str, chat: Chat, model: openai.Server, record: Record) -> None:
    steps = STALLS[moment]
    model.script(openai.silence() if steps is None else stream(*steps), openai.answer("At last."))
    chat.send("Go")
    expect(chat.stop).to_be_visible()
    until(lambda: model.requests)
    if text := steps and next((step for step in steps if isinstance(step, str)), None):
        expect(chat.answer).to_contain_text(text)
    chat.stop.click(trial=True)
    with within(1):
        chat.stop.click()
        expect(chat.text("Stopped")).to_be_visible()
        chat.idle()
    assert model.requests[0].gone.wait(ENOUGH_S)
    if text:
        expect(chat.answer).to_contain_text(text)
    expect(chat.feedback).to_have_count(1 if text else 0)
    [ended] = record.events(chat.conversation_id)
    assert (ended["name"], ended["value"]) == ("chat_completion", "stopped")
    chat.button("Try again").click()
    expect(chat.answer).to_contain_text("At last.")
    expect(chat.messages).to_have_count(2)
    expect(chat.page.get_by_text("Stopped", exact=True)).to_have_count(0)
    assert model.requests[1].messages == [("user", "Go")]


@pytest.mark.alone
def test_escape_stops(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    with within(1):
        chat.page.keyboard.press("Escape")
        expect(chat.text("Stopped")).to_be_visible()
        chat.idle()
    assert model.requests[0].gone.wait(ENOUGH_S)


def test_the_input_is_usable_at_once_after_stop(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    chat.send("Go")
    expect(chat.answer).to_contain_text("Half")
    chat.stop.click()
    chat.send("Something else")
    expect(chat.answer).to_contain_text("Hello from the stand-in.")
    assert model.requests[1].messages == [("user", "Go"), ("assistant", "Half"), ("user", "Something else")]


def test_stop_asks_none_of_the_questions_that_wait(chat: Chat, model: openai.Server) -> None:
    model.script(stream("Half", HANG))
    chat.send("First")
    expect(chat.answer).to_contain_text("Half")
    chat.send("Second")
    expect(chat.text("Waits for the answer above")).to_be_visible()
    chat.stop.click()
    chat.idle()
    expect(chat.page.get_by_text("Waits for the answer above")).to_have_count(0)
    expect(chat.messages).to_have_count(2)
    assert len(model.requests) == 1


# Once more


def test_regenerate_replaces_the_answer(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(openai.answer("The first try."), openai.answer("The second try."))
    chat.ask("Question")
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("The second try.")
    chat.idle()
    expect(chat.messages).to_have_count(2)
    assert [request.messages for request in model.requests] == [[("user", "Question")]] * 2
    first, replaced, second = record.events(chat.conversation_id)
    assert [event["name"] for event in (first, replaced, second)] == [
        "chat_completion", "regenerated", "chat_completion",
    ]  # fmt: skip
    assert replaced["metadata"]["answer_id"] == first["metadata"]["answer_id"] != second["metadata"]["answer_id"]
    assert {event["metadata"]["turn"] for event in (first, replaced, second)} == {1}
    chat.page.reload()
    expect(chat.answer).to_contain_text("The second try.")
    expect(chat.messages).to_have_count(2)


def test_the_last_question_can_be_edited(chat: Chat, model: openai.Server) -> None:
    model.script(openai.answer("An answer to a typo."))
    chat.ask("First")
    chat.ask("Waht?")
    chat.button("Edit question").click()
    editor = chat.page.get_by_role("textbox", name="Your question")
    expect(editor).to_have_value("Waht?")
    editor.fill("What?")
    chat.button("Ask again").click()
    expect(chat.messages.nth(2)).to_contain_text("What?")
    expect(editor).to_have_count(0)
    chat.idle()
    expect(chat.page.get_by_text("Waht?")).to_have_count(0)
    expect(chat.messages).to_have_count(4)
    assert model.requests[2].messages == [
        ("user", "First"), ("assistant", "An answer to a typo."), ("user", "What?"),
    ]  # fmt: skip


def test_an_edit_can_be_given_up(chat: Chat, model: openai.Server) -> None:
    chat.ask("First")
    chat.button("Edit question").click()
    chat.page.get_by_role("textbox", name="Your question").fill("Other")
    chat.button("Cancel").click()
    expect(chat.messages.first).to_contain_text("First")
    expect(chat.page.get_by_role("textbox", name="Your question")).to_have_count(0)
    assert len(model.requests) == 1


def test_an_edit_is_checked_like_a_question(chat: Chat, model: openai.Server) -> None:
    chat.ask("First")
    chat.button("Edit question").click()
    chat.page.get_by_role("textbox", name="Your question").fill("  \n ")
    chat.button("Ask again").click()
    expect(chat.text("Please write a question first.")).to_be_visible()
    chat.idle()
    assert len(model.requests) == 1


def test_only_the_last_answer_can_be_regenerated(chat: Chat) -> None:
    chat.ask("First")
    chat.ask("Second")
    expect(chat.page.get_by_role("button", name="Regenerate")).to_have_count(1)
    expect(chat.page.get_by_role("button", name="Edit question")).to_have_count(1)
    expect(chat.page.get_by_role("button", name="Copy")).to_have_count(2)


def test_no_message_shows_the_text_of_a_replaced_answer(chat: Chat, model: openai.Server) -> None:
    gates = [Gate(), Gate()]
    first, second = ("One\n\n## Uno\n\nEin.", "Two\n\n## Dos\n\nZwei.")
    model.script(whole(first), whole(second), whole("Three", gates[0], f"\n\n{first}"), whole("Four", gates[1], "."))
    chat.ask("First")
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("Zwei.")
    chat.idle()
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("Three")
    expect(chat.page.get_by_text("Zwei.")).to_have_count(0)
    gates[0].open()
    expect(chat.answer).to_contain_text("Ein.")
    chat.idle()
    chat.send("Second")
    expect(chat.answer).to_contain_text("Four")
    expect(chat.messages).to_have_count(4)
    expect(chat.messages.nth(2)).not_to_contain_text("Ein.")
    gates[1].open()
    expect(chat.answer).to_contain_text("Four.")


def test_the_page_follows_the_answer_that_replaces_a_longer_one(chat: Chat, model: openai.Server) -> None:
    gates, page_of_text = [Gate(), Gate()], "Many words that take some room. " * 80
    model.script(whole(page_of_text), whole("Short", gates[0], f"\n\n{page_of_text}", gates[1], "\n\nThe end."))
    chat.ask("First")
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("Short")
    gates[0].open()
    expect(chat.answer).to_contain_text("Many words")
    gates[1].open()
    expect(chat.answer.get_by_text("The end.").last).to_be_in_viewport()
    chat.idle()
    expect(chat.page.get_by_role("button", name="Jump to latest")).to_have_count(0)


def test_a_failed_answer_is_asked_again(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(openai.status(400), openai.answer("Now it works."))
    chat.send("Question")
    refusal = "The model refused the question. Please tell the person who invited you."
    expect(chat.answer.get_by_text(refusal, exact=True).last).to_be_visible()
    chat.idle()
    expect(chat.feedback).to_have_count(0)
    chat.button("Try again").click()
    expect(chat.answer).to_contain_text("Now it works.")
    expect(chat.messages).to_have_count(2)
    chat.idle()
    assert [event["value"] for event in record.events(chat.conversation_id, "chat_completion")] == ["error", "stop"]


def test_an_interrupted_answer_keeps_its_text(chat: Chat, model: openai.Server, record: Record) -> None:
    model.script(stream("Half an answer", openai.RESET))
    chat.send("Question")
    expect(chat.text("Interrupted")).to_be_visible()
    expect(chat.answer).to_contain_text("Half an answer")
    expect(chat.feedback).to_have_count(1)
    expect(chat.button("Try again")).to_be_visible()
    chat.idle()
    [ended] = record.events(chat.conversation_id)
    assert (ended["value"], ended["metadata"]["error"]) == ("interrupted", "APIConnectionError")
