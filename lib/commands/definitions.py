"""The definition that a command works with: the version in force by the record, else what the experiments file says."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from lib.commands.errors import UsageError
from lib.experiments.book import Book, RecordedExperiment, canonical, in_force, of_run, read_book, run_key
from lib.experiments.definitions import Definition, read_definitions_file
from lib.settings import Settings
from lib.store import Store

FILE_CHANGED = "The experiments file says something else by now: it takes effect when Parley starts."


def find_definition(
    settings: Settings, experiment: str, store: Store | None = None, run: int | None = None
) -> Definition:
    """Return the compared groups, by default of the current run: without a store those of the file, with a key those
    that Statsig served last.

    Raises UsageError, DefinitionError, StoreError.
    """
    file = settings.experiments_file
    definitions = read_definitions_file(file)
    if store is None:
        definition = definitions.get(experiment)
    elif run is not None:
        return _of_run(store, experiment, run)
    else:
        with store.read() as connection:
            book = read_book(connection)
        defined = {**definitions, **_defined(book, definitions)}
        if settings.statsig_secret_key is None:
            definition = defined.get(experiment)
        else:
            from lib.experiments.evaluator import last_known

            key, cached = settings.statsig_secret_key.get_secret_value(), store.definitions("statsig")
            definition = last_known(defined, experiment, key=key, api_url=settings.statsig_api_url, cached=cached)
        definitions = defined
    if definition is None:
        raise UsageError(f"{file} has no experiment {experiment}; it has {', '.join(definitions) or 'none'}.")
    return definition


@contextmanager
def recorded(settings: Settings) -> Iterator[Store | None]:
    """Open the record; None where there is no database file yet, because reading must not create one. Raises
    StoreError."""
    file = settings.database_file
    if file is not None and not file.exists():
        yield None
        return
    with closing(Store.open(settings.database_url)) as store:
        yield store


def live_experiment(settings: Settings, store: Store) -> str:
    """Return the experiment that testers get: the operator's choice, unless PARLEY_EXPERIMENT changed after it."""
    if settings.statsig_secret_key is not None:
        return settings.experiment
    with store.read() as connection:
        states = [recorded.state for recorded in read_book(connection).values()]
    chosen = next((state for state in states if state.live and state.setting == settings.experiment), None)
    return chosen.experiment if chosen else settings.experiment


def outdated_file(settings: Settings, experiment: str, store: Store) -> bool:
    """True where the file says something that is not comparable with the current run, and has not taken effect."""
    file = read_definitions_file(settings.experiments_file).get(experiment)
    with store.read() as connection:
        recorded = read_book(connection).get(experiment)
    return (
        file is not None
        and recorded is not None
        and recorded.written is not None
        and _pending(recorded, file)
        and (run_key(file) != run_key(recorded.written))
    )


def _defined(book: Book, file: dict[str, Definition]) -> dict[str, Definition]:
    """Return the definitions in force by the record. A changed file takes effect at once where it describes the same
    run."""
    definitions = {}
    for name, recorded in book.items():
        if recorded.written is None or recorded.definition is None:
            continue
        new = file.get(name)
        if new is not None and _pending(recorded, new) and run_key(new) == run_key(recorded.written):
            definitions[name] = in_force(new, recorded.state, recorded.run)
        else:
            definitions[name] = recorded.definition
    return definitions


def _pending(recorded: RecordedExperiment, file: Definition) -> bool:
    return recorded.version is not None and recorded.version.file != canonical(file)


def _of_run(store: Store, experiment: str, run: int) -> Definition:
    with store.read() as connection:
        definition = of_run(connection, experiment, run)
        recorded = read_book(connection).get(experiment)
    if definition is None:
        last = recorded.state.run if recorded else 0
        has = f"it has the runs 1 to {last}" if last > 1 else "it has run 1 alone" if last else "it has no run yet"
        raise UsageError(f"{experiment} has no run {run}; {has}.")
    return replace(definition, run=run)
