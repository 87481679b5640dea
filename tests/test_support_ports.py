"""Ports of the tests: each is given to one process only."""

import os
import socket
import subprocess
import sys

from tests.support import ports
from tests.support.app_process import ROOT

ASK = "from tests.support.ports import free_port; print(*(free_port() for _ in range(50)))"


def test_a_port_is_outside_the_range_of_the_system() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert listener.getsockname()[1] >= ports.SYSTEMS_FIRST
    assert ports.FIRST <= ports.free_port() < ports.SYSTEMS_FIRST


def test_a_port_is_given_once_and_only_while_it_is_free() -> None:
    given = {ports.free_port() for _ in range(20)}
    assert len(given) == 20
    with socket.socket() as listener:
        taken = ports.free_port() + 1
        listener.bind(("127.0.0.1", taken))
        assert taken not in {ports.free_port() for _ in range(20)}


def test_two_workers_get_different_ports() -> None:
    def ports_of(worker: str) -> set[int]:
        environ = os.environ | {"PYTEST_XDIST_WORKER": worker, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, check=True)
        return {int(port) for port in run.stdout.split()}

    assert not ports_of("gw0") & ports_of("gw1")
