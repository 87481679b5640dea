"""The apps that the benchmark measures: their start, the controls of their pages, and the cost of their processes.

This module knows none of the measures. Each app runs in a folder of its own, without the settings of the user who runs
the benchmark, and is ended by the ids of its processes.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from tests.support import app_process
from tests.support.ports import free_port

PEERS = Path(__file__).parent / "peers"
START_WITHIN_S, END_WITHIN_S = 120, 10


@dataclass(frozen=True)
class Page:
    """The controls of a page: a CSS selector of the box, and a JavaScript condition under which it takes a question."""

    box: str
    idle: str = "true"


STREAMLIT = Page(
    '[data-testid="stChatInputTextArea"]:not([disabled])',
    "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'",
)


@dataclass
class App:
    """One app under test. `{port}` in its `command` stands for the port that it listens on."""

    name: str
    page: Page
    command: list[str]
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "App":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.stop()

    def start(self) -> float:
        """Start the app, or restart it if it runs; return the start time of its process (seconds since 1970).

        Raise RuntimeError with the end of its log if it ends or does not answer in time.
        """
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        port = str(free_port())
        command, self.url = [part.replace("{port}", port) for part in self.command], f"http://127.0.0.1:{port}"
        began = time.time()
        with (self.folder / "app.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=clean_environ() | self.environ | {"PORT": port},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()
        return began

    def _wait(self) -> None:
        """Wait until the app answers. The requests follow each other closely, because the start itself is measured."""
        deadline = time.monotonic() + START_WITHIN_S
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url + "/", timeout=30).read()
                return
            except (ConnectionError, urllib.error.URLError):
                time.sleep(0.005)
        raise RuntimeError(f"{self.name} did not start:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """End every process of the app. Safe to call twice."""
        if self._process is None:
            return
        tree = self._tree()
        _send(tree, signal.SIGTERM)
        _, left = psutil.wait_procs(tree, timeout=END_WITHIN_S)
        _send(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=END_WITHIN_S)
        self._process.wait()
        self._process = None

    def log(self) -> str:
        """Return the app's output since its start."""
        return (self.folder / "app.log").read_text(errors="replace")

    def cpu_s(self) -> float:
        """Return the processor seconds of the app's processes since its start."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def rss_mb(self) -> float:
        """Return the resident memory of the app's processes, in MiB."""
        return float(sum(process.memory_info().rss for process in self._tree())) / 2**20

    def _tree(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def clean_environ() -> dict[str, str]:
    """Return the environment without the settings of the user who runs the benchmark."""
    return {name: value for name, value in os.environ.items() if not name.startswith(app_process.OURS)}


def connected(model_url: str) -> dict[str, str]:
    """Return the settings that connect an OpenAI client to this server."""
    return {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none"}


def parley(folder: Path, model_url: str | None, name: str = "Parley") -> App:
    """Parley as testers meet it: a copy of this checkout with default settings, a SQLite file of its own, and an
    operator token, so that a browser on this machine is a tester's. Without `model_url` the demo answers."""
    app_process.lay_out(folder, watched=False)
    environ = {"PARLEY_OPERATOR_TOKEN": "a-token-that-nobody-gives", "HOME": str(folder), "PYTHONPATH": str(folder)}
    model = connected(model_url) if model_url else {}
    return App(name, STREAMLIT, _streamlit("streamlit_app.py"), folder, environ | model)


def tutorial(folder: Path, model_url: str) -> App:
    """V: Streamlit's tutorial chat."""
    environ = connected(model_url) | {"HOME": str(folder)}
    return App("V", STREAMLIT, _streamlit(str(PEERS / "tutorial.py")), folder, environ)


def bare(folder: Path, model_url: str) -> App:
    """B: a page without framework or Markdown."""
    return App("B", Page("#q"), [sys.executable, str(PEERS / "bare.py")], folder, connected(model_url))


def chainlit(folder: Path, model_url: str) -> App:
    """C: Chainlit, in a virtual environment of its own."""
    command = [str(_environment("chainlit") / "chainlit"), "run", str(PEERS / "chainlit_app.py")]
    options = ["--headless", "--host", "127.0.0.1", "--port", "{port}"]
    page = Page("#chat-input", "!document.querySelector('#stop-button')")
    return App("C", page, command + options, folder, connected(model_url) | {"HOME": str(folder)})


def nicegui(folder: Path, model_url: str) -> App:
    """N: NiceGUI, in a virtual environment of its own."""
    command = [str(_environment("nicegui") / "python"), str(PEERS / "nicegui_app.py")]
    return App("N", Page('input[placeholder="message"]'), command, folder, connected(model_url) | {"HOME": str(folder)})


FIRST_ONLY = ("C", "N")
"""Apps of which only the first token is measured: no other limit refers to them, and a long answer takes Chainlit more
than a minute."""
OPTIONAL: dict[str, Callable[[Path, str], App]] = {"chainlit": chainlit, "nicegui": nicegui}
"""Peers outside Streamlit, measured only with `--peer`."""
PINNED = {"chainlit": ("chainlit==2.12.0", "openai==3.57.0"), "nicegui": ("nicegui==3.18.0", "openai==3.57.0")}


def _streamlit(script: str) -> list[str]:
    options = ("headless=true", "address=127.0.0.1", "port={port}")
    command = [sys.executable, "-m", "streamlit", "run", script, *(f"--server.{option}" for option in options)]
    return [*command, "--browser.gatherUsageStats=false"]


def _environment(peer: str) -> Path:
    """Return the folder of a peer's programs, in an environment inside ours that is made at its first use."""
    folder = Path(sys.prefix) / "bench" / peer
    if not (folder / "made").exists():
        print(f"Making an environment for {peer}, once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, *PINNED[peer]], check=True)
        (folder / "made").touch()
    return folder / "bin"
