"""The command `python -m lib readout`: finds the definition, lets the store or a file be counted, and prints the
readout.

Owns the printed table. The analysis and its sentences are in `lib.readout`.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lib.commands.definitions import FILE_CHANGED, find_definition, live_experiment, outdated_file
from lib.commands.errors import UsageError
from lib.domain.clock import now_ms
from lib.experiments.definitions import Definition
from lib.experiments.statuses import disabled_sentence, ended_sentence, status_sentence
from lib.readout.advice import advice
from lib.readout.preferences import Comparisons
from lib.readout.report import iso
from lib.readout.results import current
from lib.readout.sentences import heading, sentence
from lib.readout.side_by_side import (
    comparison_heading,
    disagreement,
    position_warning,
    preference_sentence,
    votes_of,
)
from lib.readout.verdicts import ONE_SIDED, Metric, Readout, Versus, plan_of, read, scope_of, signal_metrics
from lib.readout.words import WORDS, written_difference
from lib.settings import Settings
from lib.statistics.figures import levels, significant
from lib.statistics.sums import Delivery
from lib.store import Store
from lib.store.ingest import Imported, imported
from lib.store.signals import signals
from lib.store.tallies import Read, last_run, only_simulated, tally


@dataclass(frozen=True, slots=True)
class Report:
    """A readout, the implicit signals beside it, and notes on the file that it came from.

    `reliable` is False where too many lines of that file could not be read. `status` is the experiment's status in
    Statsig.
    """

    readout: Readout
    signals: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()
    reliable: bool = True
    status: str | None = None


def from_store(settings: Settings, experiment: str | None, run: int | None = None) -> Report:
    """Return the readout of the record, by default of the experiment that testers get in its current run. Raises
    StoreError, DefinitionError, UsageError."""
    with closing(Store.open(settings.database_url)) as store:
        name = experiment or live_experiment(settings, store)
        definition = find_definition(settings, name, store, run)
        with store.read() as connection:
            simulated = only_simulated(connection, definition.name, definition.run)
        readout = current(store, definition, simulated, now_ms())
        notes = (FILE_CHANGED,) if run is None and outdated_file(settings, name, store) else ()
        signalled = _signals(store.read, definition, readout)
        return Report(readout, signalled, notes, status=_status(settings, definition))


def from_file(settings: Settings, experiment: str, events: Path, run: int | None = None) -> Report:
    """Return the readout of a file of events, by default of its last run. Raises DefinitionError, UsageError."""
    definition = find_definition(settings, experiment)
    try:
        with events.open("rb") as lines, imported(lines) as source:
            with source.read() as connection:
                last = last_run(connection, definition.name)
                definition = replace(definition, run=run or last)
                simulated = only_simulated(connection, definition.name, definition.run)
            if definition.run > last:
                raise UsageError(f"{events} has no run {run} of {experiment}; its last is run {last}.")
            counted = tally(source.read, scope_of(definition, simulated=simulated), plan_of(definition))
            readout = read(counted, definition, source.last_ms)
            signalled = _signals(source.read, definition, readout)
    except OSError as error:
        raise UsageError(f"{events} cannot be read: {error.strerror}") from None
    readout = replace(readout, delivery=Delivery(source.events), unreadable=source.unreadable)
    return Report(readout, signalled, tuple(_unreadable(source)), not source.unreliable)


def _signals(read_from: Read, definition: Definition, readout: Readout) -> tuple[Metric, ...]:
    scope = scope_of(definition, simulated=readout.simulated)
    with read_from() as connection:
        counted = signals(connection, scope, readout.metrics["answers_per_user"].sums)
    return tuple(signal_metrics(counted, definition))


def _unreadable(source: Imported) -> Iterator[str]:
    yield from source.problems
    if source.unreadable:
        lines_are = (
            "1 line could not be read and is"
            if source.unreadable == 1
            else f"{source.unreadable:,} lines could not be read and are"
        )
        yield f"{lines_are} not in the readout."
    if source.unreliable:
        yield f"That is more than 1 % of the {source.lines:,} lines: the readout is not to be relied on."


def _status(settings: Settings, definition: Definition) -> str | None:
    served = settings.statsig_secret_key is not None
    sentences = [status_sentence(definition.status, _written)] if served else []
    sentences += [ended_sentence(definition, _written), disabled_sentence(definition, _written, served=served)]
    return " ".join(text for text in sentences if text) or None


def _written(time_ms: int) -> str:
    return iso(time_ms) or "an unknown day"


def lines(report: Report) -> Iterator[str]:
    """Yield the readout for a person: the verdict, the next step, then the numbers."""
    readout = report.readout
    yield f"{readout.experiment}: {heading(readout)}"
    yield sentence(readout)
    if report.status:
        yield report.status
    else:
        yield from advice(readout)
    yield ""
    yield from _aligned(_rows(report))
    yield ""
    yield from _footer(readout)
    if readout.comparisons is not None:
        yield ""
        yield from _compared(readout, readout.comparisons)


def _compared(readout: Readout, comparisons: Comparisons) -> Iterator[str]:
    """Yield the lines about comparisons, which are no part of the A/B test: verdict, votes, warnings."""
    yield f"Comparisons: {comparison_heading(comparisons)}"
    yield preference_sentence(readout, comparisons)
    for group, reading in comparisons.treatments.items():
        if reading.numbers.votes:
            yield votes_of(reading.numbers, group, readout.control)
        if warning := position_warning(reading.numbers):
            yield warning
        first, *reasons = disagreement(readout, comparisons, group) or [""]
        yield from (first, *(f"- {reason}" for reason in reasons)) if first else ()


def _rows(report: Report) -> Iterator[list[str]]:
    readout = report.readout
    yield ["", *readout.counts, *(f"{group} − {readout.control}" for group in readout.treatments), ""]
    yield ["users", *(f"{n:,}" for n in readout.counts.values()), *("" for _ in readout.treatments), ""]
    for metric in (*readout.metrics.values(), *report.signals):
        words = WORDS[metric.name]
        label = f"{words.name}{'' if metric.role == 'secondary' else f' ({metric.role})'}"
        bars = [_bar(group.value, group.ci_low, group.ci_high, words.scale) for group in metric.groups.values()]
        yield [
            label,
            *bars,
            *_differences(metric.name, metric.versus),
            "%, points" if words.unit == "points" else words.unit,
        ]
    for name, reading in readout.quantiles.items():
        bars = [_bar(group.value, group.ci_low, group.ci_high, 1) for group in reading.groups.values()]
        yield [f"response time {name}", *bars, *_differences("response_time", reading.versus), "s"]


def _differences(metric: str, versus: Mapping[str, Versus]) -> Iterator[str]:
    for pair in versus.values():
        numbers, state = pair.numbers, _state(metric, pair)
        if not pair.informative or numbers.diff is None or pair.low is None or pair.high is None:
            yield f"– {state}"
        else:
            low, high, diff = written_difference(metric, pair.low, pair.high, numbers.diff, numbers.mde)
            yield f"{diff} [{low}, {high}] {state}"


def _state(metric: str, pair: Versus) -> str:
    """Return the verdict in a word; "more" or "less" for a metric of which neither is better."""
    if pair.verdict in ("better", "worse") and metric in ONE_SIDED and pair.guardrail is None:
        return "more" if (pair.numbers.diff or 0) > 0 else "less"
    plain = {"no_difference_yet": "undecided", "slight": "slightly better"}
    return plain.get(pair.state, pair.state.replace("_", " "))


def _bar(value: float | None, low: float | None, high: float | None, scale: float) -> str:
    """
    >>> _bar(0.669, 0.634, 0.702, 100), _bar(None, None, None, 1), _bar(0.000258, 0.000254, 0.000262, 1)
    ('66.9 [63.4, 70.2]', '–', '0.0002580 [0.0002540, 0.0002620]')
    """
    if value is None:
        return "–"
    if low is None or high is None:
        return significant(value * scale)
    ends = levels(scale, low, high, value)
    return f"{ends[2]} [{ends[0]}, {ends[1]}]"


def _aligned(rows: Iterator[list[str]]) -> Iterator[str]:
    """Align columns to their longest cell."""
    table = list(rows)
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _footer(readout: Readout) -> Iterator[str]:
    log_e = readout.split.log_e
    if log_e is None:
        yield "Split check: not possible."
    else:
        yield f"Split check: {'broken' if readout.split.broken else 'as configured'} (log e = {log_e:.2f})."
    yield f"Left out: {readout.crossover:,} users of two groups, {readout.forced:,} with a forced group."
    sent = readout.delivery
    if sent.acknowledged is not None:
        yield f"Delivery: {sent.events:,} events, {sent.acknowledged:,} acknowledged, {sent.pending or 0:,} pending."
    yield (
        f"A group's bar is a 95 % interval for one look; a difference's holds at every look "
        f"({significant(100 * (1 - readout.alpha))} %). As of {iso(readout.as_of_ms) or 'no event'}."
    )
