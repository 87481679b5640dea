"""The command `python -m lib experiment`: what the Experiment page does, from a terminal."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from lib.commands.definitions import find_definition
from lib.commands.errors import UsageError
from lib.commands.operator import operator_name
from lib.domain.clock import now_ms
from lib.domain.operations import ExperimentState
from lib.domain.plain_text import decode
from lib.experiments.acts import Acts, Conflict
from lib.experiments.book import RecordedExperiment, copied, difference, to_toml, two_groups
from lib.experiments.definitions import Definition, read_definitions_file
from lib.experiments.statuses import state_sentence
from lib.readout.report import as_json, iso
from lib.readout.results import current
from lib.settings import Settings
from lib.store import Store, states
from lib.store.tallies import only_simulated

READS = ("list", "show", "export")
"""Actions that change nothing."""


def perform(settings: Settings, arguments: Namespace) -> Iterator[str]:
    """Carry out the action and yield the lines for standard output. Raises ActError, DefinitionError, UsageError,
    StoreError."""
    with closing(Store.open(settings.database_url)) as store:
        acts = Acts(store, settings.provider_names, served=settings.statsig_secret_key is not None)
        file = read_definitions_file(settings.experiments_file)
        if arguments.action in READS:
            acts.attach(file, settings.experiment)
        else:
            acts.seed(file, settings.experiment)
        if arguments.action == "list":
            yield from _list(acts, settings)
        elif arguments.action == "export":
            yield _export(settings, store, arguments.name, arguments.number)
        elif arguments.action == "show":
            yield from _show(store, _find_or_read(acts, file, arguments.name))
        else:
            yield from _do(settings, store, acts, arguments)


def _do(settings: Settings, store: Store, acts: Acts, arguments: Namespace) -> Iterator[str]:
    """Perform an act and yield lines about the experiment's state after it."""
    name = arguments.name
    before = acts.book[name].state.run if name in acts.book else 0
    _act(settings, store, acts, arguments)
    recorded = _find(acts, name)
    yield f"{name}: {state_sentence(recorded, now_ms(), _written)}"
    if before and recorded.state.run > before and recorded.run is not None:
        yield f"Run {recorded.state.run} has begun ({recorded.run.reason}). The readout reads it from now on."


def _act(settings: Settings, store: Store, acts: Acts, arguments: Namespace) -> None:
    name, operator, reason, action = arguments.name, operator_name(), arguments.reason, arguments.action
    if action == "apply":
        try:
            _apply(acts, name, arguments.file, operator, reason)
        except Conflict as conflict:
            raise UsageError(str(conflict)) from None
    elif action == "create":
        acts.create(name, to_toml(_beginning(settings, acts, name, arguments.like)), operator, reason)
    elif action in ("start", "end") and arguments.at is not None:
        state = _find(acts, name).state
        both = {"start": state.start_ms, "end": state.end_ms} | {action: arguments.at}
        acts.schedule(name, both["start"], both["end"], operator)
    elif action == "start":
        acts.start(name, operator, reason, arguments.percent)
    elif action == "ramp":
        acts.ramp(name, arguments.percent, operator, reason)
    elif action == "pause":
        acts.pause(name, operator, reason)
    elif action == "end":
        acts.end(name, operator, reason)
    elif action == "disable":
        acts.disable(name, arguments.group, operator, reason)
    elif action == "enable":
        acts.enable(name, arguments.group, operator, reason)
    else:
        acts.decide(name, arguments.group, _readout(settings, store, name), operator, reason)


def _apply(acts: Acts, name: str, file: str, operator: str, reason: str) -> None:
    text = sys.stdin.read() if file == "-" else _text_of(Path(file))
    if name in acts.book and acts.book[name].version is not None:
        acts.save(name, text, acts.book[name].state.version, operator, reason)
    else:
        acts.create(name, text, operator, reason)


def _beginning(settings: Settings, acts: Acts, name: str, like: str | None) -> Definition:
    """Return the definition that a new experiment begins with."""
    if like is None:
        return two_groups(name, settings.model)
    written = _find(acts, like).written
    if written is None:
        raise UsageError(f"There is no version of {like} to copy.")
    return copied(written, name)


def _text_of(file: Path) -> str:
    try:
        return decode(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None


def _readout(settings: Settings, store: Store, name: str) -> dict[str, object]:
    definition = find_definition(settings, name, store)
    with store.read() as connection:
        simulated = only_simulated(connection, name, definition.run)
    return as_json(current(store, definition, simulated, now_ms()))


def _find_or_read(acts: Acts, file: Mapping[str, Definition], name: str) -> RecordedExperiment:
    """Return an experiment of the record, or one of the file that is not in the record yet."""
    if name in acts.book or name not in file:
        return _find(acts, name)
    return RecordedExperiment(ExperimentState(name), written=file[name], definition=file[name])


def _find(acts: Acts, name: str) -> RecordedExperiment:
    if name not in acts.book:
        raise UsageError(f"The record has no experiment {name}; it has {', '.join(acts.book) or 'none'}.")
    return acts.book[name]


def _list(acts: Acts, settings: Settings) -> Iterator[str]:
    names = {**acts.book, **dict.fromkeys(read_definitions_file(settings.experiments_file))}
    width = max(map(len, names), default=0)
    for name in names:
        recorded = acts.book.get(name)
        state = (
            state_sentence(recorded, now_ms(), _written)
            if recorded
            else "In the experiments file; Parley has not started."
        )
        yield f"{name.ljust(width)}  {state}"


def _export(settings: Settings, store: Store, name: str, number: int | None) -> str:
    with store.read() as connection:
        state = states.states(connection).get(name)
        chosen = number or (state.version if state else 0)
        version = states.version(connection, name, chosen)
    if version is not None:
        return version.text.removesuffix("\n")
    if number is not None:
        raise UsageError(f"{name} has no version {number}; its newest is {state.version if state else 0}.")
    return to_toml(find_definition(settings, name, store)).removesuffix("\n")


def _show(store: Store, recorded: RecordedExperiment) -> Iterator[str]:
    name = recorded.state.experiment
    yield f"{name}: {state_sentence(recorded, now_ms(), _written)}"
    for group in recorded.written.groups if recorded.written else ():
        share = recorded.written.shares[group.name] if recorded.written else 0
        off = f", switched off since {_written(since)}" if (since := recorded.state.disabled.get(group.name)) else ""
        parameters = ", ".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in group.parameters.items()
        )
        yield f"  {group.name}: {100 * share:.3g} %, {parameters or 'the default'}{off}"
    with store.read() as connection:
        runs, versions = states.runs(connection, name), states.versions(connection, name)
    yield ""
    for run in runs:
        until = f"until {_written(run.ended_ms)} ({run.end_reason})" if run.ended_ms else "still open"
        yield f"run {run.number}: since {_written(run.begun_ms)} by {run.author} ({run.reason}), {until}"
    for number, version in enumerate(versions):
        yield f"version {version.number}: {_written(version.time_ms)} by {version.author} ({version.reason})"
        if number == 0 and len(versions) > 1:
            yield from (f"    {line}" for line in difference(versions[1].text, version.text).splitlines())


def _written(time_ms: int) -> str:
    return iso(time_ms) or "an unknown day"
