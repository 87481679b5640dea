"""A process that has imported the app's packages, which takes most of a start's time, and forks for each start.

    process = app_template.start(["run", "streamlit_app.py"], folder, environ, log)

A fork behaves as `python -m streamlit` in that folder with that environment, except that third-party packages are
imported already. `lib` and `pages` are not: each app imports those of its own folder. Run as a script, this file is the
template process, which has one thread and does not import pytest.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = (
    "streamlit.web.cli", "streamlit.web.bootstrap", "streamlit.emojis", "streamlit.runtime.agent.interaction",
    "streamlit.runtime.agent.mcp", "altair", "anyio._backends._asyncio", "genai_prices.data",
    "genai_prices.data_snapshot", "jiter", "markdown_it", "openai", "openai.resources.chat", "openai.resources.models",
    "pandas", "prometheus_client", "psutil", "psycopg", "pyarrow", "pydantic_settings", "socksio",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "statsig", "truststore",
    "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.h11_impl", "websockets.headers",
)  # fmt: skip
"""Packages that the app imports at its start or when a page needs them."""
WITHOUT_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Settings with which NumPy and Arrow start no thread when they are imported."""
OF_THE_INTERPRETER = ("LANG", "LC_", "LD_", "PYTHON", "TZ")
"""Beginnings of the names of settings that the interpreter reads at its start, which a fork would ignore."""
PAUSE_S = 0.01


def available(environ: Mapping[str, str]) -> bool:
    """Return True where processes fork safely and no setting concerns the interpreter's own start."""
    special = any(name.startswith(OF_THE_INTERPRETER) for name in environ)
    return sys.platform == "linux" and not special and _template() is not None


class Fork:
    """One forked process, with those methods of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal, of an ended process; None while it runs.

        Until this has returned a code, no other process gets the pid.
        """
        if self.returncode is None:
            self.returncode = _request({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code. Raise subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = time.monotonic() + timeout if timeout is not None else None
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            time.sleep(PAUSE_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to the process if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(words: Sequence[str], folder: Path, environ: Mapping[str, str], log: Path) -> Fork:
    """Fork `python -m streamlit WORDS` in this folder with this environment; its output is appended to `log`."""
    pid = _request({"words": list(words), "folder": str(folder), "environ": dict(environ), "log": str(log)})
    assert pid
    return Fork(pid)


_one_at_a_time = threading.Lock()


def _request(request: Mapping[str, object]) -> int | None:
    template = _template()
    assert template is not None and template.stdin is not None and template.stdout is not None
    with _one_at_a_time:
        template.stdin.write(json.dumps(request) + "\n")
        template.stdin.flush()
        answer: int | None = json.loads(template.stdout.readline())
    return answer


def _template() -> "subprocess.Popen[str] | None":
    """Return this process's template; None where a package has started a thread, and apps start without a template."""
    with _one_at_a_time:
        return _start_template()


@cache
def _start_template() -> "subprocess.Popen[str] | None":
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STREAMLIT_"))}
    template = subprocess.Popen(
        [sys.executable, __file__],
        cwd="/",
        env=environ | WITHOUT_THREADS | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(end, template)
    assert template.stdout is not None
    return template if template.stdout.readline() else None


def end(template: "subprocess.Popen[str]") -> None:
    """Close the standard input of a process that serves its lines, and wait for its end."""
    assert template.stdin is not None and template.stdout is not None
    template.stdin.close()
    template.wait()
    template.stdout.close()


def _serve() -> None:
    """Fork, or print the exit code of a fork, for each line of standard input."""
    for package in PACKAGES:
        __import__(package)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("A package has started a thread, which a fork would lack: the tests' apps start one by one.")
    assert not {"lib", "pages", "tests", "pytest"} & set(sys.modules)
    print("ready")
    from streamlit.components.v2 import manifest_scanner

    scan = cache(manifest_scanner.scan_component_manifests)  # reads the metadata of all packages: a tenth of a second
    scan()
    manifest_scanner.scan_component_manifests = scan
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, ended = os.waitpid(request["poll"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(ended) if pid else None))
            continue
        if not (child := os.fork()):
            _become(request)
            break
        print(child)


def _become(request: Mapping[str, Any]) -> None:
    """Turn this process into `python -m streamlit`, as if it had been started there."""
    folder = request["folder"]
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(folder)
    for target, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request["log"], os.O_WRONLY | os.O_APPEND)):
        opened = os.open(name, mode)
        os.dup2(opened, target)
        os.close(opened)
    os.dup2(1, 2)
    sys.path[0:1] = [folder, *os.environ["PYTHONPATH"].split(os.pathsep)]
    if os.path.exists("sitecustomize.py"):
        sys.modules.pop("sitecustomize", None)
        __import__("sitecustomize")
    sys.argv[1:] = request["words"]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
