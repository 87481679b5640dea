"""The processes under load: PostgreSQL, replicas of the real app, the servers around them; all end with the block.

This module owns processes, measures what they use of the machine, and limits their share of a core. It does not know
the players.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.support import app_process, postgres_server

DELAY_S = 0.2
"""Seconds that the stand-in model takes to its first token."""
TOKENS, PER_S = 160, 40.0
"""Length and speed of its answers: four seconds."""
PERIOD_US = 10_000
"""Microseconds after which a replica with part of a core gets its share anew."""
QUOTA = Path("/sys/fs/cgroup/cpu")


@dataclass(frozen=True)
class Replica:
    """One running app."""

    app: app_process.AppProcess

    @property
    def url(self) -> str:
        return self.app.url

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.app.process.pid)

    @property
    def resident_mb(self) -> float:
        return float(self.process.memory_info().rss / 1e6)

    @property
    def cpu_s(self) -> float:
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def metrics(self) -> dict[str, float]:
        return app_process.metrics(self.url)


@dataclass
class Watch:
    """The resources and metrics of replicas during a part, read twice a second."""

    replicas: Sequence[Replica]
    streaming: list[float] = field(default_factory=list)
    outbox_s: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    cores: float = 0.0

    async def during(self, seconds: float) -> None:
        """Read the replicas twice a second until `seconds` have passed."""
        began, before = time.monotonic(), sum(each.cpu_s for each in self.replicas)
        while time.monotonic() < began + seconds:
            await asyncio.sleep(0.5)
            with suppress(OSError):  # a busy replica may not answer in time; the next reading counts
                await asyncio.to_thread(self._look)
        self.cores = (sum(each.cpu_s for each in self.replicas) - before) / (time.monotonic() - began)

    def _look(self) -> None:
        told = [each.metrics() for each in self.replicas]
        self.streaming.append(sum(one["parley_streams_active"] for one in told))
        self.outbox_s.append(max(one["parley_outbox_oldest_seconds"] for one in told))
        self.queued.append(sum(one["parley_store_queued"] for one in told))
        self.resident_mb.append(sum(each.resident_mb for each in self.replicas))


class Scene:
    """PostgreSQL and the servers around Parley. Replicas start when they are needed, all on the same database."""

    def __init__(self, folder: Path, server: postgres_server.Postgres, addresses: dict[str, str]) -> None:
        self._folder, self._server, self._addresses = folder, server, addresses
        self._started = 0
        self.database = server.database()

    def new_database(self) -> None:
        """Give replicas that start from now on an empty record."""
        self.database = self._server.database()

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a replica."""
        return {
            "DATABASE_URL": self.database, "OPENAI_BASE_URL": self._addresses["model"],
            "STATSIG_SECRET_KEY": "secret-load", "STATSIG_API_URL": self._addresses["statsig"],
            "PARLEY_SIGNING_KEY": "k" * 43, "PARLEY_LOG_LEVEL": "error",
        }  # fmt: skip

    @contextmanager
    def replicas(self, count: int, share: float | None = None) -> Iterator[list[Replica]]:
        """Start `count` replicas; each may use `share` of a core once it runs."""
        with ExitStack() as stack:
            found = [self._replica(stack) for _ in range(count)]
            for each in found:
                if share is not None:
                    stack.enter_context(limited(each.app.process.pid, share))
            yield found

    def _replica(self, stack: ExitStack) -> Replica:
        self._started += 1
        folder = self._folder / f"replica-{self._started}"
        app_process.lay_out(folder)
        (folder / "sitecustomize.py").unlink()  # watching its connections would cost time
        app = app_process.start(folder, self.environ, plain=True)
        stack.callback(app.kill)
        return Replica(app)


@contextmanager
def scene() -> Iterator[Scene]:
    """Start the processes that replicas need. Raises FileNotFoundError where PostgreSQL is not installed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="parley-load-", ignore_cleanup_errors=True)))
        server = stack.enter_context(postgres_server.serve(durable=True))
        yield Scene(folder, server, stack.enter_context(_outside()))


@contextmanager
def _outside() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "tests.load.outside", str(DELAY_S), str(TOKENS), str(PER_S)]
    process = subprocess.Popen(command, cwd=app_process.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def can_limit() -> bool:
    """Return True where this user may limit a process to part of a core (cgroup v1, as root)."""
    return os.access(QUOTA, os.W_OK) and (QUOTA / "cpu.cfs_quota_us").exists()


@contextmanager
def limited(pid: int, share: float) -> Iterator[None]:
    """Limit a process and its threads to `share` of a core, by the kernel's quota."""
    group = QUOTA / f"parley-load-{pid}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(int(share * PERIOD_US)))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        with suppress(OSError):
            (QUOTA / "cgroup.procs").write_text(str(pid))
        group.rmdir()
