"""Connections on which a small message does not wait until the one before it is acknowledged."""

import socket
from collections.abc import Iterator

import pytest

from lib.web.sockets import send_at_once


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Yield a socket bound as Streamlit binds it: without naming TCP, so that asyncio leaves Nagle's algorithm on."""
    with socket.socket(socket.AF_INET) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def nodelay(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def accepted(listening: socket.socket) -> bool:
    """Return True where a connection that is accepted now sends at once."""
    with socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            return nodelay(connection)


def test_a_connection_sends_at_once_from_then_on(listening: socket.socket) -> None:
    assert not accepted(listening)
    assert send_at_once() >= 1
    assert accepted(listening)


def test_only_sockets_that_listen_are_touched(listening: socket.socket) -> None:
    with socket.create_connection(listening.getsockname()) as client:
        send_at_once()
        assert not nodelay(client)


def test_the_socket_still_listens_afterwards(listening: socket.socket) -> None:
    send_at_once()
    with socket.create_connection(listening.getsockname()) as client:
        connection, _ = listening.accept()
        with connection:
            client.sendall(b"Hello")
            assert connection.recv(5) == b"Hello"
