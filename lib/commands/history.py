"""The command `python -m lib history`: runs and decisions, newest first, as lines or as Markdown to paste, with the
picture of each decision's readout in a file beside it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lib.commands.errors import CommandError
from lib.domain.clock import now_ms
from lib.domain.operations import Decision, Entry, Run
from lib.experiments.book import of_run
from lib.readout.report import described, draw, file_name, iso
from lib.readout.results import current
from lib.readout.sentences import sentence
from lib.settings import Settings
from lib.store import Store, audit, states
from lib.store.tallies import only_simulated


def history(settings: Settings, *, markdown: bool, pictures: Path | None = None) -> Iterator[str]:
    """Yield the lines, newest first; Markdown where there is a folder for pictures. Raises StoreError, CommandError."""
    markdown = markdown or pictures is not None
    with closing(Store.open(settings.database_url)) as store:
        with store.read() as connection:
            runs, decisions = states.runs(connection), states.decisions(connection)
            guardrails = list(audit.entries(connection, act="guardrail", limit=None))
        if not runs:
            yield "There is no run yet: the first begins when Parley starts."
        dated = [(item.time_ms, _decision(item, pictures, markdown=markdown)) for item in decisions]
        dated += [(item.time_ms, _guardrail(item, markdown=markdown)) for item in guardrails]
        dated += [(item.begun_ms, _run(store, item, markdown=markdown)) for item in runs]
        for _, lines in sorted(dated, key=lambda item: item[0], reverse=True):
            yield from lines
            yield ""


def _run(store: Store, run: Run, *, markdown: bool) -> list[str]:
    head = f"{run.experiment}, run {run.number}"
    until = f"ended {iso(run.ended_ms)} by {run.end_author}: {run.end_reason}" if run.ended_ms else "still open"
    facts = f"Begun {iso(run.begun_ms)} by {run.author}: {run.reason}. {until[0].upper()}{until[1:]}."
    with store.read() as connection:
        definition = of_run(connection, run.experiment, run.number)
        simulated = only_simulated(connection, run.experiment, run.number)
    verdict = sentence(current(store, definition, simulated, now_ms())) if definition else "Its definition is not kept."
    return [f"## {head}", "", verdict, "", facts] if markdown else [f"{head}: {verdict}", f"  {facts}"]


def _guardrail(act: Entry, *, markdown: bool) -> list[str]:
    head = f"Guardrail of {act.subject}: {act.details.get('group')} switched off"
    why = str(act.details.get("reason") or "")
    return (
        [f"## {head}", "", why, "", f"{iso(act.time_ms)}"] if markdown else [f"{head}: {why}", f"  {iso(act.time_ms)}"]
    )


def _decision(decision: Decision, pictures: Path | None, *, markdown: bool) -> list[str]:
    head = f"Decision on {decision.experiment}, run {decision.run}: {decision.group or 'the default stays'}"
    verdict = str(decision.readout.get("sentence") or "No readout was kept.")
    facts = f"{decision.author}, {iso(decision.time_ms)}: {decision.reason}"
    if not markdown:
        return [head, f"  {facts}", f"  The readout then: {verdict}"]
    lines = [f"## {head}", "", f"> {decision.reason}", "", f"{decision.author}, {iso(decision.time_ms)}", ""]
    lines.append(f"The readout then: {verdict}")
    if pictures is not None and decision.readout.get("metrics"):
        lines += ["", _picture(decision, pictures)]
    return lines


def _picture(decision: Decision, folder: Path) -> str:
    """Write the picture and return the Markdown that shows it. Raises CommandError."""
    file = folder / file_name(decision, ".svg")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(draw(decision.readout), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The pictures cannot be written: {error}") from None
    alternative = described(decision.readout).replace("[", "(").replace("]", ")")
    return f"![{alternative}](<{file.as_posix()}>)"
