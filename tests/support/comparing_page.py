"""The app where every unit compares two answers, in front of a scripted model server, and the parts of its page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator

from tests.support import app_process
from tests.support import openai_server as openai
from tests.support.chat_page import Chat, Record, visit
from tests.support.openai_server import Reply, Request, finish, stream, usage

TOML = """
[statsig_openai_integration]
compare = {share}
{more}
default = {{ model = "secret-default" }}
[statsig_openai_integration.groups]
Hidden-control = {{ weight = 1, parameters = {{ model = "secret-one" }} }}
Hidden-test = {{ weight = 1, parameters = {{ model = "secret-two" }} }}
"""
CHOICES = ("A is better", "B is better", "Both good", "Both bad")
OPERATOR = "operator-token-of-the-tests"


def start_comparing(
    folder: Path, model: openai.Server, more: str = "", share: int = 100, **settings: str
) -> app_process.AppProcess:
    """Start the app where a share of the units (by default all) compares, for testers who are not operators."""
    app_process.lay_out(folder)
    (folder / ".streamlit" / "experiments.toml").write_text(TOML.format(more=more, share=share))
    environ = {"OPENAI_BASE_URL": model.base_url, "PARLEY_OPERATOR_TOKEN": OPERATOR, **settings}
    return app_process.start(folder, environ)


@pytest.fixture(scope="module")
def compare_app(tmp_path_factory: pytest.TempPathFactory, model: openai.Server) -> Iterator[app_process.AppProcess]:
    started = start_comparing(tmp_path_factory.mktemp("compare"), model)
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
    """Return the newest answer of this letter."""
    return chat.page.get_by_role("region", name=f"Answer {letter}", exact=True).last


def says(text: str, *after: Any) -> Reply:
    return stream(text, *after, finish(), usage(3, 2), openai.DONE)


def thinks(thought: str, text: str) -> Reply:
    return stream(openai.chunk({"reasoning_content": thought}), text, finish(), usage(3, 2), openai.DONE)


def of_models(one: Reply, two: Reply) -> Callable[[Request], Reply]:
    """Return a script that replies by the model of the request, in whichever order the two are asked."""
    return lambda request: one if request.body["model"] == "secret-one" else two


def both(one: Reply, two: Reply) -> tuple[Callable[[Request], Reply], ...]:
    return of_models(one, two), of_models(one, two)


def letter_of(chat: Chat, text: str) -> str:
    """Return the letter of the answer that contains a text."""
    return "A" if text in side(chat, "A").inner_text() else "B"


def preferences(record: Record, chat: Chat) -> list[Any]:
    return [event["value"] for event in record.events(chat.conversation_id, "preference")]
