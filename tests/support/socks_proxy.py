"""A SOCKS5 proxy on loopback that looks up no name: it connects every client to one port of this machine."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy in front of the port `target`. `asked` lists the hosts and ports that clients named, unchanged."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.target = target
        self.asked: list[tuple[str, int]] = []

    @property
    def port(self) -> int:
        """The port that the proxy listens on."""
        return int(self.server_address[1])


class _Connection(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        methods = self.rfile.read(2)[1]
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x00")  # no password
        _, _, _, kind = self.rfile.read(4)
        host = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.rfile.read(4))
        self.server.asked.append((host, int.from_bytes(self.rfile.read(2), "big")))
        with socket.create_connection(("127.0.0.1", self.server.target)) as there:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_copy, args=(there, self.connection), daemon=True)
            back.start()
            _copy(self.connection, there)
            back.join(5)


def _copy(source: Any, target: Any) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextmanager
def serve(target: int) -> Iterator[Proxy]:
    """Run a proxy in front of this port until the block ends."""
    with Proxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join(5)
