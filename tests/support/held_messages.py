"""Hold back the messages of a page: clicks that arrive together, a page that is half drawn."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from playwright.sync_api import Page, WebSocketRoute

from tests.support.waiting import until

SOCKET = re.compile("_stcore/stream")
Message = str | bytes


@contextmanager
def clicks_held(page: Page) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Yield a function whose block holds back the messages that a page sends until there are two: a click and a
    question. They are then sent together. The page must not have been opened yet."""
    servers: list[WebSocketRoute] = []
    held: list[Message] | None = None

    def connect(socket: WebSocketRoute) -> None:
        servers.append(server := socket.connect_to_server())
        socket.on_message(lambda message: server.send(message) if held is None else held.append(message))

    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal held
        held = []
        yield
        until(lambda: page.evaluate("true") and len(held or ()) >= 2)
        for message in held:
            servers[-1].send(message)
        held = None

    page.route_web_socket(SOCKET, connect)
    yield hold


@contextmanager
def drawing_held(page: Page) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Yield a function whose block holds back the messages to a page, from the element with this key on. They are sent
    when the block ends. The page must not have been opened yet."""
    sockets: list[WebSocketRoute] = []
    held: list[Message] = []
    first: bytes | None = None

    def connect(socket: WebSocketRoute) -> None:
        def receive(message: Message) -> None:
            if first and (held or (isinstance(message, bytes) and first in message)):
                held.append(message)
            else:
                socket.send(message)

        sockets.append(socket)
        socket.connect_to_server().on_message(receive)

    @contextmanager
    def hold(key: str) -> Iterator[None]:
        nonlocal first
        first = key.encode()
        yield
        for message in held:
            sockets[-1].send(message)
        held.clear()
        first = None

    page.route_web_socket(SOCKET, connect)
    yield hold
