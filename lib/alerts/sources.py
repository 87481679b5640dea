"""The parts of the app that a watch reads, apart from the record."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lib.alerts.news import Alert, of_guards, of_models
from lib.chat.standings import Standings
from lib.domain.budget import EVERYBODY, Account
from lib.domain.clock import DAY_MS, now_ms
from lib.experiments.delivery import Dispatcher
from lib.experiments.evaluator import Experiments
from lib.readout.results import current
from lib.readout.verdicts import Readout
from lib.settings import Settings
from lib.store import Store, audit


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts that a watch reads, apart from the record.

    `budget_usd` is the day's, None without one; `title` names the app in a message; `public_url` is the address of its
    pages.
    """

    readout: Callable[[], Readout | None]
    spent_usd: Callable[[], float]
    budget_usd: float | None
    delivery_error: Callable[[], str | None]
    models: Callable[[], Iterable[Alert]]
    guards: Callable[[], Iterable[Alert]]
    title: str
    public_url: str


def sources_of(
    settings: Settings,
    store: Store,
    experiments: Experiments,
    standings: Standings,
    delivery: Dispatcher | None,
) -> Sources:
    """Return the sources of an open app."""

    def readout() -> Readout | None:
        definition = experiments.definition(experiments.live or settings.experiment)
        return current(store, definition, False, now_ms()) if definition else None

    def spent_usd() -> float:
        today = Account("day", EVERYBODY, now_ms() // DAY_MS)
        return store.spending.spent([today])[today].usd

    def models() -> Iterator[Alert]:
        standings.refresh()
        return of_models(standings.worries())

    def guards() -> Iterator[Alert]:
        with store.read() as connection:
            acts = list(audit.entries(connection, act="guardrail", limit=10))
        return of_guards(act for act in acts if act.time_ms > now_ms() - DAY_MS)

    return Sources(
        readout=readout,
        spent_usd=spent_usd,
        budget_usd=settings.budget_usd_per_day,
        delivery_error=lambda: delivery.error if delivery else None,
        models=models,
        guards=guards,
        title=settings.title,
        public_url=settings.public_url,
    )
