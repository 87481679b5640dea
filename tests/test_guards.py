"""The guards of the tests themselves: no skip in CI, no way out of this machine, no wait without an end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.app_process import ROOT, lay_out
from tests.support.waiting import until, within

OUT = """\
import socket
try:
    socket.create_connection(("10.1.2.3", 80), 1)
except OSError as error:
    print(error)
"""


def run_test(folder: Path, body: str, ci: bool) -> subprocess.CompletedProcess[str]:
    """Run one test in another pytest process, with the same conftest."""
    file = folder / "test_it.py"
    file.write_text(f"import pytest\n\ndef test_it():\n{''.join(f'    {line}' for line in body.splitlines(True))}\n")
    environ = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(file)]
    return subprocess.run(
        command, cwd=ROOT, env=environ | ({"CI": "true"} if ci else {}), capture_output=True, text=True
    )


@pytest.mark.parametrize("ci", [False, True])
def test_a_skip_is_a_failure_in_ci_alone(ci: bool, tmp_path: Path) -> None:
    run = run_test(tmp_path, "pytest.skip('nothing to test it with')", ci)
    assert run.returncode == (1 if ci else 0), run.stdout
    assert ("test_it was skipped, which in CI is a failure: Skipped: nothing to test it with" in run.stdout) == ci


def test_a_test_that_reaches_out_fails_although_it_caught_the_refusal(tmp_path: Path) -> None:
    run = run_test(tmp_path, OUT, ci=False)
    assert run.returncode == 1
    assert "socket.connect 10.1.2.3" in run.stdout


def test_looking_up_a_name_is_reaching_out(tmp_path: Path) -> None:
    code = "import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass"
    assert "getaddrinfo example.org" in run_test(tmp_path, code, ci=False).stdout


def test_the_app_under_test_cannot_leave_this_machine_and_logs_the_attempt(tmp_path: Path) -> None:
    lay_out(tmp_path)
    environ = {"PYTHONPATH": str(tmp_path), "OUTBOUND_LOG": str(tmp_path / "outbound.log")}
    run = subprocess.run([sys.executable, "-c", OUT], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout == "not on this machine: 10.1.2.3\n"
    assert (tmp_path / "outbound.log").read_text().startswith("socket.connect 10.1.2.3")


def test_a_wait_without_success_ends_and_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.01 s: .* its last value: 0"):
        until(lambda: 0, 0.01)


def test_what_takes_too_long_fails() -> None:
    with pytest.raises(AssertionError, match=r"took .* s of 0 s"), within(0):
        pass
