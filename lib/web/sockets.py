"""The listening sockets of this process, without Nagle's algorithm.

Streamlit binds its socket without naming TCP, and asyncio turns Nagle's algorithm off for named TCP alone: on every
connection, the second of two small messages would wait up to 40 ms for the browser to acknowledge the first (80 files
of a page one after the other: 3.5 s, and 0.3 s without). A connection has the options of the socket that accepted it,
so it is enough to set them once, on the sockets that listen.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path


def send_at_once() -> int:
    """Turn Nagle's algorithm off for future connections; return the number of sockets, 0 where the system does not list
    open files."""
    match = 0
    for listening in _listening():
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        match += 1
    return match


def _listening() -> Iterator[socket.socket]:
    """Yield the listening TCP sockets of this process, each as another handle of the same socket."""
    with contextlib.suppress(OSError):
        for entry in list(Path("/dev/fd").iterdir()):
            with contextlib.suppress(OSError, ValueError), socket.socket(fileno=os.dup(int(entry.name))) as handle:
                internet = handle.family in (socket.AF_INET, socket.AF_INET6) and handle.type == socket.SOCK_STREAM
                if internet and handle.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield handle
