"""Modules that are imported when something of them is wanted, and not before."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import app_process
from tests.support.app_process import ROOT
from tests.support.chat_page import wait_for
from tests.support.websocket_tester import Tester

HEAVY = (
    "pandas", "numpy", "pyarrow", "altair", "scipy", "PIL", "grpc._cython", "charset_normalizer.api",
    "streamlit.emojis",
)  # fmt: skip
"""What takes memory and time, and is of no use to who only chats."""


def python(code: str) -> str:
    """What a program prints, in an interpreter of its own: what is imported here stays out of it."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


LATER = "import sys; from lib.experiments.later import later; later('colorsys'); import colorsys; "


def test_importing_it_does_not_load_it() -> None:
    assert python(LATER + "print('hls_to_rgb' in vars(colorsys), hasattr(colorsys, '__file__'))") == "False False"


def test_it_is_there_at_the_first_touch_for_everybody() -> None:
    code = "print(colorsys.rgb_to_hls(0, 0, 0)); import colorsys as again; print(again.ONE_THIRD == colorsys.ONE_THIRD)"
    assert python(LATER + code).split("\n") == ["(0.0, 0.0, 0.0)", "True"]


def test_its_parts_can_be_imported() -> None:
    code = "import sys; from lib.experiments.later import later; later('json'); from json.decoder import JSONDecoder; "
    assert python(code + "import json; print(JSONDecoder().decode('[1]'), json.loads('2'))") == "[1] 2"


def test_what_is_loaded_already_stays() -> None:
    code = "import colorsys, sys; before = colorsys; from lib.experiments.later import later; later('colorsys'); "
    assert python(code + "print(sys.modules['colorsys'] is before)") == "True"


def test_what_is_known_of_it_does_not_load_it() -> None:
    code = "import sys; from lib.experiments.later import later; later('colorsys', ONE_SIXTH=6, __path__=[]); "
    asked = "from colorsys import ONE_SIXTH; import colorsys; print(ONE_SIXTH, 'hls_to_rgb' in vars(colorsys)); "
    loaded = "print(colorsys.ONE_THIRD > 0.3, colorsys.ONE_SIXTH < 0.2)"
    assert python(code + asked + loaded).split("\n") == ["6 False", "True True"]


def test_requests_tells_encodings_by_a_module_that_is_loaded_when_it_does() -> None:
    loaded, text = "print('charset_normalizer.api' in sys.modules); ", "Grüße aus Köln, schöne Straßen"
    code = f"answer = requests.Response(); answer._content = {text!r}.encode('latin-1'); print(answer.text); "
    assert python(f"import lib.app, requests, sys; {loaded}{code}{loaded}").split("\n") == ["False", text, "True"]


def test_the_sdk_decides_without_grpc_and_finds_it_where_it_wants_it() -> None:
    code = "import lib.app, sys; print('grpc._cython' in sys.modules); import grpc; print(grpc.insecure_channel)"
    loaded, found = python(code).split("\n")
    assert (loaded, found.startswith("<function insecure_channel")) == ("False", True)


def test_the_openai_client_is_not_imported_by_what_a_page_waits_for() -> None:
    assert python("import lib.app, lib.web.resources, sys; print({'openai', 'httpx2'} & set(sys.modules))") == "set()"


def test_a_chat_imports_nothing_that_it_does_not_use(watched: app_process.Running) -> None:
    with Tester(watched.url) as tester:
        tester.ask("What is Parley?")
        tester.rate(True)
        tester.idle()
    assert {"streamlit", "lib.app", "pages.chat.turns", "openai"} <= imported(watched)
    assert imported(watched).isdisjoint(HEAVY)


def test_the_openai_client_is_there_before_anybody_asks_who_takes_a_while(watched: app_process.Running) -> None:
    wait_for(lambda: "lib.models.client" in imported(watched), 60)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[app_process.Running]:
    """The app, which writes into its log what it imports."""
    app = app_process.start(tmp_path, {"PYTHONPROFILEIMPORTTIME": "1", "PARLEY_OPERATOR_TOKEN": "not-for-the-testers"})
    yield app
    app.stop()


def imported(app: app_process.Running) -> set[str]:
    """Every module that it has imported until now."""
    return {line.rpartition("|")[2].strip() for line in app.log().splitlines() if line.startswith("import time:")}
