"""The events of one conversation in a real browser: equal in the export and at Statsig, and as the contract says."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from lib.experiments.evaluator import compile_definitions
from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, open_pages, tab, visit
from tests.support.chromium import OUTPUT
from tests.support.openai_server import chunk, finish, stream, usage
from tests.support.statsig_server import Statsig, serve
from tests.support.waiting import until

pytestmark = pytest.mark.browser

KEY = "secret-between-parley-and-statsig"
ABOUT = {
    "event_id": str, "answer_id": str, "conversation_id": str, "session_id": str, "turn": int, "experiment": str,
    "group": str, "rule_id": str, "model": str,
}  # fmt: skip
FACTS = {"response_time": float, "usage_source": str, "finish_reason": str, "retries": int}
COUNTED = {
    "prompt_tokens": int, "completion_tokens": int, "total_tokens": int, "time_to_first_token": float,
    "tokens_per_second": float, "cost_usd": float, "served_model": str, "provider": str,
}  # fmt: skip
EXPOSED = {"event_id": str, "session_id": str, "experiment": str, "group": str, "rule_id": str, "forced": bool}
SHAPES: dict[str, dict[str, type]] = {
    "exposure": EXPOSED,
    "chat_completion": ABOUT | FACTS,
    "satisfaction": ABOUT | FACTS | {"rating_delay": float},
    "dissatisfaction": ABOUT | FACTS | {"rating_delay": float},
    "rating_withdrawn": ABOUT | FACTS | {"rating_delay": float},
    "feedback_reason": ABOUT | FACTS,
    "regenerated": ABOUT,
    "copied": ABOUT,
    "abandoned": ABOUT,
}


@pytest.fixture(scope="module")
def statsig() -> Iterator[Statsig]:
    """A Statsig with the shipped experiment."""
    text = (app_process.ROOT / ".streamlit" / "experiments.toml").read_text()
    with serve(compile_definitions(text)[0] | {"time": 1_700_000_000_000}) as server:
        yield server


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, model: openai.Server, statsig: Statsig
) -> Iterator[app_process.AppProcess]:
    """The real app between a scripted model server and a Statsig."""
    settings = {"OPENAI_BASE_URL": model.base_url, "STATSIG_SECRET_KEY": KEY, "STATSIG_API_URL": statsig.url}
    started = app_process.start(tmp_path_factory.mktemp("app"), settings)
    yield started
    started.stop()
    assert not started.outbound()
    assert KEY not in started.log()


def export(app: app_process.AppProcess) -> list[dict[str, Any]]:
    """Return the output of `python -m lib export`, run as an operator does."""
    done = subprocess.run(
        [sys.executable, "-m", "lib", "export", "--format", "jsonl"],
        cwd=app.folder, env=app.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def talk(chat: Chat, model: openai.Server, record: Record) -> str:
    """Have a conversation that causes every event; return its id."""
    named = [
        chunk({"content": "It is "}, model="large-0613"),
        chunk({"content": "Paris."}, model="large-0613"),
    ]
    model.script(stream(*named, finish(), usage(11, 3), openai.DONE), stream("Half", openai.HANG))
    chat.ask("What is the capital of France?")
    chat.thumb(up=True).click()
    conversation_id = chat.conversation_id
    until(lambda: "satisfaction" in record.names(conversation_id))
    chat.thumb(up=False).click()
    chat.text("Too slow").click()
    until(lambda: "feedback_reason" in record.names(conversation_id))
    comment = chat.page.get_by_role("textbox", name="Anything to add?")
    comment.fill("My name is Nobody")
    comment.press("Enter")
    chat.thumb(up=False).click()
    until(lambda: "rating_withdrawn" in record.names(conversation_id))
    chat.button("Copy").click()
    until(lambda: "copied" in record.names(conversation_id))
    chat.button("Regenerate").click()
    expect(chat.answer).to_contain_text("Half")
    chat.stop.click()
    chat.idle()
    gate = openai.Gate()
    model.script(stream("Another half", gate, " and it is whole.", finish(), openai.DONE))
    with tab(chat.page.context, chat.app, f"/?c={conversation_id}") as other:
        chat.page.close()
        other.send("Why?")
        expect(other.answer).to_contain_text("Another half")
    until(lambda: open_pages(chat.app) == 0)
    gate.open()
    until(lambda: "abandoned" in record.names(conversation_id))
    return conversation_id


def test_the_same_events_are_exported_and_arrive_at_statsig(
    browser: Browser, app: app_process.AppProcess, model: openai.Server, statsig: Statsig
) -> None:
    with Record.of(app) as record, visit(browser, app) as chat:
        session = {cookie["name"]: cookie.get("httpOnly") for cookie in chat.page.context.cookies()}
        assert session["parley_visitor"] is True
        conversation_id = talk(chat, model, record)
        assert len([request for request in model.requests if request.path.endswith("/completions")]) == 3
    exported = export(app)
    statsig.wait(lambda: len(statsig.counts()) >= len(exported))
    write_pairs(exported, statsig)

    about = [event for event in exported if event["name"] != "exposure"]
    assert {event["metadata"]["conversation_id"] for event in about} == {conversation_id}
    assert [(event["name"], event["value"]) for event in exported if event["name"] != "abandoned"] == [
        ("exposure", None),
        ("chat_completion", "stop"),
        ("satisfaction", 1),
        ("dissatisfaction", 1),
        ("feedback_reason", "too_slow"),
        ("rating_withdrawn", "dissatisfaction"),
        ("copied", 1),
        ("regenerated", 1),
        ("chat_completion", "stopped"),
        ("exposure", None),  # the second tab is another session
        ("chat_completion", "stop"),
    ]
    assert [event["metadata"]["turn"] for event in about if event["name"] == "chat_completion"] == [1, 1, 2]
    assert len({event["metadata"]["session_id"] for event in exported}) == 2
    assert len({event["user_id"] for event in exported}) == 1
    [first, *_] = [event["metadata"] for event in about if event["name"] == "chat_completion"]
    assert (first["prompt_tokens"], first["completion_tokens"], first["total_tokens"]) == (11, 3, 14)
    assert (first["served_model"], first["usage_source"]) == ("large-0613", "server")
    assert first["cost_usd"] > 0
    for event in exported:
        check_shape(event)

    arrived = {event["metadata"]["event_id"]: event for event in statsig.events}
    assert arrived.keys() == {event["event_id"] for event in exported}
    for event in exported:
        check_same(event, arrived[event["event_id"]])
    spoken = json.dumps([exported, statsig.events])
    for secret in ("Paris", "capital", "Half", "Nobody", KEY):
        assert secret not in spoken


def check_shape(event: dict[str, Any]) -> None:
    """Check that an event has the fields of the contract and no others."""
    assert set(event) == {"event_id", "name", "time", "user_id", "value", "metadata"}
    metadata, shape = event["metadata"], SHAPES[event["name"]]
    assert metadata["event_id"] == event["event_id"]
    for name, kind in shape.items():
        assert type(metadata[name]) is kind or (kind is float and type(metadata[name]) is int), (event["name"], name)
    may = COUNTED if "usage_source" in shape else {}
    assert set(metadata) <= set(shape) | set(may), event
    assert all(type(metadata[name]) in (kind, int) for name, kind in may.items() if name in metadata), event
    assert all(len(value) <= 64 for value in metadata.values() if isinstance(value, str))


def check_same(exported_event: dict[str, Any], received: dict[str, Any]) -> None:
    """Check that Statsig received an event as it was exported."""
    assert received["time"] == exported_event["time"]
    assert received["user"]["userID"] == exported_event["user_id"]
    assert received["user"]["statsigEnvironment"] == {"tier": "development"}
    if exported_event["name"] == "exposure":
        assert received["eventName"] == "statsig::config_exposure"
        assert received["metadata"]["config"] == exported_event["metadata"]["experiment"]
        assert received["metadata"]["ruleID"] == exported_event["metadata"]["rule_id"]
    else:
        assert received["eventName"] == exported_event["name"]
        assert received["value"] == exported_event["value"]
        assert received["metadata"] == exported_event["metadata"]


def write_pairs(exported: list[dict[str, Any]], statsig: Statsig) -> None:
    """Write each event into a file, as exported and as it arrived at Statsig, for a human reader."""
    OUTPUT.mkdir(exist_ok=True)
    arrived = {event["metadata"]["event_id"]: event for event in statsig.events}
    pairs = [{"exported": event, "arrived": arrived.get(event["event_id"])} for event in exported]
    (Path(OUTPUT) / "events.json").write_text(json.dumps(pairs, indent=1))
