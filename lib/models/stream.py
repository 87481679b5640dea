"""One answer of a model server: request, stream, retries, adaptation to refusals, and its facts.

`request` makes the request, `sse` frames the response and `chunks` reads it, `faults` interprets errors, `times` has
the timeouts. Knows no experiment, no conversation and no page.

Nothing that a server does raises here: failures are facts of the completion. Only cancellation passes through.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib.domain.completion import Completion, FinishReason, Usage
from lib.domain.pieces import Anew
from lib.models.chunks import Reading
from lib.models.faults import FILTERED, Fault
from lib.models.other_apis import kind_of, no_answer
from lib.models.parameters import Parameters
from lib.models.prompt import estimate, estimate_messages
from lib.models.request import Request
from lib.models.sse import Events, Frame
from lib.models.times import Times
from lib.models.usage import read_cost_header

if TYPE_CHECKING:
    from lib.models.completion import Models

_ENDED: Mapping[FinishReason, str] = {
    "length": "The answer was too long and was cut off here.",
    "content_filter": "The model's content filter ended this answer.",
    "tool_calls": "The model asked for a tool, which this chat does not have. Please ask in another way.",
}


class Stream:
    """One answer. Iterate it once for its text, piece by piece as it arrives; then read `completion`.

    A piece may be `Anew`. Leave the iteration by its end, by cancelling the task, or by `aclose()`: each closes the
    connection.
    """

    def __init__(
        self,
        models: "Models",
        messages: list[dict[str, str]],
        parameters: Parameters,
        fallback: "tuple[Models, str] | None",
    ) -> None:
        self.cause: str | None = None  # for the operator: the last fault, without secrets, even if a repeat succeeded
        self._models, self._timeouts = models, models._timeouts
        self._parameters, self._model, self._fallback = parameters, parameters.model, fallback
        self._request = Request(messages, {**parameters.options, "stream_options": {"include_usage": True}})
        self._reading = Reading(models._max_chars)
        self._retries = 0
        self._times = Times()
        self._header_cost: float | None = None
        self._completion: Completion | None = None
        self._pieces = self._run()

    @property
    def completion(self) -> Completion:
        """The facts of the answer so far. A stream that did not come to its end counts as `stopped`."""
        return self._completion or self._facts("stopped", None)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop and close the connection."""
        await self._pieces.aclose()

    async def _run(self) -> AsyncGenerator[str, None]:
        self._models.prepare()  # not part of the model's time
        self._times = Times()
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
        """Send one request and yield its text until its end. Raises any failure."""
        client = self._models.client()
        self._times.ask()
        held = self._models.refusals.thinks_unopened(self._model)
        self._reading, events = Reading(self._models._max_chars, held=held), Events()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._patience()):
                response = await stack.enter_async_context(client.ask(self._model, self._body()))
            self._times.sign()
            self._header_cost = read_cost_header(response.headers)
            chunks = response.iter_bytes()
            while not (self._reading.done or self._reading.full):
                try:
                    async with asyncio.timeout(self._patience()):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    break
                self._times.sign()
                for frame in events.feed(chunk):
                    if (piece := self._take(frame)) or isinstance(piece, Anew):
                        yield piece
            if self._reading.done:
                await client.drain(chunks)
            else:
                for piece in self._last(events):
                    yield piece
            piece = self._reading.rest()
            if piece:
                self._times.text()
            if piece or isinstance(piece, Anew):
                yield piece
            if not self._reading.completing:
                raise self._no_answer(response, events)

    def _no_answer(self, response: Any, events: Events) -> Fault:
        """Return the fault of a response without any chunk of a completion."""
        reading, status, kind = self._reading, response.status_code, "JSON without choices"
        if not reading.any_event:
            kind = kind_of(events.beginning, response.headers.get("content-type", ""))
            empty = events.commented
        else:
            empty = reading.done and not reading.other_api
        if empty:
            return Fault("NoAnswer", status=status, note="the stream had no answer", text=reading.stray)
        return no_answer(self._models.provider, status, kind, reading.other_api)

    def _take(self, frame: Frame) -> str:
        piece = self._reading.take(frame)
        if self._reading.heard:
            self._times.event(thought=self._reading.thought)
        if isinstance(piece, Anew):
            self._times.withdraw()
        if piece:
            self._times.text()
            self._models.missing.discard(self._model)
        return piece

    def _last(self, events: Events) -> Iterator[str]:
        """Yield the text that the end of the stream left, which may be cut."""
        with suppress(ValueError):
            for frame in events.rest():
                if (piece := self._take(frame)) or isinstance(piece, Anew):
                    yield piece

    def _patience(self) -> float:
        """Return the seconds to wait for the next data."""
        limits, reading = self._timeouts, self._reading
        silence = limits.between_tokens if reading.begun else limits.first_token
        if reading.begun and reading.finish_reason:
            silence = limits.after_finish
        return self._times.left(silence, limits.keep_alive, limits.total)

    def _body(self) -> dict[str, Any]:
        return self._request.body(self._models.refusals, self._model)

    def _understand(self, error: Exception) -> Fault | None:
        """Return the fault, unless the answer was complete already or has reached its cap.

        A finish reason that text came after does not make an answer complete, unless nothing at all came any more.
        """
        reading = self._reading
        fault = self._models._fault(error, self._request.texts)
        complete = not reading.contradicted or fault.kind == "APITimeoutError"
        if complete and reading.finish_reason and reading.outcome:
            return None
        if fault.status is not None:
            self._times.sign()
        self.cause = fault.line
        return fault

    def _repeat_after(self, fault: Fault) -> float | None:
        """Return the seconds until the question is asked again, changed if necessary; None for no repeat."""
        if self._reading.begun:
            return None
        if self._adapt(fault):
            return 0.0
        times = self._times
        pause = fault.pause(self._retries, times.elapsed, times.attempt, self._timeouts.backoff)
        late = times.elapsed >= self._timeouts.first_token if fault.meaning == "loading" else False
        if pause is None or late or pause >= self._patience():
            return None
        self._retries += 1
        return pause

    def _adapt(self, fault: Fault) -> bool:
        """Change the request as the fault asks for; return True where that was possible."""
        request, refusals = self._request, self._models.refusals
        meaning = fault.meaning
        if meaning == "context_full":
            return request.shorten(about_limit=fault.about_limit)
        if meaning == "system_role" and request.has_system and refusals.takes_system(self._model):
            refusals.refuse_system(self._model)
            return True
        if meaning == "no_model":
            self._models.missing.add(self._model)
            if self._fallback and self._fallback != (self._models, self._model):
                self._models, self._model = self._fallback
                return True
        sent = request.options(refusals, self._model).sent
        if name := fault.refused_parameter(sent):
            refusals.refuse(self._model, name, sent[name], request.wanted, about_value=fault.about_value)
            return True
        return False

    def _facts(self, finish: FinishReason | None, fault: Fault | None) -> Completion:
        """Return the completion; `finish` None: as the server or the fault determines."""
        reading, times = self._reading, self._times
        ended = finish is None and fault is None
        finish, failed = (finish, None) if finish else self._ended(fault)
        if failed and self.cause is None:
            self.cause = failed.line
        if ended and reading.begun:
            self._models.refusals.note_thinking(self._model, unopened=reading.unopened)
        usage = self._usage()
        answered = self._model if reading.any_event and finish != "error" else None
        served = reading.model or answered
        options = self._request.options(self._models.refusals, self._model)
        return Completion(
            text=reading.text if reading.begun else "",
            finish_reason=finish,
            response_time=times.answered if ended and not failed else times.elapsed,
            time_to_first_token=times.first_text,
            usage=usage,
            served_model=served,
            provider=self._models.provider.name,
            error=failed.kind if failed else None,
            message=self._message(finish, failed),
            retries=self._retries,
            dropped_parameters=options.dropped,
            renamed_parameters=options.renamed,
            parameter_error=self._parameters.error,
            cost_usd=self._cost_usd(served, usage),
            reasoning=reading.reasoning or None,
            reasoning_time=times.thinking,
        )

    def _ended(self, fault: Fault | None) -> tuple[FinishReason, Fault | None]:
        """Return the finish reason of an answer that was not stopped, and its fault."""
        reading = self._reading
        if fault is None:
            if reading.outcome == "length" and not reading.begun:
                return "error", Fault("EmptyAnswer", text="all of its tokens, and no text")
            if reading.outcome:
                return reading.outcome, None
            cut = Fault("APIConnectionError", text="the stream ended without a finish reason and without [DONE]")
            fault = cut if reading.begun else Fault("NoAnswer", note="the stream had no text")
        if fault.meaning == "filtered":
            return "content_filter", None
        if fault.kind == "APITimeoutError" and reading.begun and self._times.elapsed >= self._timeouts.total:
            return "length", None  # an answer without end
        return ("interrupted" if reading.begun else "error"), fault

    def _message(self, finish: FinishReason, failed: Fault | None) -> str | None:
        if failed:
            return failed.message(self._reading.begun)
        if finish == "content_filter" and not self._reading.begun:
            return FILTERED
        return _ENDED.get(finish)

    def _usage(self) -> Usage:
        """Return the server's counts, estimated where text came and a count is missing or zero."""
        counted = self._reading.usage or Usage()
        if not self._reading.begun or (counted.prompt_tokens and counted.completion_tokens):
            return counted
        reading = self._reading
        prompt = counted.prompt_tokens or estimate_messages(self._request.messages)
        completion = counted.completion_tokens or estimate(reading.text) + estimate(reading.reasoning)
        return replace(
            counted,
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            source="estimated",
        )

    def _cost_usd(self, served: str | None, usage: Usage) -> float | None:
        """Return the cost that the server reports, else the cost by the prices."""
        for reported in (self._reading.cost_usd, self._header_cost):
            if reported is not None:
                return reported
        return self._models.cost_usd(self._model, served, usage)
