"""The template of the tests' apps: its forks are independent, and end like processes that were started directly."""

import signal
from pathlib import Path

import pytest

from tests.support import app_process
from tests.support.websocket_tester import Tester

BAD = {"PARLEY_ACCESS": "nonsense"}
REACH_OUT = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("192.0.2.1", 9), 1)
"""


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "fork"])
def test_an_app_has_its_own_settings_folder_and_end(tmp_path: Path, plain: bool) -> None:
    refused = app_process.start(tmp_path / "refused", BAD, ready=False, plain=plain)
    assert refused.wait_exit() == 2, refused.log()
    assert "PARLEY_ACCESS: must be" in refused.log()

    app_process.lay_out(tmp_path / "app")
    page = tmp_path / "app" / "pages" / "chat" / "page.py"
    page.write_text(
        "import os\nimport streamlit\nstreamlit.text(f'{os.getcwd()} {os.environ.get(\"PARLEY_ACCESS\")}')\n"
    )
    app = app_process.start(tmp_path / "app", plain=plain)
    with Tester(app.url) as tester:
        tester.until(lambda: f"{tmp_path}/app None" in tester.lines)
    assert app.process.poll() is None
    assert app.stop() == -signal.SIGTERM
    app = app_process.start(tmp_path / "app", plain=plain)
    app.kill()
    assert app.process.returncode == -signal.SIGKILL
    assert app.outbound() == []


def test_a_fork_cannot_leave_this_machine_either(tmp_path: Path) -> None:
    app_process.lay_out(tmp_path)
    script = tmp_path / "streamlit_app.py"
    script.write_text(REACH_OUT + script.read_text())
    app = app_process.start(tmp_path)
    app.stop()
    assert [line.partition(" in ")[0] for line in app.outbound()] == ["socket.connect 192.0.2.1"]
