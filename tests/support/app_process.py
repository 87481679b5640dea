"""The real app as its users run it: `streamlit run streamlit_app.py`, in a copy of its own, on a free port.

The copy is in a temporary folder, so that a test may change `.streamlit/experiments.toml`, write secrets, or read
`data/`, and so that no setting, secret or data of the user who runs the tests reaches it.
"""

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import app_template
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

ROOT = Path(__file__).parents[2]
APP = ("streamlit_app.py", "pages", "lib", "README.md", "docs", ".streamlit/config.toml", ".streamlit/experiments.toml")
OURS = ("PARLEY_", "OPENAI_", "STATSIG_", "STREAMLIT_", "DATABASE_URL", "PYTHON")
"""Beginnings of the names of settings that the app must not inherit from the user who runs the tests."""
LOG = "app.log"
READY_WITHIN_S = 2 * ENOUGH_S
SILENCE_S = "600"
"""Seconds for which a model server may be silent: a slow machine needs time for the steps during a scripted pause."""


@dataclass
class AppProcess:
    """One process of the app. `folder` is its working directory; `url` has no slash at its end."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes] | app_template.Fork
    environ: Mapping[str, str] = field(default_factory=dict)
    """The environment of the process, for the operator's tool beside it."""

    def log(self) -> str:
        """Return the output of the app so far, standard output and error together."""
        return (self.folder / LOG).read_text(errors="replace")

    def outbound(self) -> list[str]:
        """Return the app's attempts to reach another machine, one line each."""
        path = self.folder / "outbound.log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait until /readyz answers 200. Raise AssertionError with the log if the app ends or takes too long."""
        until(lambda: self.process.poll() is not None or status(self.url + "/readyz") == 200, within_s, show=self.log)
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"

    def wait_exit(self, within_s: float = ENOUGH_S) -> int:
        """Wait until the app ends by itself; return its exit code."""
        return self.process.wait(within_s)

    def stop(self, within_s: float = ENOUGH_S) -> int:
        """Ask the app to end (SIGTERM), as a supervisor does; return its exit code.

        If it does not end in time, kill it and raise AssertionError with the log.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {within_s} s after SIGTERM:\n{self.log()}") from None

    def wait_written(self) -> None:
        """Wait until the app has written everything handed to its store. A page may go on a little before that."""
        until(lambda: metrics(self.url)["parley_store_queued"] == 0)

    def kill(self) -> None:
        """End the app at once (SIGKILL)."""
        self.process.kill()
        self.process.wait()


def start(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    port: int | None = None,
    options: Sequence[str] = (),
    ready: bool = True,
    plain: bool = False,
) -> AppProcess:
    """Start the app in `folder` with these settings and, unless `ready` is False, wait until it serves.

    A folder that already holds the app is used as it is, so that the same call is a restart. `options` are Streamlit's.
    Where possible the app forks from a process that has imported its packages. With `plain` it always starts as a new
    process, for tests of its start, memory and time.
    """
    if not (folder / "streamlit_app.py").exists():
        lay_out(folder)
    port = port or free_port()
    words = ["run", "streamlit_app.py", f"--server.port={port}", "--server.headless=true", *options]
    environment = _environment(folder, environ or {})
    (folder / LOG).touch()
    process: subprocess.Popen[bytes] | app_template.Fork
    if plain or not app_template.available(environ or {}):
        process = _run(words, folder, environment)
    else:
        process = app_template.start(words, folder, environment, folder / LOG)
    app = AppProcess(folder, f"http://127.0.0.1:{port}", process, environment)
    if ready:
        try:
            app.wait_ready()
        except BaseException:
            app.kill()
            raise
    return app


def _run(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streamlit", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def lay_out(folder: Path, *, watched: bool = True) -> None:
    """Copy the app into `folder`, compiled files included, and if `watched` the guard over its connections."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in APP:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy2(source, target)
    if watched:
        shutil.copy2(ROOT / "tests" / "support" / "loopback_guard.py", folder / "sitecustomize.py")


def status(url: str, timeout_s: float = 5) -> int | None:
    """Return the HTTP status of a GET; None where no server answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


def metrics(url: str) -> dict[str, float]:
    """Return the values of an app's `/metrics`, by name with labels, unchanged."""
    pairs = (line.rpartition(" ") for line in metrics_text(url).splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def metrics_text(url: str) -> str:
    """Return the text of an app's `/metrics`."""
    with urllib.request.urlopen(url + "/metrics", timeout=ENOUGH_S) as answer:
        return str(answer.read().decode())


def _environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    own = {"HOME": str(folder), "PYTHONPATH": str(folder), "OUTBOUND_LOG": str(folder / "outbound.log")}
    return inherited | own | {"PYTHONUNBUFFERED": "1", "PARLEY_FIRST_TOKEN_S": SILENCE_S} | dict(environ)
