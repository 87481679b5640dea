"""Twenty-four testers use the real app at once, and each meets another fault of the model server.

`test_models_failures.py` tests the completion of each fault. This file tests the tester's page, the next try, and that
each answer has exactly one entry in the store, the metrics and the log.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Record
from tests.support.openai_server import CUT, DONE, RESET, Reply, chunk, finish, silence, status, stream, usage
from tests.support.websocket_tester import Tester

KEY = "sk-hunter22hunter22"
EXPERIMENTS = """
[statsig_openai_integration]
default = { model = "small-model" }
[statsig_openai_integration.groups]
Only = { weight = 1, parameters = { model = "large-model", temperature = "hot", top_p = 0.5 } }
"""
SET_UP = "The assistant is not set up correctly. Please tell the person who invited you."
NOTHING = "No answer came back. Please try again."
BROKE = "Interrupted"


@dataclass(frozen=True)
class Case:
    """The responses to the first requests of a question, and the expected outcome.

    `words` is None where the page shows no remark about the answer.
    """

    replies: list[Reply]
    value: str
    words: str | None = None
    error: str | None = None
    requests: int = 1
    text: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def broken(*steps: openai.Step, error: str) -> Case:
    return Case([stream("Half an ", "answer", *steps)], "interrupted", BROKE, error, text="Half an answer")


def nothing(reply: Reply) -> Case:
    return Case([reply], "error", NOTHING, "NoAnswer")


def ending(reason: str, words: str | None, value: str = "") -> Case:
    return Case([stream("So far.", finish(reason), usage(9, 2), DONE)], value or reason, words, text="So far.")


UNAUTHORIZED = status(401, {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"})
NO_MODEL = status(404, {"message": "The model does not exist", "code": "model_not_found"})
RETRY_AFTER_S = 60
"""A delay that is longer than any test waits."""
QUOTA = status(429, {"message": "You exceeded your current quota", "code": "insufficient_quota"})
NO_TOP_P = status(400, {"message": "Unsupported parameter: 'top_p'", "param": "top_p", "code": "unsupported_parameter"})
SPARSE = stream(
    chunk(None), {"choices": []}, chunk({"role": "assistant", "content": None}), chunk({"content": "All of it."}), DONE
)
CASES = {
    "401": Case([UNAUTHORIZED], "error", SET_UP, "AuthenticationError"),
    "404 of every model": Case([NO_MODEL] * 2, "error", "The model is not available.", "NotFoundError", requests=2),
    "404 of one model": Case(
        [NO_MODEL, openai.answer("From the default.", model="small-model")], "stop", requests=2,
        text="From the default.", facts={"model": "large-model", "served_model": "small-model"},
    ),
    "429, then well": Case([status(429)], "stop", requests=2, text=".", facts={"retries": 1}),
    "500 and 503, then well": Case([status(500), status(503)], "stop", requests=3, text=".", facts={"retries": 2}),
    "429 for quota": Case([QUOTA], "error", "The assistant's quota is used up.", "RateLimitError"),
    "Retry-After of a minute": Case(
        [status(429, headers={"retry-after": str(RETRY_AFTER_S)})],
        "error", "Please try again in 60 seconds.", "RateLimitError",
    ),
    "reset before a token": Case(
        [openai.reset()] * 3, "error", "The model cannot be reached.", "APIConnectionError", requests=3
    ),
    "reset in the middle": broken(RESET, error="APIConnectionError"),
    "truncation": broken(CUT, error="APIConnectionError"),
    "broken JSON": broken(b'data: {"choices": [\n\n', error="JSONDecodeError"),
    "bytes that are not UTF-8": broken(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
                                       error="UnicodeDecodeError"),
    "an error object in the middle": broken({"error": {"message": "overloaded"}}, error="APIError"),
    "200 with HTML": nothing(openai.page("<html><body>Welcome</body></html>")),
    "a role and nothing else": nothing(stream(chunk({"role": "assistant"}), finish(), DONE)),
    "whitespace only": nothing(stream(" ", "\n\n", finish(), usage(9, 2), DONE)),
    "length": ending("length", "Cut off at the length limit."),
    "content filter": ending("content_filter", "Cut off by the model's content filter."),
    "tool calls": ending("tool_calls", "The model asked for a tool, which this chat does not have."),
    "refusal": Case(
        [stream(chunk({"refusal": "I cannot help with that."}), finish(), usage(9, 2), DONE)], "refusal",
        text="I cannot help with that.",
    ),
    "no reason, usage, choices or delta": Case(
        [SPARSE], "stop", text="All of it.", facts={"usage_source": "estimated"}
    ),
    "400 that names a parameter": Case([NO_TOP_P], "stop", requests=2, text=".", facts={"dropped_parameters": "top_p"}),
    "an answer without end": Case(
        [Reply(itertools.repeat("word " * 2_000))], "length", "Cut off at the length limit.", text="word word"
    ),
    "silence": Case([silence()], "error", "The model did not answer in time.", "APITimeoutError"),
}  # fmt: skip


@dataclass(frozen=True)
class Met:
    """One tester's page after the answer and after the next try, with the requests and recorded events."""

    answer: str
    thumbs: int
    again: str
    requests: list[openai.Request]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """The app that all testers use at once, its record, and the future result of each tester."""

    app: app_process.AppProcess
    record: Record
    met: dict[str, Future[Met]]

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines of the log."""
        return [json.loads(line) for line in self.app.log().splitlines() if line.startswith("{")]

    def completions(self) -> list[dict[str, Any]]:
        """Return every `chat_completion`, once all testers are done."""
        return [event for future in self.met.values() for event in future.result().events]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("faults") / "app"
    app_process.lay_out(folder)
    (folder / ".streamlit/experiments.toml").write_text(EXPERIMENTS)
    left = {name: iter(case.replies) for name, case in CASES.items()}
    model.script(otherwise=lambda request: next(left[question_of(request)], openai.HELLO))
    app = app_process.start(
        folder,
        {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": KEY, "PARLEY_LOG": "json", "PARLEY_FIRST_TOKEN_S": "20"},
    )
    with Record.of(app) as record, ThreadPoolExecutor(len(CASES)) as testers:
        yield Run(app, record, {name: testers.submit(play_tester, name, app, record, model) for name in CASES})
    app.stop()
    assert not app.outbound()


def question_of(request: openai.Request) -> str:
    return str(request.body["messages"][-1]["content"])


def play_tester(name: str, app: app_process.AppProcess, record: Record, model: openai.Server) -> Met:
    """Ask one question, then ask again with the offered button."""
    with Tester(app.url) as tester:
        tester.ask(name)
        answer, thumbs = tester.answer, len(tester.thumbs)
        requests = [request for request in model.requests if question_of(request) == name]
        tester.click("Try again" if "Try again" in answer else "Regenerate")
        tester.idle()
        events = record.events(tester.conversation_id, "chat_completion")
        return Met(answer, thumbs, tester.answer, requests, events)


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_reported_recorded_once_and_survived(name: str, run: Run) -> None:
    case, met = CASES[name], run.met[name].result()
    assert len(met.requests) == case.requests
    assert case.text in met.answer and (case.words or "") in met.answer
    assert ("Try again" in met.answer) == (case.value in ("error", "interrupted"))
    assert met.thumbs == (1 if case.text else 0)
    first, second = met.events
    metadata = first["metadata"]
    assert metadata["response_time"] < RETRY_AFTER_S - 5  # on a slow machine too
    assert (first["value"], metadata.get("error"), metadata["model"]) == (case.value, case.error, "large-model")
    assert case.facts.items() <= metadata.items()
    if not case.text:
        assert "total_tokens" not in metadata or metadata["total_tokens"] > 0
    assert second["value"] == "stop" and "Hello from the stand-in." in met.again


def test_every_failed_answer_is_one_line_with_its_cause_and_duration(run: Run) -> None:
    failed = {event["metadata"]["answer_id"]: event for event in run.completions() if event["metadata"].get("error")}
    lines = [line for line in run.lines() if line.get("answer_id") and line["level"] == "warning"]
    assert Counter(line["answer_id"] for line in lines) == Counter(failed.keys())
    for line in lines:
        metadata = failed[line["answer_id"]]["metadata"]
        assert line["error"] == metadata["error"] and line["error"] in line["cause"]
        assert line["seconds"] == pytest.approx(metadata["response_time"], abs=0.001)


def test_every_answer_is_counted_once(run: Run) -> None:
    events = run.completions()
    counted = app_process.metrics(run.app.url)
    for reason, times in Counter(event["value"] for event in events).items():
        assert counted[f'parley_answers_total{{finish_reason="{reason}",group="Only"}}'] == times
    assert counted["parley_response_time_seconds_count"] == len(events) == 2 * len(CASES)
    assert counted["parley_streams_active"] == 0


def test_a_parameter_that_cannot_be_sent_is_reported_once_and_recorded_always(run: Run) -> None:
    assert {event["metadata"]["parameter_error"] for event in run.completions()} == {"temperature"}
    lines = [line for line in run.lines() if "temperature" in str(line.get("parameters"))]
    assert [(line["level"], line["group"]) for line in lines] == [("warning", "Only")]


def test_a_refused_parameter_is_not_sent_to_that_model_again(run: Run, model: openai.Server) -> None:
    run.completions()  # waits until no other tester asks
    with Tester(run.app.url) as tester:
        tester.ask("429, then well")
    assert "top_p" not in model.requests[-1].body and model.requests[-1].body["model"] == "large-model"


def test_no_fault_shows_the_key_or_a_traceback(run: Run) -> None:
    pages = [page for future in run.met.values() for page in (future.result().answer, future.result().again)]
    for text in (*pages, run.app.log(), json.dumps(run.record.events())):
        assert "hunter22" not in text and "Traceback" not in text
