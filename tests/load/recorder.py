"""A thousand events a second beside questions, in one open app without pages: whether the chat path notices.

    python -m tests.load.recorder EVENTS_PER_S SECONDS

Settings come from the environment. Asks one question after the other, each of a new visitor, first without and then
with the events; prints what it saw as one JSON line. Questions go the pages' own way (`Conversations.ask`), and the
events go through the same writer as the answers.
"""

import json
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from lib.app import App
from lib.domain.clock import now_ms
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.domain.visitor import Visitor
from lib.settings import load

TICK_S = 0.02


def ask(app: App) -> tuple[float, float]:
    """Seconds to the first text of an answer, and for its end to be committed."""
    visitor_id = new_id()
    visitor = Visitor(visitor_id, visitor_id, visitor_id, new_id(), {})
    began = time.monotonic()
    _, answer = app.conversations.ask(visitor, None, f"q{visitor_id} How is it?", set())
    news = answer.follow()
    while not news(5.0, 0.0):
        pass
    first_s = time.monotonic() - began
    answer.stop()
    while news(5.0, 0.0) is not None:
        pass
    answer.seen = True
    ended = time.monotonic()
    assert answer.receipt
    assert answer.receipt.wait(10)
    return first_s, time.monotonic() - ended


def ask_for(app: App, seconds: float) -> dict[str, list[float]]:
    """Return the durations of questions asked for a number of seconds."""
    began, seen = time.monotonic(), []
    while time.monotonic() < began + seconds:
        seen.append(ask(app))
    return {"first_s": [first for first, _ in seen], "committed_s": [committed for _, committed in seen]}


class Recording(threading.Thread):
    """Hands over so many events a second until it is told to stop; knows how many were committed, and the queue."""

    def __init__(self, app: App, per_s: float) -> None:
        super().__init__(daemon=True)
        self._app, self._per_s, self._over = app, per_s, threading.Event()
        self.told, self.seconds, self.queued = 0, 0.0, 0

    def run(self) -> None:
        """Signals of testers, one fact each, as pages hand them over."""
        began, store = time.monotonic(), self._app.store
        last = store.events.record([_event()])
        while not self._over.wait(TICK_S):
            due = int((time.monotonic() - began) * self._per_s)
            while self.told < due:
                self.told += 1
                last = store.events.record([_event()])
            self.queued = max(self.queued, store.queued)
        assert last.wait(30)
        self.seconds = time.monotonic() - began

    def stop(self) -> None:
        """Until the last of them is committed."""
        self._over.set()
        self.join()


def _event() -> Event:
    event_id, unit = new_id(), new_id()
    ids = {"userID": unit, "stableID": unit, "sessionID": unit}
    metadata = {"event_id": event_id, "answer_id": unit, "conversation_id": unit, "turn": 1, "model": "large-model"}
    return Event(event_id, "copied", now_ms(), unit, 1, metadata, ids)


def main() -> None:
    per_s, seconds = float(sys.argv[1]), float(sys.argv[2])
    with closing(App.open(load(dict(os.environ), Path("no-secrets.toml")))) as app:
        ask_for(app, 2)
        without = ask_for(app, seconds)
        recording = Recording(app, per_s)
        recording.start()
        with_events = ask_for(app, seconds)
        recording.stop()
    told = {"told": recording.told, "seconds": recording.seconds, "queued": recording.queued}
    print(json.dumps({"without": without, "with": with_events, **told}), flush=True)


if __name__ == "__main__":
    main()
