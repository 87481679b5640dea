"""The Events page: the ledger as it was recorded, its filters, and one answer's life."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Comparison, Conversation, Question, Turn
from lib.domain.events import Event, chat_completion, exposure, rating
from lib.domain.ledger import Search
from pages.clock import span
from pages.events import ledger
from tests.support import openai_server as openai
from tests.support.page_runs import open_app, page_text, press, run_page
from tests.support.waiting import ENOUGH_S

Open = Callable[..., App]


@pytest.fixture
def begin(tmp_path: Path, model_server: openai.Server) -> Iterator[Open]:
    """Open the app in front of the stand-in."""
    with ExitStack() as stack:

        def start(**settings: str) -> App:
            return stack.enter_context(open_app(tmp_path, **({"OPENAI_BASE_URL": model_server.base_url} | settings)))

        yield start


KEY = {"STATSIG_SECRET_KEY": "secret-key", "STATSIG_API_URL": "http://127.0.0.1:9/v1"}


def record_unit(
    app: App, number: int = 0, group: str = "Test", completion: Completion | None = None, time_ms: int | None = None
) -> list[Event]:
    """Record one unit that meets the experiment, gets an answer, and rates it where it has text; return the events."""
    unit = f"unit-{number}"
    assigned = Assignment("statsig_openai_integration", group, group, unit, {"userID": unit}, {})
    question = Question(f"answer-{number}", f"c-{number}", f"s-{number}", 1, "large-model", assigned)
    done = completion or Completion("Because.", "stop", 2.0, 0.5)
    now = time_ms or now_ms() - 60_000 + 10 * number
    met = exposure(assigned, f"s-{number}", time_ms=now)
    app.store.conversations.ask(Conversation(f"c-{number}", unit, assigned), question, "My secret question?", met)
    ended = chat_completion(question, done, time_ms=now + 2_000)
    receipt = app.store.conversations.finish(question, done, ended)
    recorded_events = [met, ended]
    if done.text:
        thumb = replace(rating(question, ended.metadata, "satisfaction", 3.0), time_ms=now + 5_000)
        receipt, recorded_events = (
            app.store.conversations.rate(question.answer_id, "satisfaction", thumb),
            [*recorded_events, thumb],
        )
    assert receipt.wait(ENOUGH_S)
    return recorded_events


def table(page: AppTest) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    return [] if not page.dataframe else page.dataframe[0].value.to_dict("records")


def test_an_empty_ledger_says_so(begin: Open) -> None:
    begin()
    page = run_page("events")
    assert not page.exception
    assert "Nothing has happened yet." in page_text(page)
    assert table(page) == []


def test_every_event_is_there_newest_first_with_its_delivery(begin: Open) -> None:
    app = begin(**KEY)
    met, *_ = record_unit(app)
    assert app.store.outbox.acknowledge([met.event_id]).wait(ENOUGH_S)
    rows = table(run_page("events"))
    assert [row["Event"] for row in rows] == ["satisfaction", "chat_completion", "exposure"]
    assert [row["Delivery"].split()[0].rstrip(":") for row in rows] == ["Waiting", "Waiting", "At"]
    assert {row["Group"] for row in rows} == {"Test"} and {row["Unit"] for row in rows} == {"unit-0"}
    assert rows[1]["Details"] == "2.00 s, large-model"


def test_failed_answers_are_found_with_their_error(begin: Open) -> None:
    app = begin()
    record_unit(app, 0)
    record_unit(app, 1, completion=Completion("", "error", 1.0, error="APITimeoutError"))
    record_unit(app, 2, completion=Completion("Half", "interrupted", 1.0, error="APIConnectionError"))
    page = run_page("events")
    page.selectbox(key="name").select(ledger.FAILED).run()
    rows = table(page)
    assert [(row["Value"], row["Details"].partition(",")[0]) for row in rows] == [
        ("interrupted", "APIConnectionError"), ("error", "APITimeoutError"),
    ]  # fmt: skip


def test_filters_narrow_the_table_and_stand_in_the_address(begin: Open) -> None:
    app = begin()
    record_unit(app, 0, "Test")
    record_unit(app, 1, "Control")
    page = run_page("events")
    page.selectbox(key="group_of").select("Control").run()
    assert {row["Group"] for row in table(page)} == {"Control"}
    page.selectbox(key="name").select("exposure").run()
    assert [row["Event"] for row in table(page)] == ["exposure"]
    page.selectbox(key="name").set_value(None)
    page.selectbox(key="group_of").set_value(None)
    page.text_input(key="unit").set_value("unit-0").run()
    assert {row["Unit"] for row in table(page)} == {"unit-0"} and len(table(page)) == 3
    page.text_input(key="unit").set_value("nobody").run()
    assert "No event matches." in page_text(page)


def test_days_are_a_filter_and_are_the_readers_own(begin: Open) -> None:
    app = begin()
    zone = ZoneInfo("Asia/Tokyo")
    evening = round(datetime(2026, 3, 4, 23, 30, tzinfo=zone).timestamp() * 1_000)
    for number, time_ms in enumerate((evening, evening + 3_600_000, evening + 48 * 3_600_000)):
        record_unit(app, number, time_ms=time_ms)
    page = run_page("events")
    since_ms, until_ms = span(date(2026, 3, 4), date(2026, 3, 4), zone)
    search = Search(since_ms=since_ms, until_ms=until_ms)
    assert {line.event.user_id for line in app.store.events.page(search).lines} == {"unit-0"}
    page.date_input(key="since").set_value(date(2026, 3, 5)).run()
    assert {row["Unit"] for row in table(page)} == {"unit-2"}
    page.date_input(key="until").set_value(date(2026, 3, 5)).run()
    assert "No event matches." in page_text(page)


def test_the_delivery_state_is_a_filter(begin: Open) -> None:
    app = begin(**KEY)
    met, *_ = record_unit(app)
    assert app.store.outbox.acknowledge([met.event_id]).wait(ENOUGH_S)
    page = run_page("events")
    page.selectbox(key="delivery").set_value("acknowledged").run()
    assert [row["Event"] for row in table(page)] == ["exposure"]
    page.selectbox(key="delivery").set_value("waiting").run()
    assert len(table(page)) == 2
    page.selectbox(key="delivery").set_value("kept").run()
    assert table(page) == []


def test_older_pages_are_a_click_away_and_so_is_the_newest(begin: Open) -> None:
    app = begin()
    for number in range(40):
        record_unit(app, number)
    page = run_page("events")
    first = table(page)
    assert len(first) == 50 and "Newer" not in [button.label for button in page.button]
    press(page, "Older")
    second = table(page)
    assert len(second) == 50 and second[0]["Time"] <= first[-1]["Time"]
    press(page, "Older")
    assert len(table(page)) == 20 and "Older" not in [button.label for button in page.button]
    press(page, "Newer")
    assert table(page) == second
    press(page, "Newest")
    assert table(page) == first


def test_one_answers_life_is_one_line_of_time(begin: Open) -> None:
    app = begin(**KEY)
    recorded_events = record_unit(app)
    page = run_page("events")
    page.text_input(key="answer").set_value("answer-0").run()
    assert not page.exception
    [line] = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    assert line.startswith("The life of this answer: Exposed: Test, ")
    for moment in ("Asked", "First token", "Ended: stop", "Thumb up"):
        assert moment in line
    assert "3 of 3 events wait for Statsig" in page_text(page)
    assert app.store.outbox.acknowledge([event.event_id for event in recorded_events]).wait(ENOUGH_S)
    [line] = [chart.proto.alt for chart in page.run().get("vega_lite_chart")]
    assert "All at Statsig: 3 events" in line
    assert "wait for Statsig" not in page_text(page).replace("events wait for Statsig:", "")


def test_an_unknown_answer_is_reported_as_unknown(begin: Open) -> None:
    begin()
    page = run_page("events")
    page.text_input(key="answer").set_value("nobody's").run()
    assert "There is no answer with this id." in page_text(page)


def test_the_page_says_how_much_waits_and_why(begin: Open) -> None:
    app = begin(**KEY)
    record_unit(app)
    assert app.delivery is not None
    app.delivery.error = "HTTP 500"
    text = page_text(run_page("events"))
    assert re.search("3 events wait, the oldest for 6[0-9] s: Statsig says", text)
    assert "There is no Statsig key" not in text


def test_without_a_key_the_page_says_that_events_stay(begin: Open) -> None:
    begin()
    assert "There is no Statsig key: events stay here." in page_text(run_page("events"))


def test_the_events_of_a_search_can_be_downloaded(begin: Open) -> None:
    app = begin()
    for number in range(3):
        record_unit(app, number, "Test" if number else "Control")
    page = run_page("events")
    assert [getattr(button, "label", None) for button in page.get("download_button")] == ["JSON lines", "CSV"]
    lines = [json.loads(line) for line in ledger._file(Search(group="Test"), "jsonl").splitlines()]
    assert sorted(line["user_id"] for line in lines) == ["unit-1"] * 3 + ["unit-2"] * 3
    assert lines[0].keys() == {"event_id", "name", "time", "user_id", "value", "metadata"}
    rows = list(csv.DictReader(io.StringIO(ledger._file(Search(name=events.EXPOSURE), "csv").decode("utf-8-sig"))))
    assert [row["group"] for row in rows] == ["Test", "Test", "Control"]


def test_no_text_is_on_the_page_or_in_its_files(begin: Open) -> None:
    app = begin()
    record_unit(app)
    page = run_page("events")
    page.text_input(key="answer").set_value("answer-0").run()
    files = ledger._file(Search(), "jsonl") + ledger._file(Search(), "csv")
    everything = page_text(page) + str(table(page)) + files.decode()
    assert "secret question" not in everything and "Because." not in everything


def test_a_ledger_that_cannot_be_read_is_reported(begin: Open) -> None:
    app = begin()
    gone = text("ALTER TABLE event RENAME TO gone")
    assert app.store.write(lambda connection: connection.execute(gone) and None).wait(ENOUGH_S)
    page = run_page("events")
    assert not page.exception
    assert "cannot be read" in page_text(page) and "Try again in a minute." in page_text(page)


def test_the_page_exists_for_operators_alone(begin: Open) -> None:
    begin()
    with pytest.raises(ValueError, match="events"):
        run_page(operator=False).switch_page("events/page.py")


def test_a_preference_shows_its_groups_and_the_lives_of_both_answers(begin: Open) -> None:
    app = begin()
    unit = Assignment("statsig_openai_integration", None, "compare", "unit", {"userID": "unit"}, {}, compare=True)
    about, ours = Conversation("c", "visitor", unit), "compared"
    sides = [
        Turn(f"answer-{group}", 1, "s", "large-model", now_ms(), "Why?", group=group, comparison_id=ours)
        for group in ("Control", "Test")
    ]
    app.store.conversations.compare(about, Comparison(ours, sides[0], sides[1], drawn="left"), "Why?")
    questions = [about.question(side) for side in sides]
    for question in questions:
        done = Completion("Because.", "stop", 2.0, 0.5)
        app.store.conversations.finish(question, done, chat_completion(question, done))
    vote = events.preference(questions[0], questions[1], "right", ({}, {}))
    assert app.store.conversations.vote(ours, "right", vote).wait(ENOUGH_S)
    [row] = [row for row in table(run_page("events")) if row["Event"] == "preference"]
    assert (row["Value"], row["Details"]) == ("Test", "Control or Test, turn 1")
    [line] = app.store.events.page(Search(name="preference")).lines
    assert ledger.answers_of(line) == ["answer-Control", "answer-Test"]
    page = run_page("events")
    page.text_input(key="answer").set_value("answer-Test").run()
    assert not page.exception


def test_the_newest_alert_says_which_receiver_lacks_it(begin: Open) -> None:
    app = begin(PARLEY_ALERTS="json://127.0.0.1:9/hook xml://127.0.0.1:9/hook")
    assert "Alerts go to json, xml. There was none yet." in page_text(run_page("events"))
    app.store.alerts.note("budget:today:80", "80 % of today's budget is spent", "text", "experiment")
    for _ in app.store.alerts.due():
        app.store.alerts.attempted("budget:today:80", (0,), everybody=False)
    assert "80 % of today's budget is spent" in page_text(run_page("events"))
    assert "xml does not have it yet" in page_text(run_page("events"))
    app.store.alerts.attempted("budget:today:80", (0, 1), everybody=True)
    assert "Sent to json, xml." in page_text(run_page("events"))
