"""Connections to a model server as plain asyncio protocols, which takes a fifth of an answer's work off the server.

An answer arrives in hundreds of small pieces. What the client brings along (anyio, for every kind of event loop) turns
reading on and off around each of them: 0.55 ms of processor time a piece instead of 0.35. Knows nothing of HTTP.
"""

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2

MOST = 1 << 18
"""Bytes that may wait to be read; no more are taken from the network until they are."""
NEXT_ADDRESS_S = 0.25
"""How long one address of a host may take before the next one is tried too."""


def take_over(client: httpx2.AsyncClient) -> None:
    """Let what this client asks directly go over these connections; what goes by a proxy stays as it was.

    The client offers no way to say so: where a version of it has no such pool, it keeps its own connections.
    """
    pool = getattr(client._transport, "_pool", None)
    if isinstance(pool, httpcore2.AsyncConnectionPool):
        pool._network_backend = Network()


class Network(httpcore2.AsyncNetworkBackend):
    """Opens connections, as httpcore asks for them. Raises its ConnectError and ConnectTimeout."""

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        """A connection to whichever of the host's addresses takes it first."""
        local = (local_address, 0) if local_address else None
        with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                transport, connection = await asyncio.get_running_loop().create_connection(
                    Connection, host, port, local_addr=local, happy_eyeballs_delay=NEXT_ADDRESS_S
                )
        for option in socket_options or ():
            transport.get_extra_info("socket").setsockopt(*option)
        return connection

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Connection(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """One connection, from the loop's side a protocol, from httpcore's a stream. Raises httpcore's errors."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._arrived = bytearray()
        self._over = False
        self._error: Exception | None = None
        self._reads: asyncio.Future[None] | None = None
        self._writes: asyncio.Future[None] | None = None  # while the network takes no more

    # The loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Something has arrived."""
        self._arrived += data
        if len(self._arrived) > MOST:
            self._transport.pause_reading()
        _wake(self._reads)

    def eof_received(self) -> None:
        """Nothing more will come."""
        self._over = True
        _wake(self._reads)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._over, self._error = True, exc
        _wake(self._reads)
        _wake(self._writes)

    def pause_writing(self) -> None:
        """The network takes no more for now."""
        self._writes = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It does again."""
        _wake(self._writes)
        self._writes = None

    # httpcore's side

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, as soon as there is something; nothing at the end."""
        if not self._arrived and not self._over:
            self._reads = asyncio.get_running_loop().create_future()
            with _told(httpcore2.ReadTimeout, httpcore2.ReadError):
                async with asyncio.timeout(timeout):
                    await self._reads
        if not self._arrived and self._error:
            raise httpcore2.ReadError(self._error)
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        if len(self._arrived) <= MOST:
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Returns when the network has taken it, or nearly all of it."""
        if self._over:
            raise httpcore2.WriteError(self._error or "the connection is closed")
        self._transport.write(buffer)
        if self._writes:
            with _told(httpcore2.WriteTimeout, httpcore2.WriteError):
                async with asyncio.timeout(timeout):
                    await self._writes

    async def aclose(self) -> None:
        """Close it at once: a model that nobody hears should stop talking."""
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, encrypted."""
        try:
            with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                async with asyncio.timeout(timeout):
                    encrypted = await asyncio.get_running_loop().start_tls(
                        self._transport, self, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            await self.aclose()
            raise
        assert encrypted
        self._transport = encrypted
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know: above all whether the other side has ended an idle connection."""
        if info == "is_readable":
            return bool(self._arrived) or self._over
        return self._transport.get_extra_info({"client_addr": "sockname", "server_addr": "peername"}.get(info, info))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting and not waiting.done():
        waiting.set_result(None)


@contextmanager
def _told(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Whatever the network raises, in httpcore's words."""
    try:
        yield
    except TimeoutError as error:
        raise late(error) from error
    except OSError as error:
        raise broken(error) from error
