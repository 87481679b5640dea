"""The command `python -m lib check`: reports for each part of Parley whether it works, and what to do if not.

Connects to the database, Statsig and the model server as the app does. Changes nothing that a start would not change;
exposes no unit, sends no event, pays for no answer.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from lib.access import data_folder
from lib.access.signing_key import key_file, signing_key
from lib.alerts.receivers import TEST, Receivers
from lib.commands.definitions import live_experiment, recorded
from lib.commands.finding import Finding, finding
from lib.commands.providers import provider_findings
from lib.domain.visitor import Visitor
from lib.experiments.book import canonical, changed_since, read_book
from lib.experiments.evaluator import DefinitionError, Experiments
from lib.experiments.statuses import acting_sentence, status_sentence, unit_sentence
from lib.logs import scrub
from lib.models.parameters import check_parameters
from lib.settings import Settings, SettingsError
from lib.store import Store, StoreError

STATSIG_WITHIN_S = 10.0
"""Seconds that Statsig may take to serve its definitions."""
NOBODY = Visitor("check", "check", "check", "check")


def findings(
    settings: Settings, origins: Mapping[str, Sequence[str]] | None = None, *, send_alert: bool = False
) -> Iterator[Finding]:
    """Yield the findings one by one as they are made. `send_alert` sends a test message to the receivers of alerts."""
    for item in chain(_all_findings(settings, origins or {}), _alerts(settings, send_alert)):
        yield replace(item, says=scrub(item.says, settings.secrets()))


def _all_findings(settings: Settings, origins: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    yield _settings(settings)
    for place, names in origins.items():
        yield finding("settings", True, f"{place} sets {_names(names) or 'nothing'}")
    yield from _database(settings)
    definition = None
    try:
        opened = Experiments.open(
            settings.experiments_file,
            api_url=settings.statsig_api_url,
            tier=settings.statsig_tier,
            key=settings.statsig_secret_key.get_secret_value() if settings.statsig_secret_key else None,
        )
    except DefinitionError as error:
        yield from (finding("experiments", False, problem) for problem in error.problems)
    else:
        with closing(opened) as experiments:
            yield finding("experiments", True, f"{settings.experiments_file} defines {_names(experiments.definitions)}")
            if settings.statsig_secret_key:
                yield _statsig(experiments)
            name = settings.experiment
            with suppress(StoreError), recorded(settings) as store:
                if store is not None:
                    yield from _record(settings, store, experiments)
                    name = live_experiment(settings, store)
            yield from _experiment(settings, experiments, name)
            definition = experiments.definition(name)
    yield from provider_findings(settings, definition)


def _alerts(settings: Settings, send: bool) -> Iterator[Finding]:
    if not settings.alerts:
        return
    try:
        receivers = Receivers(settings.alerts)
    except SettingsError as error:
        yield from (finding("alerts", False, problem) for problem in error.problems)
        return
    if not send:
        yield finding("alerts", True, f"{_names(receivers.kinds)}: set; `check --alerts` sends a test message")
        return
    title, text = TEST
    for place, accepted in receivers.send(f"{settings.title}: {title}", text):
        outcome = "took a test message" if accepted else "did not take the test message: look at its address"
        yield finding("alerts", accepted, f"{receivers.kinds[place]} {outcome}")


def _settings(settings: Settings) -> Finding:
    """Check the signing key. It is read if it exists but never created, because the file would belong to this user."""
    file = key_file(settings)
    if file is not None and file.exists():
        try:
            signing_key(settings)
        except SettingsError as error:
            return finding("settings", False, str(error))
    return finding("settings", True, "every name is known, every value possible")


def _database(settings: Settings) -> Iterator[Finding]:
    """Check disk and database. A missing SQLite file is not created, for the same reason as the signing key."""
    file = settings.database_file
    if file is not None:
        if trouble := data_folder.shortage(file):
            yield finding("disk", False, trouble)
        if not file.exists():
            yield _folder(file)
            return
    try:
        with closing(Store.open(settings.database_url)) as store:
            trouble = store.trouble
    except StoreError as error:
        trouble = str(error)
    yield finding("database", not trouble, trouble or f"{settings.database} can be written")


def _folder(file: Path) -> Finding:
    owner = data_folder.foreign_owner(file)
    if owner is not None:
        return finding(
            "database", True, f"{file} is made at the first start; its folder belongs to {owner}, who must run Parley"
        )
    return finding("database", True, f"{file} is made at the first start, by the user who runs Parley")


def _statsig(experiments: Experiments) -> Finding:
    deadline = time.monotonic() + STATSIG_WITHIN_S
    while experiments.source.name != "network" and not experiments.source.error and time.monotonic() < deadline:
        time.sleep(0.05)
    source = experiments.source
    if source.name == "network":
        return finding("statsig", True, "serves its definitions")
    cause = source.error or f"no answer within {STATSIG_WITHIN_S:.0f} s"
    return finding(
        "statsig",
        False,
        f"{cause}: check STATSIG_SECRET_KEY, STATSIG_API_URL and the way out of this network; until "
        "then the local experiments decide, and events wait",
    )


def _record(settings: Settings, store: Store, experiments: Experiments) -> Iterator[Finding]:
    """Let the record decide, as it does in the app, and report where the file says something else."""
    file = experiments.definitions
    with store.read() as connection:
        book = read_book(connection)
    experiments.follow(book, settings.experiment)
    for name, row in book.items():
        if name in file and row.version is not None and changed_since(row, canonical(file[name])):
            state = f"version {row.version.number} by {row.version.author} is in force; the file changed after it"
            yield finding("experiments", True, f"{name}: {state}, and the next start takes the file")


def _experiment(settings: Settings, experiments: Experiments, name: str) -> Iterator[Finding]:
    definition = experiments.definition(name)
    if experiments.assign(NOBODY, name).rule_id == "":
        source = "Statsig has" if experiments.source.name == "network" else f"{settings.experiments_file} has"
        yield finding(
            "experiment", False, f"{source} no experiment or layer named {name}: create it, or set PARLEY_EXPERIMENT"
        )
        return
    groups = definition.groups if definition else ()
    yield finding("experiment", True, f"{name} compares {_names(group.name for group in groups) or 'no groups yet'}")
    if definition and definition.unknown_unit:
        yield finding("experiment", False, f"{name}: {unit_sentence(definition.unknown_unit)}")
    if settings.statsig_secret_key and (note := status_sentence(experiments.status(name), str)):
        yield finding("experiment", True, f"{name}: {note}")
    if definition and (note := acting_sentence(definition, served=settings.statsig_secret_key is not None)):
        yield Finding("experiment", "warn" if settings.statsig_secret_key else "ok", f"{name}: {note}")
    for group in groups:
        default = definition.default if definition else {}
        if bad := check_parameters(group.parameters, default, settings.model, settings.provider_names).error:
            yield finding(
                "experiment",
                False,
                f"{name}, group {group.name}: {bad} cannot be sent as it is, and the default is: "
                "mend its name, type or range",
            )


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
