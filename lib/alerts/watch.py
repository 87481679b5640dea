"""The process's watch for news: a thread that looks once a minute, notes new alerts and sends them.

Of several replicas one looks at a time, and one sends each alert. A receiver that hangs delays only this thread; a
message that it did not take is sent again.
"""

import logging
import threading
from collections.abc import Iterable

from lib.alerts import news
from lib.alerts.news import Alert
from lib.alerts.receivers import Receivers
from lib.alerts.sources import Sources, sources_of
from lib.chat.standings import Standings
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.record import StoreError
from lib.experiments.delivery import Dispatcher
from lib.experiments.evaluator import Experiments
from lib.settings import Settings
from lib.store import Store

log = logging.getLogger("parley.alerts")

LOOK_EVERY_S = 60.0
"""Seconds between two looks of a process."""
TURN_S = 30.0
"""Seconds between two looks of all replicas together."""


class Watch:
    """One process's watch. `begin` looks once a minute; `look` is a single look."""

    @classmethod
    def open(
        cls,
        settings: Settings,
        store: Store,
        experiments: Experiments,
        standings: Standings,
        delivery: Dispatcher | None,
    ) -> "Watch | None":
        """Return the watch of a process; None without a receiver. Raises SettingsError."""
        if not settings.alerts:
            return None
        sources = sources_of(settings, store, experiments, standings, delivery)
        return cls(store, Receivers(settings.alerts), sources)

    def __init__(self, store: Store, receivers: Receivers, sources: Sources) -> None:
        self._store, self._receivers, self._sources = store, receivers, sources
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    @property
    def kinds(self) -> list[str]:
        """The kind of every receiver."""
        return self._receivers.kinds

    def reached_operators(self, ended_ms: int, kind: str, gone: tuple[str, str] | None = None) -> bool:
        """Return True where an alert about an answer that failed at this moment has reached an operator. `kind`: the
        class of its error; `gone`: provider and name of a model that failed because it does not exist.

        An alert about failing answers covers answers that ended within `FAILING_S` before it. For a day it also covers
        later failures of the same kinds, because no further alert is sent about them. An alert about a missing model
        covers every later answer. Raises StoreError.
        """
        models = [news.model_key(*gone, state) for state in ("missing", "gone")] if gone else []
        if models and self._store.alerts.reached(models):
            return True
        return any(
            alert.reached
            and alert.time_ms <= ended_ms + 1_000 * news.FAILING_S
            and kind[: news.KIND_LENGTH] in news.kinds_of(alert.key)
            for alert in self._store.alerts.noted(news.ANSWERS, ended_ms - DAY_MS)
        )

    def begin(self) -> None:
        """Start the thread that looks once a minute until the watch is closed."""
        self._thread.start()

    def close(self) -> None:
        """Begin no further look, and wait a moment for the one under way."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def look(self) -> None:
        """Note new alerts, and send those that are due. Raises StoreError."""
        if self._store.take_turn("alerts", round(TURN_S * 1_000), now_ms()):
            for alert in self._news():
                self._store.alerts.note(alert.key, alert.title, alert.text, alert.page)
        self._send()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_EVERY_S):
            try:
                self.look()
            except StoreError:
                pass  # the writer has logged it
            except Exception:
                log.warning("the look for news failed", exc_info=True)

    def _news(self) -> Iterable[Alert]:
        day, since_ms = news.day_of(now_ms()), now_ms() - round(news.FAILING_S * 1_000)
        yield from self._failing(since_ms, day)
        if self._sources.budget_usd is not None:
            yield from news.of_budget(self._sources.spent_usd(), self._sources.budget_usd, day)
        pending, oldest_s = self._store.outbox.pending()
        yield from news.of_delivery(pending, oldest_s, self._sources.delivery_error(), day)
        yield from self._sources.models()
        yield from self._sources.guards()
        if (readout := self._sources.readout()) is not None:
            yield from news.of_readout(readout)

    def _failing(self, since_ms: int, day: str) -> Iterable[Alert]:
        alerts = self._store.alerts
        answers, failed = alerts.lately(since_ms)
        if not news.many_fail(answers, failed):
            return
        known = {kind for alert in alerts.noted(news.answers_key(day), 0) for kind in news.kinds_of(alert.key)}
        kinds = [kind for kind in alerts.kinds(since_ms) if kind[: news.KIND_LENGTH] not in known]
        yield from news.of_answers(answers, failed, kinds, day)

    def _send(self) -> None:
        for alert in self._store.alerts.due():
            title = f"{self._sources.title}: {alert.title}"
            text = f"{alert.text}\n{self._sources.public_url}/{alert.page}"
            reached = list(alert.reached)
            for place, accepted in self._receivers.send(title, text, except_for=alert.reached):
                if accepted:
                    reached.append(place)
                    complete = len(reached) == len(self._receivers.kinds)
                    self._store.alerts.attempted(alert.key, tuple(sorted(reached)), complete)
            if len(reached) == len(self._receivers.kinds):
                log.info("alert sent", extra={"alert": alert.key})
