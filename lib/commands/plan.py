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


def planned(settings: Settings, experiment: str | None, **values: float | None) -> Iterator[str]:
    """Yield the plan for an experiment (None: the live one) as lines. `values` are the operator's, see `setting_of`.

    Raises DefinitionError, UsageError, PlanError, StoreError.
    """
    definition, readout = _measured(settings, experiment)
    tester_plan = plan(setting_of(definition, readout, **values))
    yield f"{definition.name}: {difference(tester_plan.setting)}"
    yield ""
    table = [("", "testers", "days"), *rows(tester_plan)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    for name, *figures in table:
        yield "  ".join([name.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(figures, widths[1:], strict=True))])
    yield ""
    yield recommendation(tester_plan)
    yield from (f"- {assumption}" for assumption in assumptions(tester_plan.setting))


def _measured(settings: Settings, experiment: str | None) -> tuple[Definition, Readout | None]:
    """Return the experiment, and its readout if there is a database already."""
    file = settings.database_file
    if file is not None and not file.exists():
        return find_definition(settings, experiment or settings.experiment), None
    with closing(Store.open(settings.database_url)) as store:
        definition = find_definition(settings, experiment or live_experiment(settings, store), store)
        return definition, current(store, definition, False, now_ms())
