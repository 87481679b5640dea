"""Several running answers followed at once by one page, so that neither waits for the other."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from lib.chat.running_answer import Answer


class Following:
    """The new text of some answers, for one follower. `watching` returns False once the reader is gone."""

    def __init__(self, answers: Sequence[Answer], watching: Callable[[], bool] = lambda: True) -> None:
        self._news, self._over = threading.Event(), threading.Event()
        self._news.set()  # text from before
        self._drawn = False
        self._heard: set[int] = set()  # the answers that have reported text or their end
        for at, answer in enumerate(answers):
            answer.listen(partial(self._hear, at))
        self._follow = [answer.follow(watching) for answer in answers]

    def pieces(self, timeout: float, pace: float = 0.0) -> list[str | None]:
        """Wait at most `timeout` seconds for news of any answer, and return the new text of each ("" if none); None for
        one that has ended and whose text was all returned.

        Leaves `pace` seconds between two pieces; neither the first words of an answer nor its end wait.
        """
        if self._drawn and pace:
            self._over.wait(pace)
            self._over.clear()
        self._news.wait(timeout)
        self._news.clear()
        pieces = [news(0.0, 0.0) for news in self._follow]
        self._drawn = any(pieces)
        return pieces

    def _hear(self, at: int, ended: bool) -> None:
        if ended or at not in self._heard:
            self._heard.add(at)
            self._over.set()
        self._news.set()
