"""Connections to a model server as plain asyncio protocols, which take a fifth of an answer's work off the server.

An answer arrives in hundreds of small pieces. The client's own connections (anyio, for every kind of event loop) turn
reading on and off around each piece: 0.55 ms of processor time a piece instead of 0.35. httpcore takes others by its
public argument `network_backend`; httpx has no such argument, hence a transport here. Knows nothing of messages.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpcore2
import httpx2

log = logging.getLogger("parley.models")

_ERRORS = (
    httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol,
)  # fmt: skip
MAX_UNREAD = 1 << 18
"""Bytes that may wait to be read. Beyond that, reading from the network pauses."""
NEXT_ADDRESS_S = 0.25
"""Seconds that one address of a host may take before the next one is tried too."""


def open_transport(limits: httpx2.Limits, *, tls: bool) -> httpx2.AsyncBaseTransport:
    """Return the transport of direct requests; the client's own where httpcore accepts no network backend.

    Without `tls` the certificates of all authorities are not read, which takes 25 ms.
    """
    try:
        return Transport(limits, httpx2.create_ssl_context() if tls else None)
    except TypeError as error:
        log.warning("connections to model servers are the client's own, which are slower: %s", error)
        return httpx2.AsyncHTTPTransport(limits=limits)


class Transport(httpx2.AsyncBaseTransport):
    """The transport over the connections of `Network`. Raises httpx's errors, as the client's own does."""

    def __init__(self, limits: httpx2.Limits, ssl_context: ssl.SSLContext | None) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=Network(),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and return the response with its body still to be read."""
        address = request.url
        target = httpcore2.URL(
            scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path
        )
        with _as_httpx():
            response = await self._pool.handle_async_request(
                httpcore2.Request(
                    request.method,
                    target,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for piece in cast(AsyncIterator[bytes], self._response.stream):
                yield piece

    async def aclose(self) -> None:
        """Close the response, and its connection where data are still to come."""
        await self._response.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise httpcore's errors as httpx's, which have the same names."""
    try:
        yield
    except _ERRORS as error:
        error_class = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise error_class(str(error)) from error


class Network(httpcore2.AsyncNetworkBackend):
    """A network backend that opens connections for httpcore. Raises its ConnectError and ConnectTimeout."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to whichever of the host's addresses answers first."""
        local = (local_address, 0) if local_address else None
        with _translate_errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
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
    """One connection: a protocol for the event loop, a stream for httpcore. Raises httpcore's errors."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._arrived = bytearray()
        self._over = False
        self._error: Exception | None = None
        self._reads: asyncio.Future[None] | None = None
        self._writes: asyncio.Future[None] | None = None  # while writing is paused

    # Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Append data."""
        self._arrived += data
        if len(self._arrived) > MAX_UNREAD:
            self._transport.pause_reading()
        _wake(self._reads)

    def eof_received(self) -> None:
        """Note the end of the data."""
        self._over = True
        _wake(self._reads)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        self._over, self._error = True, exc
        _wake(self._reads)
        _wake(self._writes)

    def pause_writing(self) -> None:
        """Pause writing."""
        self._writes = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Resume writing."""
        _wake(self._writes)
        self._writes = None

    # Stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return data as soon as there is some; empty at the end."""
        if not self._arrived and not self._over:
            self._reads = asyncio.get_running_loop().create_future()
            with _translate_errors(httpcore2.ReadTimeout, httpcore2.ReadError):
                async with asyncio.timeout(timeout):
                    await self._reads
        if not self._arrived and self._error:
            raise httpcore2.ReadError(self._error)
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        if len(self._arrived) <= MAX_UNREAD:
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, and wait until the network has taken nearly all of it."""
        if self._over:
            raise httpcore2.WriteError(self._error or "the connection is closed")
        self._transport.write(buffer)
        if self._writes:
            with _translate_errors(httpcore2.WriteTimeout, httpcore2.WriteError):
                async with asyncio.timeout(timeout):
                    await self._writes

    async def aclose(self) -> None:
        """Close at once, so that a model without a listener stops."""
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Return the same connection, encrypted."""
        try:
            with _translate_errors(httpcore2.ConnectTimeout, httpcore2.ConnectError):
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
        """Return httpcore's extra information, above all whether the peer has ended an idle connection."""
        if info == "is_readable":
            return bool(self._arrived) or self._over
        return self._transport.get_extra_info({"client_addr": "sockname", "server_addr": "peername"}.get(info, info))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting and not waiting.done():
        waiting.set_result(None)


@contextmanager
def _translate_errors(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Raise the network's errors as httpcore's."""
    try:
        yield
    except TimeoutError as error:
        raise late(error) from error
    except OSError as error:
        raise broken(error) from error
