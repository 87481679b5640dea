"""The load of many events a second on the chat path, in one open app without pages.

    python -m tests.load.recorder EVENTS_PER_S SECONDS

Settings come from the environment. The process asks one question after the other, each of a new visitor, first without
and then with the events, and prints its measures as one JSON line. Questions take the path of the pages
(`Conversations.ask`), and the events go through the same writer as the answers.
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
    """Ask a question; return the seconds to the first text of its answer, and those to the commit of its end."""
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
    """Ask questions for a number of seconds; return the durations of each."""
    began, seen = time.monotonic(), []
    while time.monotonic() < began + seconds:
        seen.append(ask(app))
    return {"first_s": [first for first, _ in seen], "committed_s": [committed for _, committed in seen]}


class Recording(threading.Thread):
    """A thread that hands over `per_s` events a second until `stop`.

    `handed_over` counts the events, `queued` is the longest queue, `seconds` the time until the last was committed.
    """

    def __init__(self, app: App, per_s: float) -> None:
        super().__init__(daemon=True)
        self._app, self._per_s, self._over = app, per_s, threading.Event()
        self.handed_over, self.seconds, self.queued = 0, 0.0, 0

    def run(self) -> None:
        """Hand over testers' signals, each as a fact of its own, as pages do."""
        began, store = time.monotonic(), self._app.store
        last = store.events.record([_event()])
        while not self._over.wait(TICK_S):
            due = int((time.monotonic() - began) * self._per_s)
            while self.handed_over < due:
                self.handed_over += 1
                last = store.events.record([_event()])
            self.queued = max(self.queued, store.queued)
        assert last.wait(30)
        self.seconds = time.monotonic() - began

    def stop(self) -> None:
        """End the events and wait until the last is committed."""
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
    told = {"told": recording.handed_over, "seconds": recording.seconds, "queued": recording.queued}
    print(json.dumps({"without": without, "with": with_events, **told}), flush=True)


if __name__ == "__main__":
    main()
