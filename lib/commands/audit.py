"""The command `python -m lib audit`: the audit log, newest first, as lines, CSV or JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Literal

from lib.commands.spreadsheet import cell
from lib.domain.operations import Entry
from lib.readout.report import iso
from lib.store import Store, audit

Form = Literal["text", "csv", "jsonl"]
COLUMNS = ("time", "operator", "act", "subject", "details")


def entries(store: Store, operator: str | None = None, act: str | None = None) -> list[Entry]:
    """Return the lines of the log, newest first. Raises StoreError."""
    with store.read() as connection:
        return list(audit.entries(connection, operator, act, limit=None))


def formatted(acts: Iterable[Entry], form: Form) -> Iterator[str]:
    """Yield the lines in this format."""
    if form == "csv":
        yield _row(COLUMNS)
    for act in acts:
        details = json.dumps(dict(act.details), ensure_ascii=False, default=str)
        values = (iso(act.time_ms) or "", act.operator, act.act, act.subject, details)
        if form == "csv":
            yield _row(values)
        elif form == "jsonl":
            fields = dict(zip(COLUMNS, values, strict=True)) | {"details": dict(act.details)}
            yield json.dumps(fields, ensure_ascii=False, default=str)
        else:
            yield "  ".join(values)


def _row(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([cell(value) for value in values])
    return line.getvalue()
