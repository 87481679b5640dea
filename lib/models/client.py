"""The OpenAI client: how it is made, what it is asked, what its errors mean.

Importing it takes half a second of the processor, so `completion` does that when there is something to ask. Knows
neither messages nor answers, only requests.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2
import openai
from openai import AsyncOpenAI

from lib.domain.proxies import is_loopback
from lib.models.faults import Fault, retry_after
from lib.models.transport import open_transport

OPENAI = "https://api.openai.com/v1"
_KEEP_CONNECTION = 60.0  # the client's own 5 s would make nearly every question pay for a new TLS handshake
_DRAIN = 0.1


class Client:
    """A model server, with the connections to it that are kept. `base_url` None: OpenAI's. A connection may take
    `connect_s` seconds; all other waiting is timed by who asks."""

    def __init__(self, base_url: str | None, api_key: str | None, connect_s: float) -> None:
        patience = openai.Timeout(None, connect=connect_s)
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=_KEEP_CONNECTION)
        direct = open_transport(limits)
        # With a transport of its own the client asks no proxy of the environment, whatever its scheme.
        alone = is_loopback(urlsplit(base_url or OPENAI).hostname) or not _proxies()
        http = openai.DefaultAsyncHttpxClient(timeout=patience, limits=limits, transport=direct if alone else None)
        self._client = AsyncOpenAI(
            base_url=base_url or OPENAI,
            api_key=api_key or "none",  # a local server asks for none, the client insists on one
            max_retries=0,
            timeout=patience,
            http_client=http,
        )
        self._create = self._client.chat.completions.with_streaming_response.create  # imports much at its first touch

    def ask(self, model: str, body: Mapping[str, Any]) -> Any:
        """The response as it comes, as a context: building a typed object for every chunk would cost more than all the
        rest, and `create(messages=…)` would copy the whole conversation piece by piece."""
        return self._create(model=model, messages=[], stream=True, extra_body=body)

    @staticmethod
    async def drain(chunks: AsyncIterator[bytes]) -> None:
        """Read the few bytes after the end, so that the connection can be used again; a server that sends more is
        left."""
        try:
            async with asyncio.timeout(_DRAIN):
                async for _ in chunks:
                    pass
        except (TimeoutError, httpx2.HTTPError):
            pass

    async def ids(self) -> list[str]:
        """The names of the server's models."""
        page = await self._client.models.list()
        try:
            return [model.id for model in page.data]
        except (AttributeError, TypeError) as error:
            raise Fault("NoAnswer", text="what came back is not a list of models") from error

    async def aclose(self) -> None:
        """Close every connection; on the loop that used them."""
        await self._client.close()


def _proxies() -> bool:
    """Return True if the environment names a proxy for requests to other machines."""
    return not {"http", "https", "all"}.isdisjoint(getproxies())


def translate(error: Exception) -> Fault:
    """Whatever the client, the network or a parser raises, as a Fault."""
    match error:
        case Fault():
            return error
        case openai.APIStatusError(status_code=status):
            fault = Fault.reported(error.body or error.message, type(error).__name__, status)
            asked = retry_after(error.response.headers, time.time())
            fault.retry_after = fault.retry_after if asked is None else asked
            return fault
        case openai.APITimeoutError() | TimeoutError():
            return Fault("APITimeoutError")
        case openai.APIConnectionError() | httpx2.HTTPError() | OSError():
            return Fault("APIConnectionError", text=repr(error.__cause__ or error))
        case _:
            return Fault(type(error).__name__, text=str(error))
