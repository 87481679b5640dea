"""The command `python -m lib history`: runs and decisions, newest first, as lines or as Markdown to paste, with the
picture of each decision's readout in a file beside it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lib.domain.clock import now_ms
from lib.domain.operations import Decision, Entry, Run
from lib.experiments.book import of_run
from lib.readout.report import described, draw, iso, picture_name
from lib.readout.results import current
from lib.readout.sentences import sentence
from lib.settings import Settings
from lib.store import Store, audit, states
from lib.store.tallies import only_simulated


def history(settings: Settings, *, markdown: bool, pictures: Path | None = None) -> Iterator[str]:
    """The lines, newest first; Markdown where there is a folder for pictures. Raises StoreError, OSError."""
    markdown = markdown or pictures is not None
    with closing(Store.open(settings.database_url)) as store:
        with store.read() as connection:
            runs, decisions = states.runs(connection), states.decisions(connection)
            guardrails = list(audit.entries(connection, act="guardrail", limit=None))
        if not runs:
            yield "There is no run yet: the first begins when Parley starts."
        told = [(one.time_ms, _decision(one, pictures, markdown=markdown)) for one in decisions]
        told += [(one.time_ms, _guardrail(one, markdown=markdown)) for one in guardrails]
        told += [(one.begun_ms, _run(store, one, markdown=markdown)) for one in runs]
        for _, lines in sorted(told, key=lambda one: one[0], reverse=True):
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


def _decision(made: Decision, pictures: Path | None, *, markdown: bool) -> list[str]:
    head = f"Decision on {made.experiment}, run {made.run}: {made.group or 'the default stays'}"
    known = str(made.readout.get("sentence") or "No readout was kept.")
    facts = f"{made.author}, {iso(made.time_ms)}: {made.reason}"
    if not markdown:
        return [head, f"  {facts}", f"  The readout then: {known}"]
    lines = [f"## {head}", "", f"> {made.reason}", "", f"{made.author}, {iso(made.time_ms)}", ""]
    lines.append(f"The readout then: {known}")
    if pictures is not None and made.readout.get("metrics"):
        lines += ["", _picture(made, pictures)]
    return lines


def _picture(made: Decision, folder: Path) -> str:
    """Write the picture; the Markdown that shows it."""
    file = folder / picture_name(made)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(draw(made.readout), encoding="utf-8")
    told = described(made.readout).replace("[", "(").replace("]", ")")
    return f"![{told}](<{file.as_posix()}>)"
