"""The OpenAI client: its construction, its requests, the translation of its errors.

Importing it takes half a second of the processor, so `completion` does that when there is something to ask. Knows
neither messages nor answers, only requests.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2
import openai
from openai import AsyncOpenAI

from lib.domain.providers import Provider
from lib.domain.proxies import is_loopback
from lib.models.faults import Fault, retry_after
from lib.models.other_apis import kind_of
from lib.models.transport import open_transport

_KEEP_CONNECTION = 60.0  # with the client's own 5 s nearly every question would pay for a new TLS handshake
_DRAIN = 0.1
_MAX_ERROR, _MAX_LIST = 100_000, 16_000_000
"""Bytes that are read of a response that is no answer, and of a list of models."""


class Client:
    """The connections to one provider. A connection may take `connect_s` seconds; the caller times all other
    waiting."""

    def __init__(self, provider: Provider, connect_s: float) -> None:
        patience = openai.Timeout(None, connect=connect_s)
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=_KEEP_CONNECTION)
        server = urlsplit(provider.base_url)
        direct = open_transport(limits, tls=server.scheme == "https")
        # With a custom transport the client ignores the environment's proxies.
        alone = is_loopback(server.hostname) or not _proxies()
        # A redirect would let the server choose which other machine this process asks, with the question.
        http = openai.DefaultAsyncHttpxClient(
            timeout=patience,
            limits=limits,
            transport=direct if alone else None,
            follow_redirects=False,
            event_hooks={"response": [_bound]},
        )
        self._client = AsyncOpenAI(
            base_url=provider.base_url,
            api_key=provider.api_key or "none",  # a local server needs no key, but the client insists on one
            default_headers=_headers(provider),
            default_query={"api-version": provider.api_version} if provider.api_version else None,
            max_retries=0,
            timeout=patience,
            http_client=http,
        )
        self._each = {"Authorization": openai.Omit()} if "api-key" in _headers(provider) else None
        self._create = (
            self._client.chat.completions.with_streaming_response.create
        )  # expensive imports at its first use

    def ask(self, model: str, body: Mapping[str, Any]) -> Any:
        """Open the raw response as a context: typed objects for every chunk would cost more than all the rest, and
        `create(messages=…)` would copy the whole conversation piece by piece."""
        return self._create(model=model, messages=[], stream=True, extra_body=body, extra_headers=self._each)

    @staticmethod
    async def drain(chunks: AsyncIterator[bytes]) -> None:
        """Read the few bytes after the end, so that the connection can be reused; give up on a server that sends
        more."""
        try:
            async with asyncio.timeout(_DRAIN):
                async for _ in chunks:
                    pass
        except (TimeoutError, httpx2.HTTPError):
            pass

    async def models(self) -> object:
        """Return the raw body of `GET /models`: a typed list would lose the vendors' extra fields."""
        response = await self._client.models.with_raw_response.list(extra_headers=self._each)
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            kind = kind_of(response.content[:_MAX_ERROR], response.headers.get("content-type", ""))
            raise Fault("NoAnswer", note=f"{kind} came instead of a list of models") from error

    async def aclose(self) -> None:
        """Close every connection, on the loop that used them."""
        await self._client.close()


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body; the rest is not read, and the connection closed."""

    def __init__(self, body: httpx2.AsyncByteStream, limit: int) -> None:
        self._body, self._remaining = body, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece[: self._remaining]
            self._remaining -= len(piece)
            if self._remaining <= 0:
                return

    async def aclose(self) -> None:
        """Close the body."""
        await self._body.aclose()


async def _bound(response: httpx2.Response) -> None:
    """Bound the bodies that the client reads as a whole. Answers are read piece by piece, with limits of their own."""
    body = response.stream
    assert isinstance(body, httpx2.AsyncByteStream)
    if response.status_code != httpx2.codes.OK:
        response.stream = _Beginning(body, _MAX_ERROR)
    elif response.request.method == "GET":
        response.stream = _Beginning(body, _MAX_LIST)


def _proxies() -> bool:
    """Return True if the environment names a proxy for requests to other machines."""
    return not {"http", "https", "all"}.isdisjoint(getproxies())


def _headers(provider: Provider) -> dict[str, str]:
    """Return the headers of every request. Azure takes a bearer token for one of its own directory, so its key goes
    into `api-key` alone.

    >>> _headers(Provider("azure", "https://x", "k", api_version="2024-10-21"))["api-key"]
    'k'
    """
    if not provider.api_version or not provider.api_key:
        return dict(provider.headers)
    return {"api-key": provider.api_key, **provider.headers}


def translate(error: Exception) -> Fault:
    """Translate an exception of the client, the network or a parser into a Fault."""
    match error:
        case Fault():
            return error
        case openai.APIStatusError(status_code=status) if status < 400:
            return Fault("Redirect", status=status, text="the server names another address: set that one")
        case openai.APIStatusError(status_code=status):
            fault = Fault.reported(error.body or error.message, type(error).__name__, status)
            delay_s = retry_after(error.response.headers, time.time())
            fault.retry_after = fault.retry_after if delay_s is None else delay_s
            return fault
        case openai.APITimeoutError() | TimeoutError():
            return Fault("APITimeoutError")
        case openai.APIConnectionError() | httpx2.HTTPError() | OSError():
            return Fault("APIConnectionError", text=repr(error.__cause__ or error))
        case _:
            return Fault(type(error).__name__, text=str(error))
