"""The command `python -m lib plan`: how many testers the A/B test and comparisons need, and how long that takes.

Owns the printed table. The plan and its words are in `lib.planning`.
"""

from collections.abc import Iterator
from contextlib import closing

from lib.commands.definitions import find_definition, live_experiment
from lib.domain.clock import now_ms
from lib.experiments.definitions import Definition
from lib.planning.plans import plan, setting_of
from lib.planning.recommendation import assumptions, difference, recommendation, rows
from lib.readout.results import current
from lib.readout.verdicts import Readout
from lib.settings import Settings
from lib.store import Store


def planned(settings: Settings, experiment: str | None, **given: float | None) -> Iterator[str]:
    """The plan for an experiment (None: the live one) as lines. `given`: what the operator says, see `setting_of`.

    Raises DefinitionError, ReportError, PlanError, StoreError.
    """
    definition, readout = _known(settings, experiment)
    found = plan(setting_of(definition, readout, **given))
    yield f"{definition.name}: {difference(found.setting)}"
    yield ""
    table = [("", "testers", "days"), *rows(found)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    for name, *figures in table:
        yield "  ".join([name.ljust(widths[0]), *(one.rjust(w) for one, w in zip(figures, widths[1:], strict=True))])
    yield ""
    yield recommendation(found)
    yield from (f"- {one}" for one in assumptions(found.setting))


def _known(settings: Settings, experiment: str | None) -> tuple[Definition, Readout | None]:
    """The experiment, and its readout where there is a database already."""
    file = settings.database_file
    if file is not None and not file.exists():
        return find_definition(settings, experiment or settings.experiment), None
    with closing(Store.open(settings.database_url)) as store:
        definition = find_definition(settings, experiment or live_experiment(settings, store), store)
        return definition, current(store, definition, False, now_ms())
