"""Two replicas of the app behind haproxy, as `deploy/` sets them up: with its haproxy.cfg, in which only addresses and
ports are replaced.

    with serve(folder, settings) as site:
        ... open site.url ...
        site.replica("one").kill()
        site.start("one")
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tests.support import app_process
from tests.support.app_process import ROOT, AppProcess, status
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
COOKIE = "PARLEY_REPLICA"
NAMES = ("one", "two")
END_S = 40.0
"""Seconds that a replica may take to end, as in deploy/compose.yaml."""


def haproxy() -> str | None:
    """Return the path of the installed haproxy, also where only root has its folder on the search path."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin")


def configuration(port: int, ports: Mapping[str, int]) -> str:
    """Return `deploy/haproxy.cfg` with these ports of this machine in it."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    changes = {"bind :8501": f"bind 127.0.0.1:{port}"}
    changes |= {f"replica-{name}:8501": f"127.0.0.1:{ports[name]}" for name in ports}
    for ours, local in changes.items():
        assert ours in text, f"{CONFIGURATION.name} does not say {ours}"
        text = text.replace(ours, local)
    return text


@dataclass
class Site:
    """A test's handle of the replicas. `url` is the balancer's, without a slash at its end."""

    folder: Path
    settings: Mapping[str, str]
    ports: Mapping[str, int]
    url: str
    balancer: subprocess.Popen[bytes]
    replicas: dict[str, AppProcess] = field(default_factory=dict)

    def replica(self, name: str) -> AppProcess:
        """Return the replica of this name."""
        return self.replicas[name]

    def front(self) -> AppProcess:
        """Return an app at the balancer's address, for helpers that take an app."""
        return replace(self.replicas["one"], url=self.url)

    def start(self, name: str) -> None:
        """Start or restart this replica, and wait until it is ready and the balancer has found it so."""
        self.replicas[name] = app_process.start(self.folder / name, self.settings, port=self.ports[name])
        until(lambda: self.up(name))

    def stop(self, name: str) -> None:
        """Ask this replica to end, as a rolling restart does, and wait for its end."""
        self.replicas[name].stop(END_S)

    def heal(self) -> None:
        """Start every replica that does not run."""
        for name in NAMES:
            if self.replicas[name].process.poll() is not None:
                self.start(name)

    def up(self, name: str) -> bool:
        """Return True if this replica is ready and the balancer found it so at its last check."""
        said = [line for line in self.log().splitlines() if f"Server parley/{name} is " in line]
        return (not said or " is UP" in said[-1]) and status(self.replicas[name].url + "/readyz") == 200

    def log(self) -> str:
        """Return the balancer's log."""
        return (self.folder / "haproxy.log").read_text(errors="replace")


@contextmanager
def serve(folder: Path, settings: Mapping[str, str]) -> Iterator[Site]:
    """Run the balancer and both replicas until the block ends. They are ready when it begins."""
    port, ports = free_port(), {name: free_port() for name in NAMES}
    (folder / "haproxy.cfg").write_text(configuration(port, ports), encoding="utf-8")
    binary = haproxy()
    assert binary, "haproxy is not installed"
    with (folder / "haproxy.log").open("wb") as log:
        balancer = subprocess.Popen([binary, "-db", "-f", folder / "haproxy.cfg"], stdout=log, stderr=log)
    site = Site(folder, settings, ports, f"http://127.0.0.1:{port}", balancer)
    try:
        for name in NAMES:  # both at once: the first to arrive creates the tables
            app = app_process.start(folder / name, settings, port=ports[name], ready=False)
            site.replicas[name] = app
        for name in NAMES:
            site.replicas[name].wait_ready()
            until(partial(site.up, name))
        until(lambda: balancer.poll() is not None or status(site.url + "/readyz") == 200)
        assert balancer.poll() is None, site.log()
        yield site
        assert not [line for app in site.replicas.values() for line in app.outbound()]
    finally:
        for app in site.replicas.values():
            if app.process.poll() is None:
                app.kill()
        balancer.terminate()
        balancer.wait(ENOUGH_S)
