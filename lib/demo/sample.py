"""Sample data for a page that has nothing to show yet: simulated visitors, played in the background, as if over a week.

They come to an app of their own in front of a faster demo model, so that no metric and no answer of the running app is
touched; only the store is the same, and everything in it is marked as simulated.
"""

import logging
import threading
from contextlib import closing

from lib.app import App
from lib.demo.server import serve
from lib.demo.visitors import SPEED, play
from lib.domain.clock import now_ms
from lib.settings import Settings
from lib.store import Store
from lib.store.simulated import has_simulated, remove_simulated, spread

log = logging.getLogger("parley")

USERS, SEED, LIFT, DAYS = 160, 1, 0.2, 7
"""So many visitors; the treatment's are 20 points more satisfied, so that the page has something to say."""
CLOSE_S = 10.0
"""How long the end waits for visitors to leave."""


class _Enough(Exception):
    """The process ends."""


class Sample:
    """One process' visitors. `done` of `users` have been there; `trouble` says why it did not work, if it did not."""

    def __init__(self, settings: Settings, users: int = USERS) -> None:
        self._settings, self.users = settings, users
        self._thread: threading.Thread | None = None
        self._lock, self._closing = threading.Lock(), threading.Event()
        self.done, self.trouble = 0, ""

    @property
    def running(self) -> bool:
        """Whether visitors are there now."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def share(self) -> float:
        """How far it has come, up to 1."""
        return self.done / self.users

    def play(self) -> None:
        """Let them come, unless they do already. Returns at once."""
        with self._lock:
            if not self.running:
                self.done, self.trouble = 0, ""
                self._thread = threading.Thread(target=self._play, name="sample", daemon=True)
                self._thread.start()

    def is_in(self, store: Store) -> bool:
        """Whether there is any simulated data. Raises StoreError."""
        return has_simulated(store)

    def remove(self, store: Store) -> int:
        """Delete everything simulated; how many rows went. Raises StoreError."""
        return remove_simulated(store)

    def close(self) -> None:
        """Nobody else comes."""
        self._closing.set()
        if self._thread:
            self._thread.join(CLOSE_S)

    def _play(self) -> None:
        began = now_ms()
        try:
            with serve(SPEED) as url, closing(App.open(self._settings, url)) as app:
                play(app, self.users, SEED, LIFT, self._progress)
                spread(app.store, DAYS, began)
        except _Enough:
            pass
        except Exception as error:
            self.trouble = f"Sample data could not be made: {error or type(error).__name__}"
            log.exception("sample data could not be made")

    def _progress(self, done: int) -> None:
        self.done = done
        if self._closing.is_set():
            raise _Enough
