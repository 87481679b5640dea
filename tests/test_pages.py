"""The pages as Streamlit runs them, without a browser: with an open app, or with none."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from lib import __version__
from lib.access.identity import Access
from lib.alerts import news
from lib.app import App
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.events import chat_completion
from lib.domain.ids import new_id
from lib.settings import load
from lib.web import failed_page, running
from tests.support import openai_server as openai
from tests.support.openai_server import stream
from tests.support.page_runs import ROOT, new_session
from tests.support.waiting import ENOUGH_S

Begin = Callable[..., None]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Yield a function that opens the app of this process with some settings."""
    root, ours = logging.getLogger(), logging.getLogger("parley")
    before = root.handlers[:], root.level, ours.level
    toml = ROOT / ".streamlit" / "experiments.toml"

    def start(**settings: str) -> None:
        url = settings.pop("DATABASE_URL", f"sqlite:///{tmp_path}/parley.db")
        environ = {"DATABASE_URL": url, "PARLEY_EXPERIMENTS_FILE": str(toml), **settings}
        running.begin(load(environ, tmp_path / "none.toml"), Access("a-signing-key-of-the-tests"))
        with suppress(running.Unready):  # a test may want an app that cannot be opened
            running.app(ENOUGH_S)

    yield start
    running.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def app(begin: Begin, model_server: openai.Server) -> App:
    """The open app in front of the stand-in."""
    begin(OPENAI_BASE_URL=model_server.base_url)
    return running.app()


def open_page(**query: str) -> AppTest:
    """Open a page in a new session, with these query parameters in its address."""
    page = new_session()
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def ask(page: AppTest, text: str) -> AppTest:
    return page.chat_input[0].set_value(text).run()


def test_with_a_real_model_the_empty_page_offers_the_operators_suggestions_only(
    begin: Begin, model_server: openai.Server
) -> None:
    begin(OPENAI_BASE_URL=model_server.base_url)
    assert not open_page().button_group
    running.close()
    begin(OPENAI_BASE_URL=model_server.base_url, PARLEY_SUGGESTIONS="Where is my order? | Is it open?")
    (offered,) = open_page().button_group
    assert offered.options == ["Where is my order?", "Is it open?"]


def messages(page: AppTest) -> list[str]:
    """Return the messages on the page."""
    return [" ".join(str(part.value) for part in (*message.text, *message.markdown)) for message in page.chat_message]


def conversation_id(page: AppTest) -> str:
    return str(page.session_state["on_page"].conversation.id)


def buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.main.button]


def text_of(page: AppTest) -> str:
    """Return all text on the page."""
    return " ".join(
        str(part.value)
        for kind in ("error", "warning", "info", "markdown", "caption")
        for part in page.get(kind)
        if isinstance(part, Element)
    )


# A page without a cookie: no AppTest sends one


def test_a_page_without_a_cookie_works_and_counts_as_its_session(app: App) -> None:
    page = ask(open_page(), "Hello?")
    assert not page.exception
    assert messages(page) == ["Hello?", "Hello from the stand-in."]
    [exposed] = [event for event in app.store.events.export() if event["name"] == "exposure"]
    assert exposed["user_id"] == exposed["metadata"]["session_id"]
    other = open_page(c=conversation_id(page))
    assert messages(other) == []
    assert "That conversation is not here." in text_of(other)
    assert "c" not in other.query_params


def test_an_empty_page_sends_no_request(app: App, model_server: openai.Server) -> None:
    page = open_page()
    assert page.header[0].value == app.settings.greeting
    assert model_server.requests == []
    assert list(app.store.events.export()) == []


def test_the_settings_name_the_app_and_its_greeting(begin: Begin, model_server: openai.Server) -> None:
    begin(OPENAI_BASE_URL=model_server.base_url, PARLEY_GREETING="Good morning")
    assert open_page().header[0].value == "Good morning"


# Asking


def test_an_unknown_conversation_in_the_address_is_a_new_one(app: App) -> None:
    for wanted in (new_id(), "x' OR '1'='1", "../../etc/passwd", "\x00", "ä" * 5000):
        page = open_page(c=wanted)
        assert not page.exception, wanted
        assert "That conversation is not here." in text_of(page)


def test_a_prompt_that_is_refused_is_reported_and_stays(app: App, model_server: openai.Server) -> None:
    page = ask(open_page(), " \n ")
    assert [warning.value for warning in page.warning] == ["Please write a question first."]
    page = ask(page, "x" * 8001)
    assert page.warning[0].value.startswith("This is too long: 8,001 characters")
    assert model_server.requests == []
    page = ask(page, "Short")
    assert not page.warning
    assert messages(page)[0] == "Short"


def test_the_page_continues_its_conversation(app: App, model_server: openai.Server) -> None:
    page = open_page()
    for number in range(3):
        page = ask(page, f"Question {number}")
        assert not page.exception
    assert [message for message in messages(page) if "Question" in message] == [f"Question {n}" for n in range(3)]
    assert len(model_server.requests[-1].body["messages"]) == 5
    assert buttons(page).count("Copy") == 3
    assert buttons(page).count("Regenerate") == 1
    assert "Stop" not in buttons(page)


def test_the_empty_page_says_its_purpose_and_nothing_else(app: App) -> None:
    page = open_page()
    assert [text.value for text in page.main.markdown] == [
        "Ask a question and tell us with a thumb whether the answer helped."
    ]


def test_only_the_latest_turns_are_drawn_until_the_reader_asks_for_earlier_ones(app: App) -> None:
    page = open_page()
    for number in range(21):
        page = ask(page, f"Question {number}")
    assert len(messages(page)) == 12
    assert "Show earlier messages" in buttons(page)
    page = next(button for button in page.main.button if button.label == "Show earlier messages").click().run()
    assert len(messages(page)) == 42
    assert "Show earlier messages" not in buttons(page)


def click(page: AppTest, label: str) -> AppTest:
    """Click a button of the page or of its sidebar."""
    [button] = [button for button in page.button if button.label == label]
    return button.click().run()


def test_a_question_that_waits_is_sent_although_a_click_ended_the_run_that_would_have_sent_it(
    app: App, model_server: openai.Server
) -> None:
    page = ask(open_page(), "First")
    page.session_state["on_page"].waiting.append("Second")  # as a run that is interrupted after the answer leaves it
    model_server.script(openai.answer("The second answer."), openai.answer("The third answer."))
    page = ask(page, "Third")
    assert messages(page)[2:] == ["Second", "The second answer.", "Third", "The third answer."]
    assert page.session_state["on_page"].waiting == []


def test_a_long_conversation_is_read_to_its_beginning_with_few_turns_on_the_page(app: App) -> None:
    page = ask(open_page(), "Question 0")
    about = page.session_state["on_page"].conversation
    for number in range(1, 130):
        asked = Question(new_id(), about.id, "session", number + 1, "m", about.assignment)
        ended = Completion("Answer.", "stop", 1.0)
        app.store.conversations.ask(about, asked, f"Question {number}")
        app.store.conversations.finish(asked, ended, chat_completion(asked, ended))
    assert app.store.events.record([]).wait(ENOUGH_S)
    page.session_state["on_page"].conversation = app.conversations.get(about.id, about.visitor_id)
    page = page.run()
    most = 0
    while "Show earlier messages" in buttons(page):
        page = click(page, "Show earlier messages")
        most = max(most, len(messages(page)))
    assert messages(page)[0] == "Question 0" and 40 < most <= 80
    page = click(page, "Show later messages")
    assert messages(page)[0] != "Question 0" and "Newest" in buttons(page)
    far = ask(page, "From far back")
    assert messages(far)[-1] == "Hello from the stand-in." and messages(far)[-2] == "From far back"
    assert "Newest" not in buttons(far) and not far.exception


def test_a_new_name_is_listed_although_the_store_has_not_written_it(app: App) -> None:
    page = ask(open_page(), "First")
    here = page.session_state["on_page"].conversation
    assert app.store.events.record([]).wait(ENOUGH_S)
    page.session_state["on_page"].acting = "Rename", here.id
    page = page.run()
    with sqlite3.connect(running.app().settings.database_file or "", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # nothing else is written until the rollback
        page = page.text_input(key=f"title_{here.id}").set_value("A better name").run()
        assert page.button(key=f"open_{here.id}").label == "A better name"
        other.execute("ROLLBACK")
    other.close()
    assert app.store.events.record([]).wait(ENOUGH_S)
    stored = app.store.conversations.get(here.id, here.visitor_id)
    assert stored and stored.title == "A better name"


def test_thousands_of_conversations_are_listed_a_few_at_a_time(app: App) -> None:
    page = ask(open_page(), "The first")
    about = page.session_state["on_page"].conversation
    for number in range(400):
        asked = Question(new_id(), new_id(), "session", 1, "m", about.assignment)
        app.store.conversations.ask(
            replace(about, id=asked.conversation_id, title=None, turns=()), asked, f"Older {number}"
        )
    assert app.store.events.record([]).wait(ENOUGH_S)
    page.session_state["on_page"].listed = None
    page, longest = page.run(), 0
    seen: set[Any] = set()
    while True:
        listed = [button.label for button in page.sidebar.button if button.label.startswith("Older ")]
        seen, longest = seen | set(listed), max(longest, len(listed))
        if "Show older" not in [button.label for button in page.sidebar.button]:
            break
        page = click(page, "Show older")
    assert len(seen) == 400 and 90 < longest <= 300
    page = click(page, "Show newer")
    assert "Show older" in [button.label for button in page.sidebar.button]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (401, "The assistant is not set up correctly. Please tell the person who invited you."),
        (403, "The assistant is not set up correctly. Please tell the person who invited you."),
        (400, "The model refused the question. Please tell the person who invited you."),
    ],
)
def test_a_failed_answer_is_a_sentence_and_a_button(
    code: int, expected: str, app: App, model_server: openai.Server
) -> None:
    model_server.script(openai.status(code))
    page = ask(open_page(), "Hello?")
    assert not page.exception
    assert [caption.value for caption in page.chat_message[-1].caption] == [expected]
    assert [button.label for button in page.chat_message[-1].button] == ["Try again", "Edit question"]
    page = next(button for button in page.main.button if button.label == "Try again").click().run()
    assert messages(page) == ["Hello?", "Hello from the stand-in."]


def test_a_tester_reads_that_operators_know_of_a_failure_once_an_alert_about_it_has_reached_one(
    begin: Begin, model_server: openai.Server
) -> None:
    begin(PARLEY_ALERTS="json://127.0.0.1:9/hook", OPENAI_BASE_URL=model_server.base_url)
    store = running.app().store
    model_server.script(openai.status(401))
    page = ask(open_page(), "Hello?")

    def sentence() -> str:
        return str(page.run().chat_message[-1].caption[0].value)

    assert sentence() == "The assistant is not set up correctly. Please tell the person who invited you."
    key = news.answers_key(news.day_of(now_ms()), ["AuthenticationError"])
    store.alerts.note(key, "Many answers fail", "3 of the last 10 answers failed.", "events")
    assert sentence().endswith("Please tell the person who invited you.")  # a stored alert is not yet sent
    store.alerts.attempted(key, (0,), everybody=True)
    assert sentence() == "The assistant is not set up correctly. The operators have been told."


@pytest.mark.parametrize(
    "reply", [openai.whole("One line."), openai.whole("# Title\n\n", "- a\n- b\n\nEnd"), openai.status(401)]
)
def test_what_is_below_an_answer_keeps_its_place_in_the_next_run(
    reply: openai.Reply, app: App, model_server: openai.Server
) -> None:
    """The browser recreates an element that has moved, and a button in that element loses the keyboard's focus."""
    model_server.script(reply)
    page = ask(open_page(), "Hello?")
    grown = places(page)
    assert grown == places(page.run())


def places(page: AppTest) -> dict[int, str]:
    """Return the kinds of the elements of the newest message, by place."""
    return {at: one.type for at, one in page.chat_message[-1].children.items() if one.type != "empty"}


def test_every_way_to_end_is_reported(app: App, model_server: openai.Server) -> None:
    sentences = {
        "length": "Cut off at the length limit.",
        "content_filter": "Cut off by the model's content filter.",
    }
    for reason, words in sentences.items():
        model_server.script(stream("Half", openai.finish(reason), openai.DONE))
        page = ask(open_page(), "Hello?")
        assert [caption.value for caption in page.chat_message[-1].caption] == [words]


def test_operators_read_the_failures_of_testers(app: App, model_server: openai.Server) -> None:
    model_server.script(openai.status(401), openai.answer("Well."))
    tester = ask(ask(open_page(), "Hello?"), "And now?")
    assert not [one for one in tester.run().warning if "failed" in one.value]
    page = new_session()
    page.session_state["operator"] = True
    [met] = [one.value for one in page.run().warning if "failed" in one.value]
    assert met.startswith("In the last hour 1 answer failed. Testers read: “The assistant is not set up correctly.")


def test_an_operator_reads_an_own_failure_at_the_answer_alone(app: App, model_server: openai.Server) -> None:
    model_server.script(openai.status(401), openai.status(400))
    page = new_session()
    page.session_state["operator"] = True
    ask(page.run(), "Hello?")
    assert "The assistant is not set up correctly." in text_of(page)
    assert not [one for one in page.run().warning if "In the last hour" in one.value]
    ask(open_page(), "Hello?")
    [met] = [one.value for one in page.run().warning if "In the last hour" in one.value]
    assert met.startswith("In the last hour 1 answer failed. Testers read: “The model refused the question.")


def test_a_tester_reads_how_many_answers_are_left_before_the_last_is_spent(
    begin: Begin, model_server: openai.Server
) -> None:
    begin(OPENAI_BASE_URL=model_server.base_url, PARLEY_BUDGET_ANSWERS_PER_VISITOR="4")
    page, seen = open_page(), list[str]()
    for number in range(4):
        page = ask(page, f"Question {number}")
        seen += [one.value for one in page.caption if "left today" in one.value]
    assert seen == ["3 answers left today", "2 answers left today", "1 answer left today", "No answers left today"]


def test_text_that_is_gone_is_reported_as_gone(begin: Begin, model_server: openai.Server) -> None:
    settings = {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_KEEP_TEXT": "false"}
    begin(**settings)
    page = ask(open_page(), "Hello?")
    assert messages(page) == ["Hello?", "Hello from the stand-in."]
    visitor, wanted = page.session_state["visitor"], conversation_id(page)
    running.close()
    begin(**settings)
    later = new_session()
    later.session_state["visitor"], later.query_params["c"] = visitor, wanted
    later.run()
    assert not later.exception
    assert messages(later) == ["This text is no longer kept.", ""]
    assert messages(ask(later, "And now?"))[2:] == ["And now?", "Hello from the stand-in."]
    assert len(model_server.requests[-1].body["messages"]) == 1


# Operators


def test_testers_see_no_details(app: App) -> None:
    page = ask(open_page(), "Hello?")
    assert not page.session_state["operator"]
    assert "Prompt" not in text_of(page)
    assert "gpt" not in text_of(page)


def test_operators_see_the_details_of_each_answer(app: App) -> None:
    page = new_session()
    page.session_state["operator"] = True
    page = ask(page.run(), "Hello?")
    [table] = [part.value for part in page.markdown if "| Group |" in part.value]
    assert "| Whole answer |" in table
    assert any(f"| Group | {group} |" in table for group in ("Control", "Test"))


def test_the_version_stands_below_the_operators_pages_alone(app: App) -> None:
    page = new_session()
    page.session_state["operator"] = True
    assert f"Parley {__version__}" not in [part.value for part in page.run().caption]
    assert f"Parley {__version__}" in [part.value for part in page.switch_page("events/page.py").run().caption]


# No app


def test_without_an_app_the_page_draws_nothing_and_says_why_to_the_operator(begin: Begin, tmp_path: Path) -> None:
    begin(
        DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:9/none",
        PARLEY_SIGNING_KEY="a-signing-key-of-the-tests",
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
    )
    page = open_page()
    assert len(page.exception) == 1  # AppTest does not call `on_script_error`, which shows a sentence instead
    assert not page.chat_input
    assert not page.header
    trouble = running.trouble()
    assert trouble and trouble.part == "database" and "database" in trouble.cause


def test_a_failed_page_shows_a_sentence_and_its_cause_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def script() -> None:
        from lib.web import failed_page, running

        assert failed_page.on_script_error(running.Unready("the store is away"))
        assert failed_page.on_script_error(ZeroDivisionError("one by none"))

    caplog.set_level("WARNING", logger="parley")  # an earlier app may have left another level
    page = AppTest.from_function(script, default_timeout=ENOUGH_S).run()
    assert [error.value for error in page.error] == [
        failed_page.UNUSABLE,
        failed_page.FAILED,
    ]
    assert "the store is away" in caplog.text
    assert "one by none" in caplog.text
