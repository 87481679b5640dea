"""Many open pages at a small limit: new ones are refused kindly, open ones go on, and the log stays short."""

import logging
import resource

import psutil
import pytest

from lib import logs
from tests.conftest import StartApp
from tests.support import openai_server as openai
from tests.support.raw_websocket import RawWebsocket, http
from tests.support.waiting import until
from tests.support.websocket_tester import Tester

PAGE = {"Accept": "text/html"}


def test_the_soft_limit_is_raised_to_the_hard_one(start_app: StartApp) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(512, hard - 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        app = start_app(plain=True)  # the limit is inherited
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert psutil.Process(app.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == min(hard, 1 << 20)
    until(lambda: f"file_descriptors={min(hard, 1 << 20)}" in app.log())  # its last line of the start


def test_at_the_limit_new_pages_are_refused_kindly_and_open_ones_go_on(
    start_app: StartApp, model_server: openai.Server
) -> None:
    app = start_app({"OPENAI_BASE_URL": model_server.base_url})
    process = psutil.Process(app.process.pid)
    hard = process.rlimit(psutil.RLIMIT_NOFILE)[1]
    with Tester(app.url) as anna:
        anna.ask("Before")
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 60, hard))
        opened = []
        try:
            for _ in range(40):
                if http(app.url + "/", **PAGE).status != 200:
                    break
                opened.append(RawWebsocket(app.url, {}).__enter__())
                opened[-1].run()
            refused = http(app.url + "/", **PAGE)
            assert refused.status == 503 and refused.headers["Retry-After"] == "60"
            assert "Parley is full right now" in refused.body
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
            assert http(app.url + "/healthz").status == 200 and http(app.url + "/readyz").status == 200
            anna.ask("At the limit")
            assert "Hello from the stand-in." in anna.answer
        finally:
            for wire in opened:
                wire.__exit__(None, None, None)
    assert opened, "some were let in before"
    assert "raceback" not in app.log() and len(app.log()) < 100_000


def test_a_repeated_error_is_one_line_with_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure("text", "info")
        for number in range(10_000):
            logging.getLogger("asyncio").error("socket.accept() out of system resource\nfd=%d", number)
            logging.getLogger("parley.store").warning("no room", extra={"cause": "full"})
        logging.getLogger("parley.generation").warning("no answer", extra={"answer_id": "a"})
        logging.getLogger("parley.generation").warning("no answer", extra={"answer_id": "b"})
        root.handlers[0].close()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    output = capsys.readouterr().err
    assert len(output.splitlines()) < 10
    assert output.count("repeated 9999 times: socket.accept() out of system resource") == 1
    assert output.count("repeated 9999 times: no room") == 1
    assert "answer_id=a" in output and "answer_id=b" in output
