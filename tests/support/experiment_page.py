"""The app of this process with a local experiment, in front of a scripted model server, and its visitors' questions."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from tests.support import openai_server as openai
from tests.support.page_runs import open_app
from tests.support.waiting import ENOUGH_S

NAME = "statsig_openai_integration"
EXPERIMENTS = """
[statsig_openai_integration]
allocation = 80
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 3, parameters = { model = "small-model", temperature = 0.5 } }
Test = { weight = 1, parameters = { model = "large-model", temperature = 0.5, system_prompt = "PROMPT" } }
""".replace("small-model", CONTROL_MODEL).replace("large-model", TEST_MODEL)
PROMPT = "Answer briefly. " * 20
ALL = EXPERIMENTS.replace("allocation = 80", "allocation = 100")
Open = Callable[..., App]


@pytest.fixture
def begin(tmp_path: Path, model_server: openai.Server) -> Iterator[Open]:
    """A function that opens the app in front of the stand-in model server."""
    with ExitStack() as stack:

        def start(experiments: str = EXPERIMENTS.replace("PROMPT", PROMPT), **settings: str) -> App:
            return stack.enter_context(
                open_app(tmp_path, experiments, **({"OPENAI_BASE_URL": model_server.base_url} | settings))
            )

        yield start


def ask(page: AppTest, text: str = "Hello?") -> AppTest:
    return page.chat_input[0].set_value(text).run()


def metadata_of(app: App, name: str) -> list[dict[str, Any]]:
    assert app.store.write(lambda _: None).wait(ENOUGH_S)
    return [event["metadata"] for event in app.store.events.export() if event["name"] == name]
