"""Packages that are imported when they are first needed, and not before."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import app_process
from tests.support.app_process import ROOT
from tests.support.waiting import until
from tests.support.websocket_tester import Tester

HEAVY = ("pandas", "numpy", "pyarrow", "altair", "scipy", "PIL", "streamlit.emojis")
"""Modules that take memory and time, and that a chat does not need."""


def python(code: str) -> str:
    """Return the output of a program in an interpreter of its own, whose imports stay out of this one."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_no_page_waits_for_the_import_of_the_openai_client() -> None:
    assert python("import lib.app, lib.web.running, sys; print({'openai', 'httpx2'} & set(sys.modules))") == "set()"


def test_the_verdict_is_drawn_without_the_packages_of_the_charts() -> None:
    assert python("import pages.results.verdict, sys; print({'altair', 'pandas'} & set(sys.modules))") == "set()"


def test_a_chat_imports_nothing_that_it_does_not_use(watched: app_process.AppProcess) -> None:
    with Tester(watched.url) as tester:
        tester.ask("What is Parley?")
        tester.rate(True)
        tester.idle()
    assert {"streamlit", "lib.app", "pages.chat.turns", "openai"} <= imported(watched)
    assert imported(watched).isdisjoint(HEAVY)


def test_the_openai_client_is_loaded_before_the_first_question(watched: app_process.AppProcess) -> None:
    until(lambda: "lib.models.client" in imported(watched))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[app_process.AppProcess]:
    """Start the app with a Python that logs every import."""
    app = app_process.start(tmp_path, {"PYTHONPROFILEIMPORTTIME": "1", "PARLEY_OPERATOR_TOKEN": "not-for-the-testers"})
    yield app
    app.stop()


def imported(app: app_process.AppProcess) -> set[str]:
    """Return every module that the app has imported so far."""
    return {line.rpartition("|")[2].strip() for line in app.log().splitlines() if line.startswith("import time:")}
