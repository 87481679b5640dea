"""The definition that a command works with: the version in force by the record, else what the experiments file says."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from lib.commands.errors import UsageError
from lib.experiments.book import Book, Known, canonical, in_force, of_run, read_book, run_key
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
    known = read_definitions_file(file)
    if store is None:
        found = known.get(experiment)
    elif run is not None:
        return _of_run(store, experiment, run)
    else:
        with store.read() as connection:
            book = read_book(connection)
        defined = {**known, **_defined(book, known)}
        if settings.statsig_secret_key is None:
            found = defined.get(experiment)
        else:
            from lib.experiments.evaluator import last_known

            key, cached = settings.statsig_secret_key.get_secret_value(), store.definitions("statsig")
            found = last_known(defined, experiment, key=key, api_url=settings.statsig_api_url, cached=cached)
        known = defined
    if found is None:
        raise UsageError(f"{file} has no experiment {experiment}; it has {', '.join(known) or 'none'}.")
    return found


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
        states = [known.state for known in read_book(connection).values()]
    chosen = next((state for state in states if state.live and state.setting == settings.experiment), None)
    return chosen.experiment if chosen else settings.experiment


def outdated_file(settings: Settings, experiment: str, store: Store) -> bool:
    """True where the file says something that is not comparable with the current run, and has not taken effect."""
    file = read_definitions_file(settings.experiments_file).get(experiment)
    with store.read() as connection:
        known = read_book(connection).get(experiment)
    return (
        file is not None
        and known is not None
        and known.written is not None
        and _pending(known, file)
        and (run_key(file) != run_key(known.written))
    )


def _defined(book: Book, file: dict[str, Definition]) -> dict[str, Definition]:
    """Return the definitions in force by the record. A changed file takes effect at once where it describes the same
    run."""
    found = {}
    for name, known in book.items():
        if known.written is None or known.definition is None:
            continue
        new = file.get(name)
        if new is not None and _pending(known, new) and run_key(new) == run_key(known.written):
            found[name] = in_force(new, known.state, known.run)
        else:
            found[name] = known.definition
    return found


def _pending(known: Known, file: Definition) -> bool:
    return known.version is not None and known.version.file != canonical(file)


def _of_run(store: Store, experiment: str, run: int) -> Definition:
    with store.read() as connection:
        found = of_run(connection, experiment, run)
        known = read_book(connection).get(experiment)
    if found is None:
        last = known.state.run if known else 0
        has = f"it has the runs 1 to {last}" if last > 1 else "it has run 1 alone" if last else "it has no run yet"
        raise UsageError(f"{experiment} has no run {run}; {has}.")
    return replace(found, run=run)
