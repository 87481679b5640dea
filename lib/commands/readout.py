"""What `python -m lib readout` prints: finds the definition, has the store or a file counted, and tells the readout.

Owns the printed table and where a definition comes from. The analysis is `readout`, the sentences are `wording`.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lib.domain.clock import now_ms
from lib.experiments.definitions import Definition, read_definitions_file
from lib.readout.sentences import HEADINGS, WORDS, figures, next_step, sentence
from lib.readout.verdicts import Readout, Versus, iso, rank, read, scope_of, span
from lib.settings import Settings
from lib.statistics.sums import Delivery
from lib.store import Store
from lib.store.ingest import Imported, imported
from lib.store.sums import Read, only_simulated, tally


class ReportError(Exception):
    """There is nothing to report on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """A readout with what is worth knowing about where it came from."""

    readout: Readout
    notes: tuple[str, ...] = ()


def from_store(settings: Settings, experiment: str) -> Report:
    """The readout of the store. Raises StoreError, DefinitionError, ReportError."""
    with closing(Store.open(settings.database_url)) as store:
        definition = find_definition(settings, experiment, store)
        return _report(store.read, definition, now_ms())


def from_file(settings: Settings, experiment: str, events: Path) -> Report:
    """The readout of a file of events. Raises DefinitionError, ReportError."""
    definition = find_definition(settings, experiment)
    try:
        with events.open("rb") as lines, imported(lines) as found:
            report = _report(found.read, definition, found.last_ms)
    except OSError as error:
        raise ReportError(f"{events} cannot be read: {error.strerror}") from None
    readout = replace(report.readout, delivery=Delivery(found.events))
    return Report(readout, (*_unreadable(found), *report.notes))


def _report(read_from: Read, definition: Definition, as_of_ms: int | None) -> Report:
    with read_from() as connection:
        simulated = only_simulated(connection, definition.name)
    counted = tally(read_from, scope_of(definition, simulated=simulated), rank, span)
    return Report(read(counted, definition, as_of_ms))


def _unreadable(found: Imported) -> Iterator[str]:
    yield from found.problems
    if found.unreadable:
        lines_are = (
            "1 line could not be read and is"
            if found.unreadable == 1
            else f"{found.unreadable:,} lines could not be read and are"
        )
        yield f"{lines_are} not in the readout."


def find_definition(settings: Settings, experiment: str, store: Store | None = None) -> Definition:
    """What the file says of the experiment; with a key, its groups as Statsig served them last.

    Raises ReportError, DefinitionError, StoreError.
    """
    file = settings.experiments_file
    known = read_definitions_file(file)
    if store is not None and settings.statsig_secret_key is not None:
        from lib.experiments.evaluator import last_known  # loads the SDK

        key, cached = settings.statsig_secret_key.get_secret_value(), store.definitions("statsig")
        found = last_known(known, experiment, key=key, api_url=settings.statsig_api_url, cached=cached)
    else:
        found = known.get(experiment)
    if found is None:
        raise ReportError(f"{file} has no experiment {experiment}; it has {', '.join(known) or 'none'}.")
    return found


def lines(readout: Readout) -> Iterator[str]:
    """The readout as a person reads it: the verdict, what to do next, then the numbers."""
    yield f"{readout.experiment}: {HEADINGS[readout.verdict]}"
    yield sentence(readout)
    if (step := next_step(readout)) is not None:
        yield step
    yield ""
    yield from _aligned(_rows(readout))
    yield ""
    yield from _footer(readout)


def _rows(readout: Readout) -> Iterator[list[str]]:
    yield ["", *readout.counts, *(f"{group} − {readout.control}" for group in readout.treatments), ""]
    yield ["users", *(f"{n:,}" for n in readout.counts.values()), *("" for _ in readout.treatments), ""]
    for metric in readout.metrics.values():
        words = WORDS[metric.name]
        label = f"{words.name}{'' if metric.role == 'secondary' else f' ({metric.role})'}"
        bars = [_bar(one.value, one.ci_low, one.ci_high, words.scale) for one in metric.groups.values()]
        yield [
            label,
            *bars,
            *_differences(metric.name, metric.versus),
            "%, points" if words.unit == "points" else words.unit,
        ]
    for name, reading in readout.quantiles.items():
        bars = [_bar(one.value, one.ci_low, one.ci_high, 1) for one in reading.groups.values()]
        yield [f"response time {name}", *bars, *_differences("response_time", reading.versus), "s"]


def _differences(metric: str, versus: Mapping[str, Versus]) -> Iterator[str]:
    for one in versus.values():
        numbers, state = one.numbers, one.state.replace("_", " ")
        if not one.telling or numbers.diff is None or numbers.cs_low is None or numbers.cs_high is None:
            yield f"– {state}"
        else:
            low, high, diff = figures(metric, numbers.cs_low, numbers.cs_high, numbers.diff)
            yield f"{diff} [{low}, {high}] {state}"


def _bar(value: float | None, low: float | None, high: float | None, scale: float) -> str:
    """
    >>> _bar(0.669, 0.634, 0.702, 100), _bar(None, None, None, 1), _bar(0.000258, 0.000254, 0.000262, 1)
    ('66.9 [63.4, 70.2]', '–', '0.000258 [0.000254, 0.000262]')
    """
    if value is None:
        return "–"
    told = f"{value * scale:.3g}"
    return told if low is None or high is None else f"{told} [{low * scale:.3g}, {high * scale:.3g}]"


def _aligned(rows: Iterator[list[str]]) -> Iterator[str]:
    """Columns as wide as their longest cell."""
    table = list(rows)
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _footer(readout: Readout) -> Iterator[str]:
    p = readout.split.p
    yield f"Split check: p = {p:.4f}." if p is not None else "Split check: not possible."
    yield f"Left out: {readout.crossover:,} users of two groups, {readout.forced:,} with a forced group."
    sent = readout.delivery
    if sent.acknowledged is not None:
        yield f"Delivery: {sent.events:,} events, {sent.acknowledged:,} acknowledged, {sent.pending or 0:,} pending."
    yield (
        f"A group's bar is a 95 % interval for one look; a difference's holds at every look "
        f"({100 * (1 - readout.alpha):.3g} %). As of {iso(readout.as_of_ms) or 'no event'}."
    )
