"""Events as files: JSON lines, CSV, Parquet. Takes the lines of `Store.export`, writes bytes; holds a few at a time.

The two flat formats always have the same columns: a field without any value is empty.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, BinaryIO, Literal

from lib.commands.spreadsheet import cell

Format = Literal["jsonl", "csv", "parquet"]
Line = Mapping[str, Any]

EVENT: dict[str, type] = {"event_id": str, "name": str, "time": int, "user_id": str, "value": str}
METADATA: dict[str, type] = {
    "experiment": str, "group": str, "rule_id": str, "forced": bool, "run": int, "simulated": bool, "layer": bool,
    "allocated_experiment": str, "parameter": str,
    "session_id": str, "conversation_id": str, "answer_id": str, "turn": int, "model": str, "served_model": str,
    "finish_reason": str, "error": str, "retries": int, "response_time": float, "time_to_first_token": float,
    "reasoning_time": float, "tokens_per_second": float, "prompt_tokens": int, "completion_tokens": int,
    "total_tokens": int, "cached_tokens": int, "reasoning_tokens": int, "usage_source": str, "cost_usd": float,
    "dropped_parameters": str, "renamed_parameters": str, "parameter_error": str, "limit": str, "invitation": str,
    "rating_delay": float, "comparison_id": str, "left": str, "right": str, "left_answer_id": str,
    "right_answer_id": str, "position": str, "left_model": str, "right_model": str, "left_response_time": float,
    "right_response_time": float, "left_time_to_first_token": float, "right_time_to_first_token": float,
    "left_completion_tokens": int, "right_completion_tokens": int,
}  # fmt: skip
"""The metadata fields with columns of their own. Other fields, and values of another type, go as JSON into `other`."""
TEXT: dict[str, type] = {"question": str, "answer": str, "comment": str, "reasoning": str}
GROUP_OF_ROWS = 10_000
"""Events in one row group of a Parquet file, and in memory."""


def write(lines: Iterable[Line], form: Format, sink: BinaryIO, *, text: bool = False) -> None:
    """Write the events to `sink` in this format. `text`: the lines contain it, and the flat formats get its columns."""
    if form == "jsonl":
        _write_jsonl(lines, sink)
    elif form == "csv":
        _write_csv(lines, sink, columns(text))
    else:
        _write_parquet(lines, sink, columns(text))


def columns(text: bool = False) -> dict[str, type]:
    """Return the columns of the flat formats, in their order, with their types."""
    return EVENT | METADATA | {"other": str} | (TEXT if text else {})


def flatten(line: Line) -> dict[str, Any]:
    """Return one event as a row: its metadata beside its own fields, unknown metadata as JSON, and its text if it has
    one.

    >>> flatten({"event_id": "e", "name": "x", "time": 1, "user_id": "u", "value": 1, "metadata": {"turn": 2, "a": 3}})
    {'event_id': 'e', 'name': 'x', 'time': 1, 'user_id': 'u', 'value': '1', 'turn': 2, 'other': '{"a": 3}'}
    """
    row = {name: line[name] for name in EVENT}
    row["value"] = None if line["value"] is None else str(line["value"])
    metadata = {name: value for name, value in line["metadata"].items() if name not in EVENT and value is not None}
    own = {name: value for name, value in metadata.items() if _fits(value, METADATA.get(name))}
    other = {name: value for name, value in metadata.items() if name not in own}
    rest = {"other": json.dumps(other, ensure_ascii=False)} if other else {}
    return row | own | rest | (line.get("text") or {})


def _fits(value: Any, kind: type | None) -> bool:
    return type(value) is kind or (kind is float and type(value) is int)


def _write_jsonl(lines: Iterable[Line], sink: BinaryIO) -> None:
    for line in lines:
        sink.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _write_csv(lines: Iterable[Line], sink: BinaryIO, fields: Mapping[str, type]) -> None:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(fields)
        for line in lines:
            row = flatten(line)
            writer.writerow(_spell(row.get(name)) for name in fields)
    finally:
        text.detach()  # the sink belongs to the caller and stays open


def _spell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else cell(value)


def _write_parquet(lines: Iterable[Line], sink: BinaryIO, fields: Mapping[str, type]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in fields.items()])
    with parquet.ParquetWriter(pa.PythonFile(_Counted(sink), mode="w"), schema, compression="zstd") as writer:
        unread = iter(lines)
        while rows := [flatten(line) for line in islice(unread, GROUP_OF_ROWS)]:
            values = {name: [row.get(name) for row in rows] for name in fields}
            writer.write_table(pa.table(values, schema=schema))


class _Counted:
    """A pipe with the position that pyarrow asks a file for."""

    closed = False

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self._written = sink, 0

    def write(self, data: Any) -> int:
        self._written += len(data)
        return self._sink.write(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._sink.flush()
