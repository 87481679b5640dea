"""What a tester deleted is in no tab, no file and no answer of the running app any more."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import app_process, openai_server
from tests.support.websocket import Wire, http

SECRET = "Pomegranate seventeen"


def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def press(wire: Wire, label: str) -> None:
    [button] = [one for one in wire.widgets("button") if one.label == label][-1:]
    wire.run(states=[(button.id, "trigger_value", True)])


@pytest.mark.parametrize("keep", ["true", "false"])
def test_what_was_deleted_comes_back_nowhere(
    tmp_path: Path, model_server: openai_server.Server, keep: str
) -> None:  # fmt: skip
    model_server.script(otherwise=openai_server.answer("An answer."))
    environ = {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_KEEP_TEXT": keep}
    app = app_process.start(tmp_path / "app", environ)
    folder = app.folder / "data"

    def stored() -> bool:
        return any(SECRET.encode() in file.read_bytes() for file in folder.glob("parley.db*"))

    try:
        jar = http(app.url).cookies
        with Wire(app.url, jar) as one, Wire(app.url, jar) as other:
            one.run().ask(SECRET)
            other.run("c=" + one.address)
            assert SECRET in other.text and stored() == (keep == "true")
            press(one, "Delete all my conversations")
            other.forget()
            other.run("c=" + one.address)
            assert SECRET not in other.text
            other.ask("Something else").run()
            assert SECRET not in other.text
            soon(lambda: not stored())
        with Wire(app.url, jar) as later:
            assert SECRET not in later.run("c=" + one.address).text
    finally:
        app.stop()
