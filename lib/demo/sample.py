"""Sample data for an empty page: simulated visitors, played in the background, as if over a week.

They use an app of their own with a faster demo model, so that no metric and no answer of the running app is touched;
only the store is shared, and everything that they write is marked as simulated.
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
"""Number of visitors, seed, lift and days; the treatment's visitors are 20 points more satisfied, so that the page has
a result to show."""
CLOSE_S = 10.0
"""Seconds that shutdown waits for visitors to leave."""


class _Enough(Exception):
    """Raised to stop the visitors when the process ends."""


class Sample:
    """The simulated visitors of one process. `done` of `users` have finished; `trouble` is the reason of a failure."""

    def __init__(self, settings: Settings, users: int = USERS) -> None:
        self._settings, self.users = settings, users
        self._thread: threading.Thread | None = None
        self._lock, self._closing = threading.Lock(), threading.Event()
        self.done, self.trouble = 0, ""

    @property
    def running(self) -> bool:
        """True while visitors are being played."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def share(self) -> float:
        """The share of visitors that have finished."""
        return self.done / self.users

    def play(self) -> None:
        """Start playing visitors, unless they are being played. Returns at once."""
        with self._lock:
            if not self.running:
                self.done, self.trouble = 0, ""
                self._thread = threading.Thread(target=self._play, name="sample", daemon=True)
                self._thread.start()

    def is_in(self, store: Store) -> bool:
        """Return True where there is simulated data. Raises StoreError."""
        return has_simulated(store)

    def remove(self, store: Store) -> int:
        """Delete all simulated data; return the number of rows. Raises StoreError."""
        return remove_simulated(store)

    def close(self) -> None:
        """Admit no further visitors."""
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
