"""Alerts: all replicas together send each alert once and retry until every receiver has it. One receiver's failure
affects no other."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from lib.alerts import news
from lib.alerts.receivers import Receivers
from lib.alerts.sources import Sources
from lib.alerts.watch import Watch
from lib.app import App
from lib.chat.standings import GroupModel
from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.ids import new_id
from lib.domain.operations import Entry
from lib.experiments.definitions import Definition, Group
from lib.models.catalogue import Standing
from lib.readout.results import current
from lib.readout.verdicts import Readout
from lib.settings import SettingsError, load
from lib.store import Store
from lib.store.database import Database
from lib.store.schema import outbox
from tests.support import invented_traffic
from tests.support.invented_traffic import EXPERIMENT, Traffic
from tests.support.operator_tool import run_tool

SOON = 60.0
SET_UP, LOST = "AuthenticationError", "APIConnectionError"


class Receiver:
    """A webhook that stores its messages and answers with the status that a test sets."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.hangs = False
        self.letting_go = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                while receiver.hangs and not receiver.letting_go.wait(0.5):
                    self.wfile.write(b"x")  # a slow trickle of bytes outlasts every timeout of a socket
                if receiver.status == 200:
                    receiver.messages.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"json://user:pass-of-the-hook@127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def close(self) -> None:
        self.letting_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def every_look_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.alerts.watch.TURN_S", 0.0)


@pytest.fixture(autouse=True)
def no_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the day fixed, so that midnight during a test changes nothing."""
    day = news.day_of(now_ms())
    monkeypatch.setattr(news, "day_of", lambda _: day)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as opened:
        yield opened


def watch(store: Store, *addresses: str, **sources: Any) -> Watch:
    nothing = {
        "readout": lambda: None,
        "spent_usd": lambda: 0.0,
        "budget_usd": None,
        "delivery_error": lambda: None,
        "models": tuple,
        "guards": tuple,
        "title": "Helpdesk",
        "public_url": "https://chat.example.org",
    }
    return Watch(store, Receivers([SecretStr(address) for address in addresses]), Sources(**nothing | sources))


def record_answer(store: Store, reason: str, error: str | None = None) -> None:
    question = Question(new_id(), "c", "s", 1, "m", Assignment("e", None, "none", "u", {}, {}, {}))
    completion = Completion("", reason, 1.0, error=error)  # type: ignore[arg-type]
    assert store.events.record([events.chat_completion(question, completion)]).wait(SOON)


def record_failures(store: Store, *kinds: str) -> None:
    for kind in kinds:
        for _ in range(3):
            record_answer(store, "error", kind)
    for _ in range(7):
        record_answer(store, "stop")


def test_a_budget_is_reported_once_by_one_of_two_replicas_with_a_link(
    store: Store, database_url: str, receiver: Receiver
) -> None:
    with closing(Store.open(database_url)) as other:
        both = [watch(one, receiver.address, budget_usd=5.0, spent_usd=lambda: 4.2) for one in (store, other)]
        for each in [*both, *both]:
            each.look()
    (message,) = receiver.messages
    assert message["title"] == "Helpdesk: 80 % of today's budget is spent"
    assert "$4.20 of $5.00" in message["message"]
    assert message["message"].endswith("https://chat.example.org/experiment")


def test_where_a_receiver_shows_html_a_message_is_text(store: Store, receiver: Receiver) -> None:
    alert = news.Alert("k", "Test is better", "<img src=//evil/x> Test is better.")
    watch(store, f"{receiver.address}?format=html", models=lambda: [alert]).look()
    (message,) = receiver.messages
    assert "<img" not in message["message"] and "&lt;img" in message["message"]


def test_an_alert_that_arrived_covers_its_kind_of_failure_for_a_day_and_a_missing_model(
    store: Store, receiver: Receiver
) -> None:
    gone = news.Alert(news.model_key("openai", "old-model", "gone"), "old-model needs a change", "It is shut down.")
    watched = watch(store, receiver.address, models=lambda: [gone])
    record_failures(store, SET_UP)
    failed_ms = now_ms()
    receiver.status = 500
    watched.look()
    assert not watched.reached_operators(failed_ms, SET_UP) and not watched.reached_operators(
        failed_ms, LOST, ("openai", "old-model")
    )
    for alert in store.alerts.newest():
        store.alerts.attempted(alert.key, (0,), everybody=True)
    hour = 1_000 * 3_600
    assert watched.reached_operators(failed_ms, SET_UP) and watched.reached_operators(failed_ms + 23 * hour, SET_UP)
    assert not watched.reached_operators(failed_ms + 25 * hour, SET_UP)
    assert not watched.reached_operators(failed_ms - hour, SET_UP)  # the alert covers later answers only
    assert not watched.reached_operators(failed_ms, LOST)
    assert watched.reached_operators(failed_ms + 25 * hour, LOST, ("openai", "old-model"))
    assert not watched.reached_operators(failed_ms, LOST, ("openai", "new-model"))


def test_a_receiver_that_refuses_gets_it_later_and_the_others_get_it_once(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.store.alerts.RETRY_MS", -1)  # due again at once
    with closing(Receiver()) as refusing:
        refusing.status = 503
        both = watch(store, receiver.address, refusing.address, budget_usd=1.0, spent_usd=lambda: 1.0)
        both.look()
        (waiting,) = store.alerts.newest()
        assert (waiting.sent_ms, waiting.reached, refusing.messages) == (None, (0,), [])
        refusing.status = 200
        both.look()
        assert len(receiver.messages) == len(refusing.messages) == 1
    (sent,) = store.alerts.newest()
    assert sent.sent_ms is not None and not sent.given_up


def test_an_undeliverable_alert_is_given_up_and_logged(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.store.alerts.RETRY_MS", -1)
    receiver.status = 500
    one = watch(store, receiver.address, budget_usd=1.0, spent_usd=lambda: 1.0)
    for _ in range(12):
        one.look()
    (stored,) = store.alerts.newest()
    assert stored.given_up and stored.attempts == 10


def test_no_log_line_and_no_message_holds_an_address(
    store: Store, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    with caplog.at_level("DEBUG"):
        watch(store, receiver.address, budget_usd=1.0, spent_usd=lambda: 1.0).look()
    assert "an alert was refused" in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("apprise")]
    assert receiver.address.partition("://")[2] in load({"PARLEY_ALERTS": receiver.address}).secrets()


def test_a_further_kind_of_failure_is_reported_on_the_same_day_and_a_known_one_is_not(
    store: Store, receiver: Receiver
) -> None:
    one = watch(store, receiver.address)
    record_failures(store, SET_UP)
    one.look()
    record_failures(store, SET_UP, LOST)
    one.look()
    one.look()
    first, second = [message["message"] for message in receiver.messages]
    assert first.startswith(f"3 of the last 10 answers failed within five minutes, with {SET_UP}.")
    assert second.startswith(f"9 of the last 23 answers failed within five minutes, with {LOST}.")
    assert one.reached_operators(now_ms(), SET_UP) and one.reached_operators(now_ms(), LOST)


def test_failing_answers_are_reported_once_a_day(store: Store, receiver: Receiver) -> None:
    one = watch(store, receiver.address)
    for reason in ["error"] * 3 + ["stop"] * 6 + ["limited"] * 5:
        record_answer(store, reason)
    one.look()
    assert receiver.titles == []  # nine answers are too few; refused questions do not count as answers
    record_answer(store, "stop")
    one.look()
    one.look()
    assert receiver.titles == ["Helpdesk: Many answers fail"]


def test_a_receiver_that_hangs_costs_the_others_nothing_and_gets_no_second_message_meanwhile(
    store: Store, database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.store.alerts.RETRY_MS", -1)
    monkeypatch.setattr("lib.alerts.receivers.WITHIN_S", 5.0)
    with closing(Receiver()) as hanging, closing(Store.open(database_url)) as other:
        hanging.hangs = True
        addresses = (hanging.address, receiver.address)
        both = [watch(one, *addresses, budget_usd=1.0, spent_usd=lambda: 1.0) for one in (store, other)]
        for each in (*both, *both):
            each.look()
        assert receiver.titles == ["Helpdesk: 100 % of today's budget is spent"]  # once, from one replica
        threads = [one for one in threading.enumerate() if one.name == "alert to json"]
        assert len(threads) == 2  # one for each `Watch`, whatever the number of looks
        (waiting,) = store.alerts.newest()
        assert (waiting.sent_ms, waiting.reached) == (None, (1,))  # as the Events page shows it
        hanging.letting_go.set()
        for thread in threads:
            thread.join(SOON)


def readout_source(database_url: str, traffic: Traffic, **changes: Any) -> Callable[[Store], Readout]:
    """Fill a database with this traffic, and return the function that reads it out."""
    invented_traffic.fill(database_url, traffic)
    definition = Definition(EXPERIMENT, (Group("Control", 1), Group("Test", 1)), "Control", **changes)
    return lambda store: current(store, definition, False, now_ms())


@pytest.mark.parametrize(
    ("traffic", "titles"),
    [
        (invented_traffic.better(), ["Test is better on satisfaction"]),
        (invented_traffic.harmed(), ["Test is better on satisfaction", "a guardrail is harmed"]),
        (invented_traffic.broken(), ["the split is broken"]),
        (invented_traffic.undecided(), []),
    ],
)
def test_a_verdict_harm_and_a_broken_split_are_reported_once(
    store: Store, database_url: str, receiver: Receiver, traffic: Traffic, titles: list[str]
) -> None:
    read = readout_source(database_url, traffic)
    one = watch(store, receiver.address, readout=lambda: read(store))
    one.look()
    one.look()
    assert len(receiver.titles) == len(titles)
    for title, words in zip(sorted(receiver.titles, reverse=True), sorted(titles), strict=True):
        assert words in title or words in "".join(receiver.titles), title
    assert all(message["message"].endswith("https://chat.example.org/results") for message in receiver.messages)


def test_a_guardrail_that_acted_is_reported_with_a_link_to_the_history(store: Store, receiver: Receiver) -> None:
    acted = Entry("a1", now_ms(), "Parley", "guardrail", "greeting", {"group": "Test", "reason": "Test is slower."})
    one = watch(store, receiver.address, guards=lambda: news.of_guards([acted]))
    one.look()
    one.look()
    assert receiver.titles == ["Helpdesk: greeting: Test was switched off"]
    assert receiver.messages[0]["message"] == "Test is slower.\nhttps://chat.example.org/history"


def test_a_model_that_will_be_shut_down_is_reported_once(store: Store, receiver: Receiver) -> None:
    ending = GroupModel("Test", Standing("openai", "old", "ending", date(2026, 12, 24)))
    fine = GroupModel("Control", Standing("openai", "new", "there"))
    one = watch(store, receiver.address, models=lambda: news.of_models([ending, fine]))
    one.look()
    one.look()
    assert receiver.titles == ["Helpdesk: old needs a change"]
    assert "openai shuts old down on 2026-12-24" in receiver.messages[0]["message"]


def test_delivery_that_is_stuck_for_ten_minutes_is_reported(database_url: str, receiver: Receiver) -> None:
    with closing(Store.open(database_url, deliver=True)) as store:
        record_answer(store, "stop")
        one = watch(store, receiver.address, delivery_error=lambda: "HTTP 503")
        one.look()
        assert receiver.titles == []
        with closing(Database.open(database_url)) as database, database.begin() as connection:
            connection.execute(update(outbox).values(created_ms=now_ms() - 601_000))
        one.look()
    assert receiver.titles == ["Helpdesk: Events do not reach Statsig"]


def test_events_that_wait_for_ten_minutes_are_stuck() -> None:
    assert list(news.of_delivery(5, 599.0, None, "2026-11-27")) == list(news.of_delivery(0, 0.0, None, "d")) == []
    (alert,) = news.of_delivery(5, 1_200.0, "HTTP 503", "2026-11-27")
    assert alert.text == "5 events wait, the oldest for 20 minutes. Statsig says: HTTP 503. Nothing is lost."


@pytest.mark.parametrize("address", ["nonsense://127.0.0.1/secret-path", "slack://secret-path"])
def test_a_malformed_address_stops_the_start_and_is_not_shown(address: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Receivers([SecretStr("json://127.0.0.1/"), SecretStr(address)])
    assert "PARLEY_ALERTS: Apprise cannot use address 2" in str(raised.value)
    assert "secret-path" not in str(raised.value)


Start = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(**environ: str) -> App:
            own = {
                "DATABASE_URL": database_url,
                "PARLEY_SIGNING_KEY": "k" * 32,
                "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
            }
            return stack.enter_context(closing(App.open(load(own | environ, tmp_path / "none.toml"))))

        yield begin


def test_an_app_watches_where_there_is_an_address(start: Start, receiver: Receiver) -> None:
    assert start().alerts is None
    app = start(PARLEY_ALERTS=receiver.address, PARLEY_BUDGET_USD_PER_DAY="1")
    assert app.alerts is not None and app.alerts.kinds == ["json"]
    app.alerts.look()
    assert receiver.messages == []


def test_check_sends_a_test_message_when_asked(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / ".streamlit").mkdir()
    quiet = run_tool(tmp_path, "check", PARLEY_ALERTS=receiver.address)
    assert "json: set" in quiet.stdout and receiver.messages == []
    loud = run_tool(tmp_path, "check", "--alerts", PARLEY_ALERTS=receiver.address)
    assert "json took a test message" in loud.stdout
    assert receiver.titles == ["Parley: A test"]
    receiver.status = 500
    refused = run_tool(tmp_path, "check", "--alerts", PARLEY_ALERTS=receiver.address)
    assert refused.returncode == 1 and "pass-of-the-hook" not in refused.stdout + refused.stderr
