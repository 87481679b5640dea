"""One question to a model server, streamed, and the facts of how it ended; every way in which it can fail.

Owns the timeouts and the repeats. `client` is what it asks with; what arrives is read by `chunks`, what goes wrong is
understood by `faults`, what it costs is known by `prices`; `parameters` and `prompt` make what is sent. Knows no
experiment, no conversation and no page.

Nothing that a server does raises here: failures are facts of the completion. Only cancellation passes through.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.domain.completion import Completion, FinishReason, Usage
from lib.domain.text import clean
from lib.models.chunks import Events, Reading
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from lib.models.prices import Prices
from lib.models.prompt import estimate, estimate_messages

if TYPE_CHECKING:
    from lib.models.client import Client

MAX_CHARS = 100_000
"""An answer is cut at so many characters: some 40 pages."""
EXPECTED_TOKENS = 1_000
"""What an answer is taken to have where nothing limits it, as long as its cost is not known."""

_ENDED: Mapping[FinishReason, str] = {
    "length": "The answer was too long and was cut off here.",
    "content_filter": "The model's content filter ended this answer.",
    "tool_calls": "The model asked for a tool, which this chat does not have. Please ask in another way.",
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_token` and `total` count from the question, repeats included; `usage` is what may still follow
    the finish reason; `backoff` comes before the first repeat, twice that before the second."""

    connect: float = 5.0
    first_token: float = 30.0
    between_tokens: float = 30.0
    total: float = 300.0
    usage: float = 2.0
    backoff: float = 0.5


class Models:
    """A model server. One for the whole process, so that its connections are kept; used on one event loop, which need
    not run yet when it is made. `base_url` None: OpenAI's."""

    def __init__(
        self, base_url: str | None, api_key: str | None, timeouts: Timeouts = Timeouts(), max_chars: int = MAX_CHARS,
        prices: Prices | None = None,
    ) -> None:  # fmt: skip
        self.prices = prices or Prices.load()
        self._base_url, self._api_key = base_url, api_key
        self._timeouts, self._max_chars = timeouts, max_chars
        self._secrets = [api_key] if api_key else []
        self._refused: dict[str, set[str]] = {}
        self._made: Client | None = None
        self._making = threading.Lock()

    def client(self) -> "Client":
        """What the server is asked with, made by whoever wants it first. Any thread may."""
        with self._making:
            if self._made is None:
                from lib.models.client import Client

                self._made = Client(self._base_url, self._api_key, self._timeouts.connect)
            return self._made

    def prepare(self) -> None:
        """Make the client, unless it is there. What goes wrong does so again, and is understood, when it is asked."""
        with suppress(Exception):
            self.client()

    def stream(
        self, messages: Sequence[Mapping[str, str]], parameters: Parameters, fallback_model: str | None = None
    ) -> "Stream":
        """Ask; nothing is sent before the stream is first awaited. `fallback_model` answers where the server does not
        have the model that `parameters` name."""
        said = [{**message, "content": clean(message["content"])} for message in messages]
        return Stream(self, said, parameters, fallback_model)

    def expected_usd(self, messages: Sequence[Mapping[str, str]], parameters: Parameters) -> float | None:
        """What an answer will cost, roughly; None for a model that has no price."""
        answered = min(EXPECTED_TOKENS, parameters.options.get("max_tokens", EXPECTED_TOKENS))
        return self.prices.cost_usd(parameters.model, Usage(estimate_messages(messages), answered))

    async def ids(self) -> list[str]:
        """The names of the server's models. Raises Fault, whose text is for the operator."""
        try:
            async with asyncio.timeout(2 * self._timeouts.connect):
                return await self.client().ids()
        except Exception as error:
            raise self._fault(error, []) from error

    async def aclose(self) -> None:
        """Close every connection; on the loop that used them."""
        if self._made:
            await self._made.aclose()

    def _refuses(self, model: str, parameter: str | None = None) -> set[str]:
        """The parameters that a model has refused in this process, now with one more."""
        refused = self._refused.setdefault(model, set())
        if parameter:
            refused.add(parameter)
        return refused

    def _fault(self, error: Exception, said: Sequence[str]) -> Fault:
        """What an exception means, without the key and without what a tester `said`: servers echo both."""
        from lib.models.client import translate

        fault = translate(error)
        fault.scrub([*self._secrets, *(text for text in said if len(text) > 8)])
        return fault


class Stream:
    """One answer. Iterate it once for its text, piece by piece as it arrives; then read `completion`.

    Leave the iteration by its end, by cancelling the task, or by `aclose()`: each closes the connection.
    """

    def __init__(
        self, models: Models, messages: list[dict[str, str]], parameters: Parameters, fallback_model: str | None
    ) -> None:
        self.cause: str | None = None  # for the operator: the last fault, without secrets, even if a repeat answered
        self._models, self._timeouts = models, models._timeouts
        self._messages, self._parameters = messages, parameters
        self._model, self._fallback = parameters.model, fallback_model
        self._sent: list[str] = []
        self._dropped: tuple[str, ...] = ()
        self._reading = Reading(models._max_chars)
        self._retries = 0
        self._started = self._asked = self._heard = time.monotonic()
        self._first: float | None = None
        self._whole: float | None = None  # when the server said that the answer is complete
        self._completion: Completion | None = None
        self._pieces = self._run()

    @property
    def completion(self) -> Completion:
        """Every fact of the answer. Of a stream that did not come to its end: those until now, as `stopped`."""
        return self._completion or self._facts("stopped", None)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop, and close the connection."""
        await self._pieces.aclose()

    async def _run(self) -> AsyncGenerator[str, None]:
        self._models.prepare()  # what that takes is not the model's time
        self._started = time.monotonic()
        finish: FinishReason | None = "stopped"
        fault: Fault | None = None
        try:
            while True:
                fault = None
                try:
                    async with aclosing(self._attempt()) as pieces:
                        async for piece in pieces:
                            yield piece
                except Exception as error:
                    fault = self._understand(error)
                if fault is None or (pause := self._repeat_after(fault)) is None:
                    break
                await asyncio.sleep(pause)
            finish = None
        finally:
            self._completion = self._facts(finish, fault)

    async def _attempt(self) -> AsyncGenerator[str, None]:
        """One request, until its end. Raises whatever goes wrong."""
        client = self._models.client()
        self._asked, self._whole = time.monotonic(), None
        self._reading, events = Reading(self._models._max_chars), Events()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._patience()):
                response = await stack.enter_async_context(client.ask(self._model, self._body()))
            chunks = response.iter_bytes()
            while not (self._reading.done or self._reading.full):
                try:
                    async with asyncio.timeout(self._patience()):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    with suppress(ValueError):  # the end of the stream may have cut it
                        if piece := self._take(events.rest()):
                            yield piece
                    break
                for data in events.feed(chunk):
                    if piece := self._take(data):
                        yield piece
            if self._reading.done:
                await client.drain(chunks)
            if not self._reading.any_event:
                kind = response.headers.get("content-type", "no content type")
                raise Fault("NoAnswer", status=response.status_code, text=f"no event in {kind}")

    def _take(self, data: bytes) -> str:
        piece = self._reading.take(data)
        if self._reading.heard:
            self._heard = time.monotonic()
            if self._reading.finish_reason and self._whole is None:
                self._whole = self._heard
        if piece and self._first is None:
            self._first = self._heard
        return piece

    def _patience(self) -> float:
        """Seconds to wait for what comes next."""
        limits = self._timeouts
        if self._whole is not None:
            until = self._whole + limits.usage
        elif self._heard > self._asked:
            until = self._heard + limits.between_tokens
        else:
            until = self._started + limits.first_token
        return min(until, self._started + limits.total) - time.monotonic()

    def _body(self) -> dict[str, Any]:
        wanted = {**self._parameters.options, "stream_options": {"include_usage": True}}
        refused = self._models._refuses(self._model)
        self._dropped = tuple(name for name in wanted if name in refused)
        self._sent = [name for name in wanted if name not in refused]
        return {"messages": self._messages, **{name: wanted[name] for name in self._sent}}

    def _understand(self, error: Exception) -> Fault | None:
        """What it was, unless the answer was complete already, or as long as it may get."""
        if self._reading.finish_reason and self._reading.outcome:
            return None
        fault = self._models._fault(error, [message["content"] for message in self._messages])
        self.cause = str(fault)
        return fault

    def _repeat_after(self, fault: Fault) -> float | None:
        """Seconds until the question is asked again, changed if need be; None when it is over."""
        if self._reading.begun:
            return None
        if refused := fault.refused_parameter(self._sent):
            self._models._refuses(self._model, refused)
            return 0.0
        if fault.no_such_model and self._fallback and self._fallback != self._model:
            self._model = self._fallback
            return 0.0
        now = time.monotonic()
        pause = fault.pause(self._retries, now - self._started, now - self._asked, self._timeouts.backoff)
        if pause is None or pause >= self._patience():
            return None
        self._retries += 1
        return pause

    def _facts(self, finish: FinishReason | None, fault: Fault | None) -> Completion:
        """The completion; `finish` None: as the server or the fault says."""
        now, reading = time.monotonic(), self._reading
        if finish is None and fault is None:
            finish = reading.outcome
            cut = Fault("APIConnectionError", text="the stream ended without a finish reason and without [DONE]")
            fault = None if finish else cut if reading.begun else Fault("NoAnswer")
        if fault and fault.kind == "APITimeoutError" and now - self._started >= self._timeouts.total:
            finish = "length" if reading.begun else None  # an answer without end
        if finish is None:
            finish = "interrupted" if reading.begun else "error"
        failed = fault if finish in ("interrupted", "error") else None
        if failed and self.cause is None:
            self.cause = str(failed)
        usage = self._usage()
        answered = self._model if reading.any_event and finish != "error" else None
        served = reading.model or answered
        return Completion(
            text=reading.text if reading.begun else "",
            finish_reason=finish,
            response_time=(self._whole or now) - self._started,
            time_to_first_token=None if self._first is None else self._first - self._started,
            usage=usage,
            served_model=served,
            error=failed.kind if failed else None,
            message=failed.message(reading.begun) if failed else _ENDED.get(finish),
            retries=self._retries,
            dropped_parameters=self._dropped,
            parameter_error=self._parameters.error,
            cost_usd=self._models.prices.cost_usd(served or self._model, usage),
        )

    def _usage(self) -> Usage:
        if self._reading.usage:
            return self._reading.usage
        if not self._reading.begun:
            return Usage()
        prompt, completion = estimate_messages(self._messages), estimate(self._reading.text)
        return Usage(prompt, completion, prompt + completion, source="estimated")
