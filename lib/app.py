"""The parts, wired together from the settings. The server's lifespan, the operator's tool and the tests open and close
them; every other module receives the parts that it needs.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lib import logs
from lib.access.budgets import Budgets
from lib.access.crowd import Crowd
from lib.alerts.watch import Watch
from lib.chat.comparisons import Comparisons
from lib.chat.conversations import Conversations
from lib.chat.generation import Generations
from lib.chat.recorder import Recorder, Texts
from lib.chat.rescue import Rescue
from lib.chat.standings import ServedGroups, Standings
from lib.chat.trials import Trials
from lib.domain.clock import now_ms
from lib.domain.providers import OPENAI, OPENAI_URL, Provider
from lib.experiments.acts import Acts
from lib.experiments.delivery import Dispatcher
from lib.experiments.evaluator import Experiments
from lib.experiments.statuses import status_sentence
from lib.metrics.counters import Metrics
from lib.metrics.gauges import Gauges
from lib.models.completion import Timeouts
from lib.models.providers import Asking, Providers
from lib.readout.results import guard, split_evidence
from lib.settings import Settings
from lib.store import Store, StoreError, partitions

log = logging.getLogger("parley")

HOUSEKEEPING_EVERY = 10.0
"""Seconds between two searches for answers that a process left behind and for expired text."""
FOLLOW_EVERY = 2.0
"""Seconds between two looks for a new version of an experiment, and for a start or an end that is due."""

ABANDONED_S = 60.0
"""Seconds without a page after which an answer is stopped, where abandoned answers are stopped."""
GRACE_S = 15.0
"""Seconds that running answers get to finish at shutdown, where another replica shows them meanwhile."""


def providers_of(settings: Settings, demo_url: str | None) -> list[Provider]:
    """Return the providers, the default one first. The demo model stands in for all of them, under the names and with
    the prices of their models."""
    named = list(settings.providers) or [Provider(OPENAI, OPENAI_URL)]
    if demo_url is None:
        return named
    return [Provider(each.name, demo_url, priced_as=each.base_url) for each in named]


class Housekeeping:
    """A thread that runs the same chores every few seconds until it is closed."""

    def __init__(self, every_s: float = HOUSEKEEPING_EVERY, name: str = "housekeeping") -> None:
        self._every_s, self._name = every_s, name
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, chores: Callable[[], object]) -> None:
        """Run the chores now, and again every few seconds. The writer, not this thread, logs a store that is away."""

        def keep() -> None:
            while not self._closing.is_set():
                try:
                    chores()
                except StoreError:
                    pass
                except Exception:
                    log.warning("%s failed", self._name, exc_info=True)
                self._closing.wait(self._every_s)

        self._thread = threading.Thread(target=keep, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Begin no further round. Returns False if already stopped."""
        first = not self._closing.is_set()
        self._closing.set()
        return first

    def join(self) -> None:
        """Wait briefly for the current round."""
        if self._thread:
            self._thread.join(2)


@dataclass(frozen=True, kw_only=True)
class App:
    """One open Parley. `demo` is True where the built-in demo model answers."""

    settings: Settings
    demo: bool
    store: Store
    experiments: Experiments
    acts: Acts
    models: Providers
    generations: Generations
    conversations: Conversations
    comparisons: Comparisons
    recorder: Recorder
    metrics: Metrics
    budgets: Budgets
    rescue: Rescue
    trials: Trials
    served_groups: ServedGroups
    standings: Standings
    delivery: Dispatcher | None
    alerts: Watch | None
    housekeeping: Housekeeping
    following: Housekeeping

    @property
    def experiment(self) -> str:
        """The experiment that testers get."""
        return self.experiments.live or self.settings.experiment

    @classmethod
    def open(cls, settings: Settings, demo_url: str | None = None, crowd: Crowd | None = None) -> "App":
        """Open every part. `demo_url` is the demo model's address where it answers. `crowd` holds the limits of an open
        link.

        Raises StoreError when the database cannot be used and DefinitionError when the local experiments are broken.
        """
        logs.configure(settings.log, settings.log_level, settings.secrets())
        metrics = Metrics()
        store = _open_store(settings, metrics)
        experiments = _open_experiments(settings, store)
        acts = _open_acts(settings, store, experiments)
        models = _open_models(settings, demo_url)
        texts = None if settings.keep_text else Texts()
        recorder = Recorder(store, metrics, texts)
        stop_s = ABANDONED_S if settings.stops_abandoned else None
        generations = Generations(recorder, at_end=models.aclose, stop_unwatched_s=stop_s)
        budgets = Budgets(store.spending, settings.budget_usd_per_day, settings.budget_answers_per_visitor)
        conversations = Conversations(
            experiment=settings.experiment,
            store=store,
            experiments=experiments,
            models=models,
            generations=generations,
            metrics=metrics,
            budgets=budgets,
            texts=texts,
            crowd=crowd,
        )
        comparisons = Comparisons(conversations, store, experiments, texts)
        if texts is not None:
            metrics.gauge("parley_texts_in_memory", "Answers whose texts are in memory only", texts.__len__)
        delivery = Dispatcher(store.outbox, experiments, metrics) if settings.statsig_secret_key is not None else None
        groups = ServedGroups(settings.experiment, experiments, models, conversations.preparation)
        standings = Standings(models, generations, groups.parameters, demo_url is not None)
        app = cls(
            settings=settings,
            demo=demo_url is not None,
            store=store,
            experiments=experiments,
            acts=acts,
            models=models,
            generations=generations,
            conversations=conversations,
            comparisons=comparisons,
            recorder=recorder,
            metrics=metrics,
            budgets=budgets,
            rescue=Rescue(store, recorder),
            trials=Trials(store, models, generations, budgets),
            served_groups=groups,
            standings=standings,
            delivery=delivery,
            alerts=Watch.open(settings, store, experiments, standings, delivery),
            housekeeping=Housekeeping(),
            following=Housekeeping(FOLLOW_EVERY, "following"),
        )
        app._begin()
        return app

    def close(self) -> None:
        """Finish or save running answers, deliver what can be delivered in time, end every thread. Safe to call
        twice."""
        if not self.housekeeping.stop():
            return
        self.following.stop()
        self.generations.close(grace=GRACE_S if self.store.shared else 0.0)
        self.housekeeping.join()
        self.following.join()
        if self.alerts:
            self.alerts.close()
        if self.delivery:
            self.delivery.close()
        self.experiments.close()
        self.store.close()

    def _begin(self) -> None:
        if self.budgets.usd_per_day is not None:
            self.store.spending.begin_day()
            self.served_groups.log_unpriced()
        self.metrics.gauge("parley_streams_active", "Answers under way", lambda: self.generations.running)
        self.experiments.on_change(self.note_served)
        Gauges(self.store, self.split_evidence, self.settings.budget_usd_per_day).serve(self.metrics)
        self.housekeeping.begin(self._keep_house)
        self.following.begin(self._follow)
        if self.alerts:
            self.alerts.begin()

    def _keep_house(self) -> None:
        self.rescue.sweep()
        self.served_groups.log_same()
        self.comparisons.look()
        self.note_served()
        self.guard()
        self.store.write(lambda connection: partitions.prepare(connection, now_ms()))
        self.store.purge(self.settings.retention_days)
        self.store.forget_deleted()

    def _follow(self) -> None:
        """Apply what another replica changed, do what is due, and look at the experiments file."""
        self.acts.look_at_file()
        self.acts.refresh()
        self.acts.keep_schedule()

    def note_served(self) -> None:
        """Record the definition that Statsig serves. A change that breaks comparability begins another run."""
        name = self.experiment
        if self.settings.statsig_secret_key is None or self.experiments.source.name != "network":
            return
        if definition := self.experiments.definition(name):
            with contextlib.suppress(StoreError):
                self.acts.note(name, definition, status_sentence(definition.status, str) or "")

    def guard(self) -> None:
        """Switch off the groups that harm a guardrail that acts."""
        definition = self.experiments.definition(self.experiment)
        if definition is not None and definition.stop_on and self.settings.statsig_secret_key is None:
            guard(self.store, self.acts, definition, now_ms())

    def split_evidence(self) -> tuple[str, float | None]:
        """Return the experiment that testers get, and the evidence that its groups are not split as configured; None
        without exposures."""
        name = self.experiment
        definition = self.experiments.definition(name)
        return name, split_evidence(self.store.read, definition, now_ms()) if definition else None

    def trouble(self) -> str | None:
        """Return the reason why this replica cannot serve, or None."""
        return self.store.trouble

    def state(self) -> dict[str, object]:
        """Return for `/readyz` the source of definitions, the state of Statsig, and True where the demo model answers.

        None of these makes a replica unready.
        """
        source = self.experiments.source
        statsig = source.error or (self.delivery and self.delivery.error)
        return {"definitions": source.name, "statsig": statsig or "ok", "demo": self.demo}


def _open_store(settings: Settings, metrics: Metrics) -> Store:
    """Return the store, which delivers events where there is a Statsig key. Raises StoreError."""
    return Store.open(
        settings.database_url,
        keep_text=settings.keep_text,
        deliver=settings.statsig_secret_key is not None,
        tier=settings.statsig_tier,
        meter=metrics,
    )


def _open_experiments(settings: Settings, store: Store) -> Experiments:
    """Return the evaluator, which keeps what Statsig serves in the store. Raises DefinitionError."""
    key = settings.statsig_secret_key
    return Experiments.open(
        settings.experiments_file,
        key=key.get_secret_value() if key else None,
        api_url=settings.statsig_api_url,
        tier=settings.statsig_tier,
        cached=store.definitions("statsig"),
        keep=lambda specs: store.keep_definitions("statsig", specs),
    )


def _open_acts(settings: Settings, store: Store, experiments: Experiments) -> Acts:
    """Return the acts, seeded by the experiments file; the evaluator follows them."""
    follow = partial(experiments.follow, setting=settings.experiment)
    served = settings.statsig_secret_key is not None
    acts = Acts(store, settings.provider_names, follow, served=served, file=settings.experiments_file)
    acts.seed(experiments.definitions, settings.experiment)
    return acts


def _open_models(settings: Settings, demo_url: str | None) -> Providers:
    asking = Asking(settings.model, settings.history_tokens, Timeouts.patient(settings.first_token_s))
    return Providers(providers_of(settings, demo_url), asking)
