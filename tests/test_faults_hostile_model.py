"""A hostile model server: redirects, impossible numbers, names on pages and terminals, endless errors."""

import itertools
import json
from collections.abc import Iterator
from datetime import date

import pytest

from lib.domain.providers import Provider
from lib.models.catalogue import Entry, read_catalogue
from tests.support import openai_server as openai
from tests.support.app_process import AppProcess
from tests.support.chat_page import Record
from tests.support.openai_server import DONE, Reply, chunk, finish, status, stream, usage
from tests.support.operator_tool import run_tool
from tests.support.raw_websocket import RawWebsocket, http
from tests.support.waiting import ENOUGH_S, until

SETTINGS = {"OPENAI_API_KEY": "sk-hunter22hunter22"}
NINES = "9" * 400
MARKDOWN = "m|![a](//evil/x)[sign in](//evil/y)<b>x</b>\n# big\x1b[31m" + "z" * 500
"""A hostile name: a link, an image, HTML, a line break, and a terminal's control sequence."""


@pytest.fixture
def operator_page(chat_app: AppProcess, model: openai.Server) -> Iterator[RawWebsocket]:
    """Yield an operator's page without a question, after the model server has forgotten earlier tests."""
    model.forget()
    with RawWebsocket(chat_app.url, http(chat_app.url).cookies) as wire:
        yield wire.run()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_server_sends_a_question_on_to_another_address(
    operator_page: RawWebsocket, model: openai.Server, code: int
) -> None:
    with openai.serve() as elsewhere:
        elsewhere.script(otherwise=openai.answer("Something internal."))
        to = {"location": elsewhere.base_url + "/chat/completions"}
        model.script(otherwise=Reply([], status=code, headers=to))
        operator_page.ask("Why does my knee hurt?")
        assert elsewhere.requests == [] and elsewhere.listings == []
    assert "The assistant is not set up correctly." in operator_page.text and "internal" not in operator_page.text


def test_check_names_the_setting_of_a_server_that_redirects(chat_app: AppProcess) -> None:
    with openai.serve() as server:
        server.listing_status = 308
        done = run_tool(chat_app.folder, "check", OPENAI_BASE_URL=server.base_url)
    assert "set OPENAI_BASE_URL to the address that it redirects to" in done.stdout


@pytest.mark.parametrize(
    "reply",
    [
        status(429, {"message": "no"}, {"retry-after-ms": "inf"}),
        status(429, {"message": "no"}, {"retry-after": NINES}),
        status(429, {"message": "no"}, {"retry-after": "Thu, 01 Jan 9999 00:00:00 -2359"}),
        status(429, {"message": f"please retry in {NINES}s"}),
        status(429, [{"error": {"code": 429, "message": "no", "details": [{"retryDelay": f"{NINES}s"}]}}]),
    ],
    ids=["infinite", "long", "a date", "in words", "of Google"],
)
def test_an_impossible_delay_is_a_busy_model(operator_page: RawWebsocket, model: openai.Server, reply: Reply) -> None:
    model.script(otherwise=reply)
    assert "The model is busy. Please try again later." in operator_page.ask("Why?").text


@pytest.mark.parametrize(
    "reply",
    [status(400, {"message": '[{"error":' * 1_500}), status(400, b'{"a":' * 5_000), status(400, "[" * 15_000)],
    ids=["in the message", "in the body", "a text"],
)
def test_an_error_of_any_depth_is_an_error(operator_page: RawWebsocket, model: openai.Server, reply: Reply) -> None:
    model.script(otherwise=reply)
    assert "The model refused the question." in operator_page.ask("Why?").text


@pytest.mark.parametrize(
    "count", [10**400, 10**30, 3 * 10**9, -5, 1e308], ids=["vast", "large", "wide", "less", "float"]
)
def test_an_impossible_count_loses_no_answer(
    operator_page: RawWebsocket, model: openai.Server, record: Record, chat_app: AppProcess, count: float
) -> None:
    message = usage(0, 0) | {"usage": {"prompt_tokens": count, "completion_tokens": count, "cost": count}}
    model.script(otherwise=stream(chunk({"content": "Because."}), finish(), message, DONE))
    operator_page.ask("Why?")
    [ended] = until(lambda: record.events(operator_page.address, "chat_completion"))
    stored = ended["metadata"]
    assert stored["usage_source"] == "estimated" and stored["cost_usd"] < 1
    assert "cannot be written" not in chat_app.log()


def test_the_name_of_a_model_is_text_for_an_operator(operator_page: RawWebsocket, model: openai.Server) -> None:
    model.script(otherwise=stream(chunk({"content": "Because."}, model=MARKDOWN), finish(), usage(1, 1), DONE))
    operator_page.ask("Why?")
    [table] = {drawn.body for drawn in operator_page.widgets("markdown") if "Answered by" in drawn.body}
    [row] = [line for line in table.splitlines() if "Answered by" in line]
    assert row.startswith(r"| Answered by | m\|\!\[a\]\(//evil/x\)\[sign in\]\(//evil/y\)\<b\>x\</b\> \# big\[31mz")
    assert len(row) < 200


def test_only_the_beginning_of_an_endless_error_is_read(operator_page: RawWebsocket, model: openai.Server) -> None:
    model.script(otherwise=Reply(itertools.repeat(b"x" * 10_000), status=500))
    assert "The model has a problem." in operator_page.ask("Why?").text
    assert all(request.gone.wait(ENOUGH_S) for request in model.requests)


def test_a_list_suggests_names_and_nothing_else() -> None:
    """Suggestions go to pages, the log, a terminal and a messenger."""
    listed = {
        "data": [{"id": name} for name in (MARKDOWN, "large<!channel>", "openai/large:latest", "large https://x")]
    }
    catalogue = read_catalogue(Provider("local", "http://127.0.0.1:1/v1"), listed)
    assert catalogue.standing("large", date(2026, 11, 27)).near == ("openai/large:latest",)
    assert all(entry.id.isprintable() and len(entry.id) <= 128 for entry in catalogue.entries)
    many = read_catalogue(Provider("local", "http://127.0.0.1:1/v1"), [{"id": str(n)} for n in range(100_000)])
    assert len(many.entries) == 10_000 and many.entries[-1] == Entry("9999")


def test_no_control_character_of_a_server_reaches_a_terminal(chat_app: AppProcess) -> None:
    words = json.dumps({"error": {"message": "no \x1b]0;owned\x07 \x9b31m\u202e"}}).encode()
    with openai.serve() as server:
        server.listing_status, server.models = 200, [MARKDOWN]
        good = run_tool(chat_app.folder, "check", OPENAI_BASE_URL=server.base_url)
        server.listing = status(500, words)
        bad = run_tool(chat_app.folder, "check", OPENAI_BASE_URL=server.base_url)
    assert "owned" in bad.stdout
    assert all(line.isprintable() for line in (good.stdout + bad.stdout).split("\n"))
