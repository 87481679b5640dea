"""Log lines, also those of dependencies: readable or JSON, complete, and without any secret."""

import asyncio
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
from streamlit.error_util import handle_uncaught_app_exception

from lib import logs
from tests.conftest import StartApp
from tests.support import openai_server as openai
from tests.support.websocket_tester import Tester

_HOOKS = (sys.excepthook, threading.excepthook, sys.unraisablehook)
SECRETS = ["hunter22-operator-token", "sk-own-key-12345"]


@pytest.fixture(autouse=True)
def restore_log() -> Iterator[None]:
    """Restore the configuration of logging after the test."""
    root, ours = logging.getLogger(), logging.getLogger("parley")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    show = warnings.showwarning
    yield
    warnings.showwarning = show
    sys.excepthook, threading.excepthook, sys.unraisablehook = _HOOKS
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    output = capsys.readouterr()
    assert output.out == ""
    return output.err.splitlines()


def test_a_line_names_time_level_place_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    extra = {"answer_id": "a1", "seconds": 1.5, "cause": None}
    logging.getLogger("parley.generation").warning("no answer", extra=extra)
    [line] = lines(capsys)
    assert line.endswith("WARNING parley.generation: no answer answer_id=a1 seconds=1.5")
    assert line[:4].isdigit()


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("parley").warning("one\ntwo %s", "é", extra={"answer_id": "a1", "seconds": 1.5, "odd": object()})
    [line] = lines(capsys)
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == ("warning", "parley", "one\ntwo é")
    assert (fields["answer_id"], fields["seconds"]) == ("a1", 1.5)
    assert fields["odd"].startswith("<object")
    assert "time" in fields


def test_an_exception_is_part_of_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    try:
        raise ValueError("what went wrong")
    except ValueError:
        logging.getLogger("parley").exception("a page failed")
    [line] = lines(capsys)
    traceback_text = json.loads(line)["traceback"]
    assert traceback_text.startswith("ValueError < ") and "test_an_exception_is_part_of_its_json_line" in traceback_text
    assert "what went wrong" not in line


def fail(words: str) -> None:
    try:
        raise KeyError(words)
    except KeyError as error:
        raise ValueError(f"cannot use {words}") from error


@pytest.mark.parametrize("logger", ["parley.generation", "asyncio", "uvicorn.error"])
@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_is_one_line_without_its_words(
    style: str, logger: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (logger, logger.partition(".")[0]):  # whatever an earlier test installed
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    logs.configure(style, "info")
    try:
        fail("my own\nquestion")
    except ValueError:
        logging.getLogger(logger).exception("an answer failed", extra={"answer_id": "a1"})
    [line] = lines(capsys)
    assert "question" not in line and "ValueError" in line and "fail" in line
    assert "KeyError" in line or logger != "parley.generation"


def test_output_of_python_itself_becomes_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    sys.excepthook(ValueError, ValueError("a question"), None)
    thread = threading.Thread(target=fail, args=("a question",))
    thread.start()
    thread.join()
    warnings.showwarning('about "a question"', UserWarning, "/somewhere/else.py", 7)
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": "lost\n", "exception": ValueError("a question")})
    loop.close()
    entries = [json.loads(line) for line in lines(capsys)]
    assert [one["logger"] for one in entries] == ["python", "python", "python", "asyncio"]
    assert "UserWarning in else.py:7" in entries[2]["message"]
    assert "question" not in json.dumps(entries) and "fail" in json.dumps(entries[1])


@pytest.mark.parametrize(
    "message",
    [
        "no: 'it's my question' (quoted)", 'no: {"message": "my question", "and": "my question"}', "no: “my question”",
        "no: &quot;my question&quot;", r"no: \u0022my question\u0022", "no: `my question", "x" * 80 + "my question",
        r"no: \"my question\" or 'my question",
    ],
)  # fmt: skip
def test_a_librarys_message_is_cut_before_it_quotes(message: str) -> None:
    assert "question" not in logs.cut(message) and len(logs.cut(message)) <= 80 and logs.cut(message)


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_is_written_wherever_it_stands(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style, "info", SECRETS)
    log = logging.getLogger("statsig.sdk")
    log.warning("Request to https://api/specs/%s.json failed", "secret-abcdEFGH1234")
    log.warning("echo", extra={"cause": "Incorrect API key: sk-own-key-12345", "token": "hunter22-operator-token"})
    try:
        raise ValueError("key sk-proj-other-98765 in a traceback")
    except ValueError:
        log.exception("hunter22-operator-token")
    text = "\n".join(lines(capsys))
    for secret in (*SECRETS, "secret-abcdEFGH1234", "sk-proj-other-98765"):
        assert secret not in text
    assert text.count("[secret]") >= 2


def test_a_secret_that_json_would_escape_is_not_written_either(capsys: pytest.CaptureFixture[str]) -> None:
    odd = 'pass"word\\with\nall'
    logs.configure("json", "info", [odd])
    logging.getLogger("parley").warning("given: %s", odd)
    [line] = lines(capsys)
    assert json.loads(line)["message"] == "given: [secret]"


def test_the_level_is_ours_and_others_may_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "debug")
    logging.getLogger("parley.delivery").debug("ours")
    logging.getLogger("httpx2").info("theirs")
    logging.getLogger("httpx2").warning("their warning")
    assert [line.split(": ")[-1] for line in lines(capsys)] == ["ours", "their warning"]
    logs.configure("text", "error")
    logging.getLogger("parley").warning("too little")
    assert lines(capsys) == []


def test_configuring_again_writes_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    logs.configure("text", "info")
    logging.getLogger("parley").info("once")
    assert len(lines(capsys)) == 1


def test_a_number_that_json_does_not_have_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("parley").info("odd", extra={"seconds": float("nan")})
    [line] = lines(capsys)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    json.loads(line, parse_constant=refuse)


def test_foreign_text_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("text", "json"):
        logs.configure(style, "info")
        forged = "no\n2026-01-01 ERROR parley: all is lost\x1b[2J\x9b2J\u2028\u202e\U000e0001"
        logging.getLogger("parley").warning("asked for %s", forged, extra={"cause": forged})
    text, as_json = lines(capsys)
    assert "\\n2026-01-01" in text and "\x1b" not in text
    assert text.isprintable() and as_json.isprintable()
    assert json.loads(as_json)["cause"] == forged


def test_one_place_in_a_library_writes_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    for number in range(50):
        word = chr(ord("a") + number % 26) * (1 + number // 26)
        logging.getLogger("streamlit").warning("no file called %s", word)
    logging.getLogger("streamlit").warning("another place")
    [handler] = logging.getLogger().handlers
    handler.close()
    written = lines(capsys)
    assert len(written) == logs.A_PLACE + 3  # the last one reports the count of the rest
    assert any("another place" in line for line in written) and "repeated 44 times" in written[-1]


def test_one_answer_can_be_followed_by_its_id(start_app: StartApp, model_server: openai.Server) -> None:
    settings = {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_LOG": "json"}
    app = start_app(settings)
    model_server.script(openai.HELLO, openai.status(401))
    with Tester(app.url) as tester:
        tester.ask("my own words")
        tester.rate(True)
        tester.idle()
        tester.ask("and these")
    entries = [json.loads(line) for line in app.log().splitlines() if line.startswith("{")]
    lives: dict[str, list[str]] = {}
    for line in entries:
        if "answer_id" in line:
            lives.setdefault(line["answer_id"], []).append(line["message"])
    assert list(lives.values()) == [["asked", "answered", "rated"], ["asked", "no answer"]]
    assert len({line["visitor_id"] for line in entries if "answer_id" in line}) == 1
    ended = next(line for line in entries if line["message"] == "answered")
    assert ended["finish_reason"] == "stop"
    assert 0 < ended["first_token"] <= ended["seconds"]
    assert "my own words" not in app.log()
    assert "Hello from" not in app.log()


def test_streamlits_own_line_about_a_failed_page_is_left_out() -> None:
    """Parley recognises it by its text. It would repeat Parley's own line without the scrubbing."""
    logs.configure("text", "info")
    written: list[str] = []
    logger, handler = logging.getLogger("streamlit.error_util"), logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        handle_uncaught_app_exception(ValueError("a page's own words"))
        logger.error("another line")
    finally:
        logger.removeHandler(handler)
    assert written == ["another line"]
