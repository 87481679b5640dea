"""One answer of this process: its stream, the journal that records it, and the pages that follow it."""

import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.pieces import Anew
from lib.domain.record import Receipt


class AnswerStream(Protocol):
    """The source of an answer: iterate it for text, then read its facts."""

    @property
    def completion(self) -> Completion: ...
    @property
    def cause(self) -> str | None: ...
    def __aiter__(self) -> AsyncIterator[str]: ...


class Ended:
    """A stream that ended before it began: no model was asked."""

    cause: str | None = None

    def __init__(self, completion: Completion) -> None:
        self.completion = completion

    def __aiter__(self) -> AsyncIterator[str]:
        """Return itself, an empty iterator."""
        return self

    async def __anext__(self) -> str:
        """Raise StopAsyncIteration."""
        raise StopAsyncIteration


class Journal(Protocol):
    """The record of answers."""

    def partial(self, answer_id: str, text: str) -> object: ...
    def ended(self, question: Question, completion: Completion) -> Receipt: ...
    def abandoned(self, question: Question) -> None: ...


class Answer:
    """One answer, running or ended. Thread-safe."""

    def __init__(self, question: Question, visitor_id: str, journal: Journal) -> None:
        self.question, self.visitor_id, self._journal = question, visitor_id, journal
        self.completion: Completion | None = None
        self.receipt: Receipt | None = None
        self.ended_ms = 0
        self.seen = False
        """True once a page was there at its end. The follower sets it, because it may outlive its reader."""
        self.began = time.monotonic()
        self.unwatched = False
        """True when it was stopped because no page showed it."""
        self.stopping = False
        """True once `stop` was called."""
        self._watched_at = time.monotonic()
        self._pieces: list[str] = []
        self._start = 0  # the piece with which the answer begins: everything before it was withdrawn
        self._news, self._over = threading.Condition(), threading.Event()
        self._cancel: Callable[[], object] = lambda: None
        self._listeners: list[Callable[[bool], object]] = []

    def listen(self, listener: Callable[[bool], object]) -> None:
        """Call `listener` at once when text arrives (False) and when the answer ends (True), on the answers' loop."""
        self._listeners.append(listener)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces[self._start :])

    def follow(self, watching: Callable[[], bool] = lambda: True) -> Callable[[float, float], str | None]:
        """Return a function that waits for new text and returns it ("" if none came), or None when the answer has ended
        and all text was returned.

        Its first argument is the longest wait in seconds, its second the shortest time between two pieces; the last
        piece is never delayed. The text
        is `Anew` where it replaces all text that was returned before. `watching` returns False once the reader is gone.
        """
        returned = 0

        def news(timeout: float, pace: float = 0.0) -> str | None:
            nonlocal returned
            if watching():
                self._watched_at = time.monotonic()
            if returned and pace:
                self._over.wait(pace)  # not the condition, which would wake this thread for every piece between
            with self._news:
                self._news.wait_for(lambda: len(self._pieces) > returned or self.completion is not None, timeout)
                count, ended = len(self._pieces), self.completion is not None
                again, pieces = self._start >= returned > 0, self._pieces[max(returned, self._start) :]
            if ended and count == returned:
                return None
            returned = count
            return Anew("".join(pieces)) if again else "".join(pieces)

        return news

    def unwatched_s(self) -> float:
        """Return the seconds since a page showed it."""
        return time.monotonic() - self._watched_at

    def stop(self) -> None:
        """End it now. The text so far is kept; the connection is closed in the background."""
        self.stopping = True
        self._cancel()

    def _append(self, piece: str) -> None:
        with self._news:
            if isinstance(piece, Anew):
                self._start = len(self._pieces)
            self._pieces.append(piece)
            self._news.notify_all()
        for listener in self._listeners:
            listener(False)

    def _end(self, completion: Completion, receipt: Receipt) -> None:
        with self._news:
            self.completion, self.receipt, self.ended_ms = completion, receipt, now_ms()
            self._news.notify_all()
        self._over.set()
        for listener in self._listeners:
            listener(True)
