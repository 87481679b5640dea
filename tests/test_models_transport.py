"""Connections to a model server: over real sockets, encrypted and not, kept, ended, reset, full."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import pytest
import trustme

from lib.domain.completion import Completion
from lib.domain.models import TEST_MODEL
from lib.domain.providers import Provider
from lib.models import transport
from lib.models.completion import Models, Timeouts
from lib.models.parameters import Parameters
from lib.models.transport import MAX_UNREAD, Network, Transport
from tests.support import socks_proxy
from tests.support.openai_server import RESET, Server, answer, serve, stream
from tests.support.waiting import ENOUGH_S, until_async

TEXT = " ".join(f"word{number}" for number in range(400))
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Server]:
    """Yield the stand-in behind a certificate for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serve(context) as server:
        yield server


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def ask(
    base_url: str, times: int = 1, between: Callable[[Models], Awaitable[object]] | None = None
) -> list[Completion]:
    """Ask `times` questions in order over the same connections, and await `between` before each repeat."""

    async def run() -> list[Completion]:
        models, ended = Models(Provider("openai", base_url, "key"), Timeouts(backoff=0.01)), []
        try:
            for number in range(times):
                if number and between:
                    await between(models)
                asked = models.stream([{"role": "user", "content": "Hello?"}], Parameters(TEST_MODEL))
                _ = [piece async for piece in asked]
                ended.append(asked.completion)
        finally:
            await models.aclose()
        return ended

    return asyncio.run(run())


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """Yield a port at which `talk` handles every connection."""
    talks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(itself := asyncio.current_task())  # type: ignore[arg-type]
        try:
            await talk(reader, writer)
            await reader.read()
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            talks.discard(itself)

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def against(talk: Talk, use: Callable[[httpcore2.AsyncNetworkStream], Awaitable[None]]) -> None:
    """Run `use` on one connection, with `talk` at its other end."""

    async def run() -> None:
        async with listening(talk) as port:
            connection = await Network().connect_tcp("127.0.0.1", port, 5)
            try:
                await asyncio.wait_for(use(connection), ENOUGH_S)
            finally:
                await connection.aclose()

    asyncio.run(run())


async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    pass


async def hear_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


# As a model server's client uses them


@pytest.mark.parametrize(
    ("proxy", "address", "ours"),
    [
        (None, "https://api.openai.com/v1/models", True),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v1/models", True),
        ("http://127.0.0.1:9", "https://api.openai.com/v1/models", False),
    ],
    ids=["no proxy", "this machine", "by a proxy"],
)
def test_direct_requests_go_over_these_connections_and_others_by_the_proxy(
    proxy: str | None, address: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    http = Models(Provider("openai", address.removesuffix("/models"), "key")).client()._client._client
    used = http._transport_for_url(httpx2.URL(address))
    assert isinstance(used, Transport) == ours
    assert isinstance(getattr(used, "_pool", None), httpcore2.AsyncHTTPProxy) == (not ours)


def test_a_server_without_tls_needs_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with serve() as server:
        server.script(answer(TEXT))
        [completion] = ask(server.base_url)
    assert completion.text == TEXT


def test_a_client_that_takes_no_network_answers_over_its_own_connections(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Pool(httpcore2.AsyncConnectionPool):
        def __init__(self, **arguments: Any) -> None:
            if "network_backend" in arguments:
                raise TypeError("unexpected keyword argument 'network_backend'")
            super().__init__(**arguments)

    monkeypatch.setattr(httpcore2, "AsyncConnectionPool", Pool)
    with serve() as server:
        server.script(answer(TEXT))
        [completion] = ask(server.base_url)
    assert (completion.text, completion.finish_reason) == (TEXT, "stop")
    assert [record.message for record in caplog.records if "slower" in record.message] != []


def test_every_error_of_httpcore_has_a_namesake_at_httpx() -> None:
    kinds = list(transport._ERRORS)
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert issubclass(getattr(httpx2, kind.__name__), httpx2.TransportError)


def test_a_malformed_proxy_fails_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    [completion] = ask("https://models.example/v1")
    assert (completion.finish_reason, completion.error, completion.text) == ("error", "ValueError", "")


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "socks4://127.0.0.1:9", "nonsense://proxy"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTP_PROXY"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    model_server: Server, name: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, proxy)
    [completion] = ask(model_server.base_url)
    assert (completion.text, completion.error) == ("Hello from the stand-in.", None)


def test_a_server_elsewhere_is_asked_by_a_socks_proxy(model_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socks_proxy.serve(urlsplit(model_server.base_url).port or 0) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        [completion] = ask("http://models.example/v1")
    assert (completion.text, completion.error) == ("Hello from the stand-in.", None)
    assert proxy.asked == [("models.example", 80)]


@pytest.mark.usefixtures("trusted")
def test_an_encrypted_answer_arrives_whole_and_its_connection_is_kept(secure: Server) -> None:
    secure.script(answer(TEXT), answer("And again."))
    first, second = ask(secure.base_url, times=2)
    assert (first.text, first.finish_reason, second.text) == (TEXT, "stop", "And again.")
    assert {request.connection for request in secure.requests} == {1}


@pytest.mark.usefixtures("trusted")
def test_an_encrypted_answer_that_breaks_off_keeps_its_text_so_far(secure: Server) -> None:
    secure.script(stream("The first words", RESET))
    [completion] = ask(secure.base_url)
    assert (completion.text, completion.finish_reason) == ("The first words", "interrupted")
    assert completion.error == "APIConnectionError"


def test_a_server_without_a_trusted_certificate_receives_no_request(secure: Server) -> None:
    [completion] = ask(secure.base_url)
    assert (completion.finish_reason, completion.error) == ("error", "APIConnectionError")
    assert secure.requests == []


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
def test_an_idle_connection_that_the_server_ends_is_not_used_again(last_words: bytes) -> None:
    body = b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    connections: list[asyncio.StreamWriter] = []

    async def serve_all() -> list[Completion]:
        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            asked = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            writer.write(head + body)

        async def hang_up() -> None:
            connections[-1].write(last_words)
            connections[-1].close()
            await connections[-1].wait_closed()

        async with listening(reply) as port:
            loop = asyncio.get_running_loop()

            async def between(models: Models) -> None:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(hang_up(), loop))
                pool = models.client()._client._client._transport_for_url(httpx2.URL(f"http://127.0.0.1:{port}"))._pool  # type: ignore[attr-defined]
                await until_async(lambda: all(each.has_expired() for each in pool.connections))

            return await asyncio.to_thread(ask, f"http://127.0.0.1:{port}/v1", 2, between)

    first, second = asyncio.run(serve_all())
    assert (first.text, second.text) == ("Hello", "Hello")
    assert (second.retries, len(connections)) == (0, 2)


# One connection


def test_nothing_more_is_taken_from_the_network_than_may_wait() -> None:
    size, sent = 64 * MAX_UNREAD, 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < size:
            writer.write(b"x" * MAX_UNREAD)
            await writer.drain()
            sent += MAX_UNREAD
        writer.write_eof()

    async def use(connection: httpcore2.AsyncNetworkStream) -> None:
        got, before = len(await connection.read(1)), -1
        while sent != before:  # until the other end no longer reads
            before = sent
            await asyncio.sleep(0.2)
        assert sent < size
        while data := await connection.read(MAX_UNREAD):
            got += len(data)
        assert got == size

    against(flood, use)


def test_what_arrived_before_a_reset_is_read_first() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"words")
        await writer.drain()

    async def use(connection: httpcore2.AsyncNetworkStream) -> None:
        await until_async(lambda: connection.get_extra_info("is_readable"))
        connection.connection_lost(ConnectionResetError("reset"))  # type: ignore[attr-defined]
        assert await connection.read(100) == b"words"
        with pytest.raises(httpcore2.ReadError, match="reset"):
            await connection.read(100)
        with pytest.raises(httpcore2.WriteError, match="reset"):
            await connection.write(b"more")

    against(talk, use)


def test_silence_ends_by_its_timeout_and_the_connection_can_still_be_read() -> None:
    timed_out = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await timed_out.wait()
        writer.write(b"at last")

    async def use(connection: httpcore2.AsyncNetworkStream) -> None:
        with pytest.raises(httpcore2.ReadTimeout):
            await connection.read(100, timeout=0.05)
        timed_out.set()
        assert await connection.read(100, timeout=ENOUGH_S) == b"at last"

    against(talk, use)


def test_a_server_that_does_not_read_is_given_up() -> None:
    async def use(connection: httpcore2.AsyncNetworkStream) -> None:
        with pytest.raises(httpcore2.WriteTimeout):
            await connection.write(b"x" * 2**26, timeout=0.1)

    against(hear_nothing, use)


def test_a_server_that_reads_late_gets_the_whole_request() -> None:
    size, listens, heard = 2**24, asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await listens.wait()
        await reader.readexactly(size)
        heard.set()

    async def use(connection: httpcore2.AsyncNetworkStream) -> None:
        writing = asyncio.ensure_future(connection.write(b"x" * size, timeout=ENOUGH_S))
        await until_async(lambda: connection._writes is not None)  # type: ignore[attr-defined]
        listens.set()
        await writing
        await heard.wait()

    against(talk, use)


def test_a_closed_port_is_an_error_at_once() -> None:
    async def run() -> None:
        async with listening(say_nothing) as port:
            pass
        with pytest.raises(httpcore2.ConnectError):
            await Network().connect_tcp("127.0.0.1", port, 5)

    asyncio.run(run())
