"""A guard that keeps a process on this machine: it records every other connection and every look-up of another name.

It runs in the tests and in the app that the tests start, to which `app_process.py` copies it as `sitecustomize.py`. It
reports each attempt (the app's to the file that OUTBOUND_LOG names) and refuses it as if there were no network. It sees
Python's own sockets (asyncio's too), not those that a C library opens.
"""

import ipaddress
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

Report = Callable[[str], None]


def is_loopback(host: object) -> bool:
    """Return True where a host of a socket address is this machine.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::ffff:127.0.0.1", "localhost", None, "10.0.0.1", "example.org")]
    [True, True, True, True, False, False]
    """
    if host is None or host in ("", b"", "localhost", b"localhost"):
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def watch(report: Report) -> None:
    """Refuse every attempt of this process to reach another machine, after a call of `report` with a line about it."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        host = _destination(event, args)
        if not is_loopback(host):
            report(f"{event} {host} in thread {threading.current_thread().name}")
            raise ConnectionRefusedError(f"not on this machine: {host}")

    sys.addaudithook(hook)


def _destination(event: str, args: tuple[Any, ...]) -> object:
    if event in ("socket.connect", "socket.sendto"):
        return args[1][0] if isinstance(args[1], tuple) else None  # a path is a socket of this machine
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return _literal(args[0])
    return None


def _literal(host: object) -> object:
    """Return a host name that must be looked up; None for a numeric address."""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return host
    return None


def append(line: str) -> None:
    """Write a line into the file that OUTBOUND_LOG names."""
    with open(os.environ["OUTBOUND_LOG"], "a", encoding="utf-8") as log:
        log.write(line + "\n")


if __name__ == "sitecustomize":
    watch(append)
