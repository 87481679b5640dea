"""A provider's models: timeouts, refused parameters, prices. `stream` reads their answers.

Knows no experiment, no conversation and no page.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.domain.completion import Usage
from lib.domain.providers import Provider
from lib.domain.text import clean
from lib.models.catalogue import Catalogue, read_catalogue
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from lib.models.prices import Prices
from lib.models.refusals import Options, Refusals
from lib.models.stream import Stream

if TYPE_CHECKING:
    from lib.models.client import Client

MAX_CHARS = 100_000
"""Longest answer in characters, about 40 pages. Longer ones are cut."""
CAP_TOKENS = 25_000
"""The cap that a limit in US dollars imposes on an answer without one: as much as `MAX_CHARS` allows."""
PER_MESSAGE = 16
"""Most tokens of overhead for each message."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds. Anything that a server sends is a sign of life: text, thinking, a comment, an empty frame,
    an error.

    `first_token` is the longest silence before the first text, `between_tokens` after it. Comments and empty frames
    alone count for `keep_alive` at most. `after_finish` is the silence after a finish reason that ends the answer.
    `total` counts from the question, repeats included. `backoff` comes before the first repeat, twice that before the
    second.
    """

    connect: float = 5.0
    first_token: float = 60.0
    between_tokens: float = 60.0
    keep_alive: float = 300.0
    after_finish: float = 10.0
    total: float = 900.0
    backoff: float = 0.5

    @classmethod
    def patient(cls, first_token_s: float) -> "Timeouts":
        """Return the timeouts for a server that may be silent for this many seconds."""
        standard = cls()
        return cls(
            first_token=first_token_s,
            between_tokens=max(standard.between_tokens, first_token_s),
            keep_alive=max(standard.keep_alive, first_token_s),
            total=max(standard.total, 2 * first_token_s),
        )


class Models:
    """One provider's models. There is one per provider and process; it keeps the connections and remembers refused
    parameters. Used on one event loop, which need not run yet at construction."""

    def __init__(
        self,
        provider: Provider,
        timeouts: Timeouts = Timeouts(),
        max_chars: int = MAX_CHARS,
        prices: Prices | None = None,
    ) -> None:
        self.provider, self.prices = provider, prices or Prices.load()
        self._timeouts, self._max_chars = timeouts, max_chars
        self._secrets = list(provider.secrets())
        self.refusals = Refusals()
        self.missing: set[str] = set()
        """Models that this provider lacked when a question last named them."""
        self._client: Client | None = None
        self._making = threading.Lock()

    def client(self) -> "Client":
        """Return the client, created at first use. Thread-safe."""
        with self._making:
            if self._client is None:
                from lib.models.client import Client

                self._client = Client(self.provider, self._timeouts.connect)
            return self._client

    def prepare(self) -> None:
        """Create the client if it does not exist. Failures occur again, and are translated, when a question is
        asked."""
        with suppress(Exception):
            self.client()

    def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        parameters: Parameters,
        fallback_model: str | None = None,
        fallback_at: "Models | None" = None,
    ) -> Stream:
        """Return the stream of an answer; nothing is sent before it is first awaited. `fallback_model` answers, at its
        own provider `fallback_at`, where this one lacks the model in `parameters`."""
        cleaned = [{**message, "content": clean(message["content"])} for message in messages]
        return Stream(self, cleaned, parameters, (fallback_at or self, fallback_model) if fallback_model else None)

    def accepted(self, parameters: Parameters) -> Options:
        """Return the options that the model accepts, as far as it has refused some in this process."""
        return self.refusals.options(parameters.model, parameters.options)

    def most_usd(self, messages: Sequence[Mapping[str, str]], parameters: Parameters) -> float | None:
        """Return the most that an answer of this model can cost; None for a model without a price.

        No token is shorter than a byte. The answer has the length that its parameters allow.
        """
        sent = sum(len(message["content"].encode("utf-8", "replace")) + PER_MESSAGE for message in messages)
        return self.cost_usd(parameters.model, None, Usage(sent, parameters.answer_tokens or CAP_TOKENS))

    def cost_usd(self, asked: str, served: str | None, usage: Usage) -> float | None:
        """Return the cost of these tokens at this provider; None where the price or the tokens are unknown."""
        return self.prices.cost_usd(self.provider, asked, served, usage)

    async def catalogue(self) -> Catalogue:
        """Return the provider's list of models, or the reason for its absence. Never raises."""
        self.prepare()  # not part of the server's time
        try:
            async with asyncio.timeout(2 * self._timeouts.connect):
                return read_catalogue(self.provider, await self.client().models())
        except Exception as error:
            return Catalogue(self.provider.name, fault=self._fault(error, []))

    async def aclose(self) -> None:
        """Close every connection, on the loop that used them."""
        if self._client:
            await self._client.aclose()

    def _fault(self, error: Exception, sent: Sequence[str]) -> Fault:
        """Translate an exception, without the key and the texts that were `sent`: servers echo both."""
        from lib.models.client import translate

        fault = translate(error)
        fault.scrub(self._secrets, sent)
        return fault
