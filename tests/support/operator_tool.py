"""The operator's tool in a process of its own that need not import its packages.

    run = run_tool(folder, "export", "--format", "jsonl", DATABASE_URL=url)
    assert run.returncode == 0, run.stderr

Most of a short command's time goes into importing packages. Here one process has imported them and forks for each
command. The tool gets the given settings and no others. A connection to another machine fails the call.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from lib.__main__ import main
from tests.support import loopback_guard
from tests.support.app_process import OURS, ROOT
from tests.support.app_template import end

PACKAGES = (
    "lib.__main__", "lib.commands.check", "lib.commands.erase", "lib.commands.export", "lib.commands.invite",
    "lib.commands.move", "lib.commands.plan", "lib.commands.purge", "lib.commands.readout", "lib.commands.simulate",
    "lib.commands.statsig_setup", "lib.models.client", "lib.models.transport", "anyio._backends._asyncio",
    "genai_prices.data", "genai_prices.data_snapshot", "jiter", "openai.resources.chat", "openai.resources.models",
    "pyarrow.parquet", "truststore", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.h11_impl",
)  # fmt: skip
"""The modules that commands import when they need them."""


@dataclass(frozen=True)
class Run:
    """The result of one call of the tool."""

    returncode: int
    raw: bytes
    stderr: str

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()


def run_tool(folder: Path, *words: str, **environ: str) -> Run:
    """Run `python -m lib WORDS` in this folder with these settings, without a terminal."""
    with tempfile.TemporaryDirectory() as scratch:
        watched = environment(**environ) | {"OUTBOUND_LOG": f"{scratch}/outbound"}
        code = _call(Call(words, str(folder), watched, scratch))
        outbound = Path(scratch) / "outbound"
        assert not outbound.exists(), outbound.read_text()
        return Run(code, Path(scratch, "stdout").read_bytes(), Path(scratch, "stderr").read_text())


def environment(**environ: str) -> dict[str, str]:
    """Return the environment of a tool with these settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | {"PYTHONPATH": str(ROOT)} | environ


@dataclass(frozen=True)
class Call:
    """One call of the tool. `scratch` is the folder of its output."""

    words: Sequence[str]
    folder: str
    environ: Mapping[str, str]
    scratch: str


def _call(call: Call) -> int:
    """Run the tool in a fork, or as a new process where processes do not fork; return its exit code."""
    if not hasattr(os, "fork"):
        with open(f"{call.scratch}/stdout", "wb") as stdout, open(f"{call.scratch}/stderr", "wb") as stderr:
            return subprocess.run(
                [sys.executable, "-m", "lib", *call.words], cwd=call.folder, env=dict(call.environ),
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            ).returncode  # fmt: skip
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(asdict(call)) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@cache
def _server() -> "subprocess.Popen[str]":
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.operator_tool"], cwd=ROOT, env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(end, server)
    return server


def _serve() -> None:
    """Fork for each line of standard input; answer with the exit code."""
    loopback_guard.watch(loopback_guard.append)
    for package in PACKAGES:
        __import__(package)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_run(Call(**json.loads(line))))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(call: Call) -> int:
    """Turn this process into the tool, with the call's folder, environment and output; return the exit code."""
    os.environ.clear()
    os.environ.update(call.environ)
    os.chdir(call.folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(f"{call.scratch}/stdout", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(os.open(f"{call.scratch}/stderr", os.O_WRONLY | os.O_CREAT), 2)
    try:
        return main(call.words)
    except SystemExit as ended:  # argparse
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
