"""Ports for servers that a test restarts, or never starts."""

import itertools
import os
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The file with Linux's own range of ports, which it gives to connections and to servers that ask for any port."""
FIRST, SYSTEMS_FIRST = 20_000, 32_768
"""The tests' own range ends where the system's begins."""
WORKERS = 16
"""Parts of the tests' range, one for each of pytest's processes."""


def _own_ports() -> range:
    first = int(RANGE.read_text().split()[0]) if RANGE.exists() else SYSTEMS_FIRST
    size = max(0, min(first, SYSTEMS_FIRST) - FIRST) // WORKERS
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    return range(FIRST + worker * size, FIRST + (worker + 1) * size)


_ports = _own_ports()
_next = itertools.count(os.getpid())


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no process listens, a different one at each call.

    No other process gets it before the test's server listens on it: the system does not give it to a process that asks
    for any port, and each of pytest's processes has ports of its own.
    """
    for _ in _ports:
        port = _ports[next(_next) % len(_ports)]
        if _is_free(port):
            return port
    return _any_port()  # the system's range leaves none


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
