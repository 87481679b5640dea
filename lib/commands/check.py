"""What `python -m lib check` finds: for each thing that Parley stands on, whether it works and what to do if not.

Asks the database, Statsig and the model server the way the app does. Changes nothing that a start would not; exposes
nobody, sends no event, pays for no answer.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lib import demo
from lib.access import data_folder
from lib.access.signing_key import key_file, signing_key
from lib.domain.visitor import Visitor
from lib.experiments.evaluator import Definition, DefinitionError, Experiments
from lib.experiments.statuses import status_sentence, unit_sentence
from lib.logs import scrub
from lib.models.completion import Models
from lib.models.faults import Fault
from lib.models.parameters import check_parameters
from lib.models.prices import PriceError, Prices
from lib.settings import Settings, SettingsError
from lib.store import Store, StoreError

STATSIG_WITHIN_S = 10.0
"""How long Statsig may take to serve its definitions."""
NOBODY = Visitor("check", "check", "check", "check")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing, and whether it works. `says` is the operator's line: what works, or what is wrong and what to do."""

    about: str
    ok: bool
    says: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'NO':<3} {self.about:<12} {' '.join(self.says.split())}"


def findings(settings: Settings, found: Mapping[str, Sequence[str]] | None = None) -> Iterator[Finding]:
    """One after the other, as they are found."""
    for finding in _found(settings, found or {}):
        yield Finding(finding.about, finding.ok, scrub(finding.says, settings.secrets()))


def _found(settings: Settings, found: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    yield _settings(settings)
    for place, names in found.items():
        yield Finding("settings", True, f"{place} sets {_names(names) or 'nothing'}")
    yield from _database(settings)
    models = [settings.model]
    try:
        opened = Experiments.open(
            settings.experiments_file, api_url=settings.statsig_api_url, tier=settings.statsig_tier,
            key=settings.statsig_secret_key.get_secret_value() if settings.statsig_secret_key else None,
        )  # fmt: skip
    except DefinitionError as error:
        yield from (Finding("experiments", False, problem) for problem in error.problems)
    else:
        with closing(opened) as experiments:
            yield Finding("experiments", True, f"{settings.experiments_file} defines {_names(experiments.definitions)}")
            if settings.statsig_secret_key:
                yield _statsig(experiments)
            yield from _experiment(settings, experiments)
            models = _models(settings, experiments.definition(settings.experiment))
    yield from _model_server(settings, models)
    yield from _prices(settings, models)


def _settings(settings: Settings) -> Finding:
    """The signing key is read where there is one, and never made: the file would belong to this user."""
    file = key_file(settings)
    if file is not None and file.exists():
        try:
            signing_key(settings)
        except SettingsError as error:
            return Finding("settings", False, str(error))
    return Finding("settings", True, "every name is known, every value possible")


def _database(settings: Settings) -> Iterator[Finding]:
    """An SQLite file that is missing is not made, for the same reason."""
    file = settings.database_file
    if file is not None:
        if trouble := data_folder.shortage(file):
            yield Finding("disk", False, trouble)
        if not file.exists():
            yield _folder(file)
            return
    try:
        with closing(Store.open(settings.database_url)) as store:
            trouble = store.trouble
    except StoreError as error:
        trouble = str(error)
    yield Finding("database", not trouble, trouble or f"{settings.database} can be written")


def _folder(file: Path) -> Finding:
    owner = data_folder.others(file)
    if owner is not None:
        return Finding(
            "database", True, f"{file} is made at the first start; its folder belongs to {owner}, who must run Parley"
        )
    return Finding("database", True, f"{file} is made at the first start, by the user who runs Parley")


def _statsig(experiments: Experiments) -> Finding:
    deadline = time.monotonic() + STATSIG_WITHIN_S
    while experiments.source.name != "network" and not experiments.source.error and time.monotonic() < deadline:
        time.sleep(0.05)
    source = experiments.source
    if source.name == "network":
        return Finding("statsig", True, "serves its definitions")
    cause = source.error or f"no answer within {STATSIG_WITHIN_S:.0f} s"
    return Finding(
        "statsig", False, f"{cause}: check STATSIG_SECRET_KEY, STATSIG_API_URL and the way out of this network; until "
        "then the local experiments decide, and events wait"
    )  # fmt: skip


def _experiment(settings: Settings, experiments: Experiments) -> Iterator[Finding]:
    name, definition = settings.experiment, experiments.definition(settings.experiment)
    if experiments.assign(NOBODY, name).rule_id == "":
        where = "Statsig has" if experiments.source.name == "network" else f"{settings.experiments_file} has"
        yield Finding(
            "experiment", False, f"{where} no experiment or layer named {name}: create it, or set PARLEY_EXPERIMENT"
        )
        return
    groups = definition.groups if definition else ()
    yield Finding("experiment", True, f"{name} compares {_names(group.name for group in groups) or 'no groups yet'}")
    if definition and definition.unknown_unit:
        yield Finding("experiment", False, f"{name}: {unit_sentence(definition.unknown_unit)}")
    if settings.statsig_secret_key and (told := status_sentence(experiments.status(name), str)):
        yield Finding("experiment", True, f"{name}: {told}")
    for group in groups:
        bad = check_parameters(group.parameters, definition.default if definition else {}, settings.model).error
        if bad:
            yield Finding(
                "experiment", False, f"{name}, group {group.name}: {bad} cannot be sent as it is, and the default is: "
                "mend its name, type or range"
            )  # fmt: skip


def _models(settings: Settings, definition: Definition | None) -> list[str]:
    """Every model that may be asked, each once."""
    default = definition.default if definition else {}
    served = [{}, *(group.parameters for group in (definition.groups if definition else ()))]
    return sorted({check_parameters(each, default, settings.model).model for each in served})


def _model_server(settings: Settings, wanted: list[str]) -> Iterator[Finding]:
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    with demo.serve() if settings.demo else nullcontext(settings.openai_base_url) as base_url:
        name = "the built-in demo model" if settings.demo else _without_password(base_url or "OpenAI")
        try:
            ids = asyncio.run(_ids(base_url, key))
        except Fault as fault:
            yield Finding("model", False, f"{name}: {fault}; {_advice(fault)}")
            return
    if settings.demo:
        name += " (set OPENAI_API_KEY or OPENAI_BASE_URL for another)"
    yield Finding("model", True, f"{name} answers")
    for model in wanted:
        if model in ids:
            yield Finding("model", True, f"{model} is there")
        else:
            there = _names(ids[:8]) + (", …" if len(ids) > 8 else "")
            yield Finding(
                "model", False, f"{model} is not there; name one that is in PARLEY_MODEL or the experiment: {there}"
            )


async def _ids(base_url: str | None, key: str | None) -> list[str]:
    models = Models(base_url, key)
    try:
        return await models.ids()
    finally:
        await models.aclose()


def _advice(fault: Fault) -> str:
    if fault.status in (401, 403):
        return "set OPENAI_API_KEY to a key that this server takes"
    if fault.status in (404, 405) or fault.kind == "NoAnswer":
        return "is OPENAI_BASE_URL the whole address? It usually ends in /v1"
    if fault.status is None:
        return "does the server run, and is OPENAI_BASE_URL its address?"
    return "try again later, or ask who runs the server"


def _prices(settings: Settings, models: list[str]) -> Iterator[Finding]:
    try:
        prices = Prices.load()
    except PriceError as error:
        yield Finding("prices", False, str(error))
        return
    unknown = [model for model in models if prices.of(model) is None]
    if settings.budget_usd_per_day is None:
        return
    if unknown:
        yield Finding(
            "budget", False, f"PARLEY_BUDGET_USD_PER_DAY cannot be kept: {_names(unknown)} has no price; add it to "
            "lib/models/prices.toml"
        )  # fmt: skip
    else:
        yield Finding("budget", True, f"${settings.budget_usd_per_day:g} a day, and every model has a price")


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _without_password(url: str) -> str:
    """
    >>> _without_password("postgresql+psycopg://u:p@db:5432/parley?password=p"), _without_password("sqlite:///a.db")
    ('postgresql+psycopg://db:5432/parley', 'sqlite:///a.db')
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
