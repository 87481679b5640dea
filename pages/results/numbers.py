"""The Results page's numbers as files: the readout's JSON object, and a CSV for every table and chart."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lib.commands.spreadsheet import BOM, cell
from lib.readout.report import as_json, iso
from lib.readout.results import EDGES, Details, History, Results


@dataclass(frozen=True)
class File:
    """One download: the ending of its name, its type and the function that makes it. `texts`: testers wrote it."""

    suffix: str
    mime: str
    icon: str
    content: Callable[[Results, Details, History], str]
    texts: bool = False


def _json(results: Results, *_: object) -> str:
    return json.dumps(as_json(results.readout), indent=1, allow_nan=False) + "\n"


def _table(suffix: str, rows: Callable[[Results, Details, History], Iterable[Mapping[str, Any]]]) -> File:
    return File(suffix, "text/csv", ":material/table:", lambda *found: _csv(list(rows(*found))))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    text.write(BOM)
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _metrics(results: Results, *_: object) -> Iterable[Mapping[str, Any]]:
    document = as_json(results.readout)
    for name, metric in document["metrics"].items():
        for group, one in metric["groups"].items():
            versus = metric["vs_control"].get(group, {})
            about = {"metric": name, "role": metric["role"], "direction": metric["direction"], "group": group}
            yield about | one | _of_difference(versus)
    for name, quantile in document["quantiles"]["response_time"].items():
        about = {"metric": f"response_time_{name}", "role": "secondary", "direction": "down"}
        for group, one in quantile["groups"].items():
            versus = quantile["vs_control"].get(group, {})
            yield about | {"group": group} | one | _of_difference(versus)


def _of_difference(versus: Mapping[str, Any]) -> dict[str, Any]:
    return {f"difference_{key}" if key.startswith("se") else key: value for key, value in versus.items()}


def _comparisons(results: Results, *_: object) -> Iterable[Mapping[str, Any]]:
    comparisons = as_json(results.readout)["comparisons"]
    for group, one in comparisons["treatments"].items() if comparisons else ():
        yield {"group": group} | one


def _days(_: Results, __: Details, history: History) -> Iterable[Mapping[str, Any]]:
    for until_ms, metric in history:
        for group, one in metric.versus.items():
            numbers = {key: getattr(one.numbers, key) for key in ("diff", "cs_low", "cs_high", "p_seq")}
            yield {"until": iso(until_ms), "metric": metric.name, "group": group} | numbers | {"verdict": one.verdict}


def _users(results: Results, *_: object) -> Iterable[Mapping[str, Any]]:
    for day_ms, group, users in results.exposed:
        yield {"day": (iso(day_ms) or "")[:10], "group": group, "new_users": users}


def _times(_: Results, details: Details, __: History) -> Iterable[Mapping[str, Any]]:
    for group, bins in details.times.items():
        for low, high, answers in zip((0, *EDGES), (*EDGES, None), bins, strict=True):
            yield {"group": group, "from_s": low, "below_s": high, "answers": answers}


def _remarks(_: Results, details: Details, __: History) -> Iterable[Mapping[str, Any]]:
    for one in details.remarks:
        yield {
            "time": iso(one.time_ms),
            "group": one.group,
            "reason": one.reason,
            "comment": one.comment,
            "question": one.question,
            "answer": one.answer,
            "answer_id": one.answer_id,
            "conversation_id": one.conversation_id,
        }


FILES = {
    "Readout (JSON)": File(".json", "application/json", ":material/data_object:", _json),
    "All metrics (CSV)": _table("_metrics.csv", _metrics),
    "Comparisons (CSV)": _table("_comparisons.csv", _comparisons),
    "Difference over time (CSV)": _table("_days.csv", _days),
    "New users (CSV)": _table("_users.csv", _users),
    "Response times (CSV)": _table("_response_times.csv", _times),
    "Reasons and comments (CSV)": replace(_table("_reasons.csv", _remarks), texts=True),
}
"""The downloads, by the labels of their buttons."""
