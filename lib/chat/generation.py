"""Answers that run without a page: started here, followed by pages, stopped by id.

Owns one thread with an event loop on which every answer of the process is a task. A page only *follows* an answer: no
rerun, closed tab or lost network reaches the task. Knows neither OpenAI nor SQL.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lib.chat.running_answer import Answer, AnswerStream, Journal
from lib.domain.completion import Completion, FinishReason
from lib.domain.conversation import Question

__all__ = ["Answer", "Generations"]

log = logging.getLogger("parley.generation")

PARTIAL_EVERY = 1.0
"""Seconds between two stored states of a running answer. A killed process loses at most the text of that time."""
AT_ONCE = 4
"""Concurrent answers of one visitor; a further one waits."""
UNFINISHED_S = 1.0
"""Seconds that cancelled tasks get to close their connections when the loop ends."""
GRACE = 5.0
"""Seconds within which a page must have seen the end of an answer; otherwise the answer was abandoned."""


ENDED: Mapping[FinishReason, str] = {
    "error": "no answer", "interrupted": "an answer broke off", "stopped": "an answer was stopped",
    "limited": "not asked: a limit is met",
}  # fmt: skip
"""The log's message for the end of an answer; every other finish reason is an answer."""
FAILED = "Something went wrong with this answer. Please try again."


class Generations:
    """All answers of this process that run or ended recently. `at_end` is awaited on their loop before it ends, to
    close shared resources. `stop_unwatched_s`: an answer is stopped once no page of this process has shown it for
    this many seconds; None: it continues."""

    def __init__(
        self,
        journal: Journal,
        at_end: Callable[[], Awaitable[object]] | None = None,
        stop_unwatched_s: float | None = None,
    ) -> None:
        self._journal, self._at_end, self._stop_unwatched_s = journal, at_end, stop_unwatched_s
        self._answers: dict[str, Answer] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[object]] = set()
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="generations", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """The number of running answers."""
        return sum(answer.completion is None for answer in list(self._answers.values()))

    def end(self, visitor_id: str, conversation_id: str | None) -> None:
        """Stop the answers of one conversation of a visitor, or of all, and drop ended ones."""
        for answer in list(self._answers.values()):
            theirs = answer.visitor_id == visitor_id
            if theirs and conversation_id in (None, answer.question.conversation_id):
                answer.stop()
                if answer.completion is not None:
                    self._answers.pop(answer.question.answer_id, None)

    def get(self, answer_id: str) -> Answer | None:
        """Return an answer of this process while it runs and for a little while after."""
        return self._answers.get(answer_id)

    def start(
        self, question: Question, visitor_id: str, stream: Callable[[], AnswerStream], journal: Journal | None = None
    ) -> Answer:
        """Begin an answer in the background; `stream` is called on the loop when its turn comes.

        It is recorded in its own `journal` where it has one.
        """
        answer = self._answers[question.answer_id] = Answer(question, visitor_id, journal or self._journal)
        answer._cancel = lambda: self._loop.call_soon_threadsafe(cancel)
        task: asyncio.Task[None] | None = None

        def begin() -> None:
            nonlocal task
            task = self._loop.create_task(self._answer(answer, stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if answer.stopping:  # by another thread, before there was a task to cancel
                cancel()

        def cancel() -> None:
            if task is not None and answer.completion is None:
                self._loop.call_soon(task.cancel)  # a task that is cancelled before its first step would never end

        self._loop.call_soon_threadsafe(begin)
        return answer

    def beside(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on the loop of the answers, whose connections it uses."""

        def begin() -> None:
            task = self._loop.create_task(work)
            self._beside.add(task)
            task.add_done_callback(self._done_beside)

        self._loop.call_soon_threadsafe(begin)

    def _done_beside(self, task: asyncio.Task[object]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("work beside the answers failed", exc_info=fault)

    def close(self, timeout: float = 3.0, grace: float = 0.0) -> None:
        """Let running answers continue for at most `grace` seconds, then stop them and keep their text; end the
        thread."""
        if self._thread.is_alive():
            ended = asyncio.run_coroutine_threadsafe(self._stop_all(grace), self._loop)
            try:
                ended.result(timeout + grace)
            except TimeoutError:
                log.warning("some answers did not end within %s s", timeout)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        unfinished = asyncio.all_tasks(self._loop)  # a busy machine may take longer than the end waits for them
        for task in unfinished:
            task.cancel()
        if unfinished:
            self._loop.run_until_complete(asyncio.wait(unfinished, timeout=UNFINISHED_S))
        self._loop.close()

    async def _stop_all(self, grace: float) -> None:
        self._closing, until = True, self._loop.time() + grace
        await asyncio.sleep(0)  # let every task make its first step
        while self.running and self._loop.time() < until:
            await asyncio.sleep(0.05)
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self._beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._at_end:
            await self._at_end()

    async def _answer(self, answer: Answer, stream: Callable[[], AnswerStream]) -> None:
        turn = self._turns.setdefault(answer.visitor_id, asyncio.Semaphore(AT_ONCE))
        source: AnswerStream | None = None
        failed = False
        beat = self._loop.create_task(self._beat(answer))
        try:
            async with turn:
                source = stream()
                async for piece in source:
                    answer._append(piece)
        except asyncio.CancelledError:
            pass  # stopped: the stream has closed itself and has its facts
        except Exception:
            failed = True
            log.exception("an answer failed", extra={"answer_id": answer.question.answer_id})
        finally:
            beat.cancel()
            self._end(answer, source, failed)
        await self._forget(answer, turn)

    async def _beat(self, answer: Answer) -> None:
        while True:
            await asyncio.sleep(PARTIAL_EVERY)
            answer._journal.partial(answer.question.answer_id, answer.text)
            if self._stop_unwatched_s is not None and answer.unwatched_s() > self._stop_unwatched_s:
                answer.unwatched = True
                answer.stop()
                return

    def _end(self, answer: Answer, source: AnswerStream | None, failed: bool) -> None:
        completion = _internal(answer) if failed else self._facts(answer, source)
        if completion.error or not answer.question.simulated:
            _log_end(answer, completion, source.cause if source else None)
        answer._end(completion, answer._journal.ended(answer.question, completion))

    def _facts(self, answer: Answer, source: AnswerStream | None) -> Completion:
        """Return the completion; an answer that the end of the process cut off was not stopped by its tester."""
        try:
            completion = source.completion if source else Completion("", "stopped", 0.0)
        except Exception:
            log.exception("an answer ended without facts", extra={"answer_id": answer.question.answer_id})
            completion = _internal(answer)
        if self._closing and completion.finish_reason == "stopped":
            return replace(completion, finish_reason="interrupted", error="Shutdown")
        return completion

    async def _forget(self, answer: Answer, turn: asyncio.Semaphore) -> None:
        """Keep an ended answer for returning pages; then note whether any came."""
        if not self._closing:
            with suppress(asyncio.CancelledError):  # the process ends
                await asyncio.sleep(GRACE)
        self._answers.pop(answer.question.answer_id, None)
        if not any(running.visitor_id == answer.visitor_id for running in list(self._answers.values())):
            self._turns.pop(answer.visitor_id, None)
        unseen = not answer.seen and answer.completion and answer.completion.finish_reason != "stopped"
        if (unseen or answer.unwatched) and not self._closing:
            answer._journal.abandoned(answer.question)


def _log_end(answer: Answer, completion: Completion, cause: str | None) -> None:
    """Log the end of an answer in one line."""
    seconds = completion.response_time
    log.log(
        logging.WARNING if completion.error else logging.INFO,
        ENDED.get(completion.finish_reason, "answered"),
        extra={
            "answer_id": answer.question.answer_id,
            "visitor_id": answer.visitor_id,
            "group": answer.question.assignment.group,
            "model": answer.question.model,
            "provider": completion.provider,
            "finish_reason": completion.finish_reason,
            "error": completion.error,
            "cause": cause,
            "first_token": completion.time_to_first_token and round(completion.time_to_first_token, 3),
            "seconds": round(seconds, 3) if math.isfinite(seconds) else None,
            "tokens": completion.usage.completion_tokens,
            "retries": completion.retries,
        },
    )


def _internal(answer: Answer) -> Completion:
    """Return the end of an answer through an error of our own. The log has the cause; the duration is unknown."""
    reason: FinishReason = "interrupted" if answer.text else "error"
    return Completion(answer.text, reason, math.nan, error="Internal", message=FAILED)
