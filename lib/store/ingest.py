"""Import of an export into tables of the store, in a database that lives as long as one readout, so that the readout's
usual SQL can read it.

Reads line by line and keeps nothing in memory; events may come in any order and more than once. Loads exposures, ended
answers, ratings, signals and preferences. Lines are checked in `event_lines`.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import sqlite

from lib.domain.events import CHAT_COMPLETION, EXPOSURE, PREFERENCE, RATING_WITHDRAWN
from lib.domain.operations import stretch
from lib.domain.rating import RATINGS
from lib.store.database import Database
from lib.store.event_lines import UnreadableLine, checked_event
from lib.store.facts import keep_votes
from lib.store.rows import storable
from lib.store.schema import answer, event, exposure
from lib.store.tallies import Read
from lib.store.votes import vote_of

MAX_PROBLEMS = 20
"""Unreadable lines that are reported one by one."""
BATCH = 2_000


TOO_MANY = 0.01
"""Share of unreadable lines above which the readout of a file is unreliable."""

_staged = MetaData()
ended = Table(
    "ended",
    _staged,
    Column("event_id", String, primary_key=True),
    Column("answer_id", String),
    Column("experiment", String),
    Column("grp", String),
    Column("user_id", String),
    Column("simulated", Boolean),
    Column("time_ms", BigInteger),
    Column("finish_reason", String),
    Column("response_time", Float),
    Column("time_to_first_token", Float),
    Column("completion_tokens", Integer),
    Column("cost_usd", Float),
)
voted = Table(
    "voted",
    _staged,
    Column("event_id", String, primary_key=True),
    Column("answer_id", String),
    Column("time_ms", BigInteger),
    Column("rating", String),
)


@dataclass(slots=True)
class Imported:
    """A file's events in a database. `problems` names the first unreadable lines; `unreadable` counts all of them, of
    all `lines` that are not blank."""

    read: Read
    lines: int = 0
    events: int = 0
    last_ms: int | None = None
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def unreliable(self) -> bool:
        """True where more than 1 % of the lines cannot be read."""
        return self.unreadable > TOO_MANY * self.lines


@contextmanager
def imported(lines: Iterable[bytes]) -> Iterator[Imported]:
    """Load an export, one JSON object per line, into a database that exists until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="parley-") as folder,
        closing(Database.open(f"sqlite:///{Path(folder, 'events.db')}")) as database,
    ):
        into = Imported(database.read)
        with database.begin() as connection:
            _take(connection, lines, into)
        yield into


def _take(connection: Connection, lines: Iterable[bytes], into: Imported) -> None:
    _staged.create_all(connection)
    events = _events(lines, into)
    while batch := list(islice(events, BATCH)):
        for table, row_of in _ROWS.items():
            rows = [row for item in batch if (row := row_of(item)) is not None]
            if rows:
                connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        keep_votes(connection, [row for item in batch if (row := _compared_row(item)) is not None])
    _make_answers(connection)
    into.events = connection.scalar(select(func.count()).select_from(event)) or 0
    into.last_ms = connection.scalar(select(func.max(event.c.time_ms)))


def _events(lines: Iterable[bytes], into: Imported) -> Iterator[Mapping[str, Any]]:
    """Yield the valid events; report the others with their line numbers."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        into.lines += 1
        try:
            yield checked_event(line)
        except UnreadableLine as problem:
            into.unreadable += 1
            if len(into.problems) < MAX_PROBLEMS:
                into.problems.append(f"line {number}: {problem}")


def _event_row(line: Mapping[str, Any]) -> dict[str, Any]:
    answer_id = line["metadata"].get("answer_id")
    return _of(line) | {
        "name": storable(line["name"]),
        "metadata": "{}",
        "ids": "{}",
        "answer_id": storable(answer_id) if isinstance(answer_id, str) else None,
    }


def _exposure_row(line: Mapping[str, Any]) -> dict[str, Any] | None:
    if line["name"] != EXPOSURE:
        return None
    about = line["metadata"]
    return _of(line) | {
        "experiment": _stretch(about),
        "grp": _group(about),
        "forced": bool(about.get("forced")),
    }


def _ended_row(line: Mapping[str, Any]) -> dict[str, Any] | None:
    if line["name"] != CHAT_COMPLETION:
        return None
    about = line["metadata"]
    numbers = {key: about.get(key) for key in ("response_time", "time_to_first_token", "completion_tokens", "cost_usd")}
    return (
        _of(line)
        | numbers
        | {
            "experiment": _stretch(about),
            "answer_id": storable(about["answer_id"]),
            "grp": _group(about),
            "finish_reason": storable(line["value"]),
        }
    )


def _voted_row(line: Mapping[str, Any]) -> dict[str, Any] | None:
    if line["name"] not in (*RATINGS, RATING_WITHDRAWN):
        return None
    rating = None if line["name"] == RATING_WITHDRAWN else line["name"]
    answer_id = storable(line["metadata"]["answer_id"])
    return {
        "event_id": storable(line["event_id"]),
        "answer_id": answer_id,
        "time_ms": int(line["time"]),
        "rating": rating,
    }


def _compared_row(line: Mapping[str, Any]) -> dict[str, Any] | None:
    vote = vote_of(line["value"], line["metadata"]) if line["name"] == PREFERENCE else None
    if vote is None:
        return None
    texts = {name: storable(item) if isinstance(item, str) else item for name, item in vote.items()}
    return _of(line) | texts


_ROWS: dict[Table, Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
    event: _event_row, exposure: _exposure_row, ended: _ended_row, voted: _voted_row,
}  # fmt: skip


def _of(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "event_id": storable(line["event_id"]),
        "user_id": storable(line["user_id"]),
        "time_ms": int(line["time"]),
        "simulated": bool(line.get("simulated") or line["metadata"].get("simulated")),
    }


def _stretch(about: Mapping[str, Any]) -> str:
    return stretch(storable(about["experiment"]), about.get("run") or 1)


def _group(about: Mapping[str, Any]) -> str | None:
    group = about.get("group")
    return storable(group) if isinstance(group, str) else None


def _make_answers(connection: Connection) -> None:
    """Insert one row for each answer: its first end and its last rating (of one moment: by event id)."""
    first = func.row_number().over(partition_by=ended.c.answer_id, order_by=(ended.c.time_ms, ended.c.event_id))
    ends = select(ended).add_columns(first.label("place")).subquery()
    newest = (voted.c.time_ms.desc(), voted.c.event_id.desc())
    last = func.row_number().over(partition_by=voted.c.answer_id, order_by=newest)
    votes = select(voted).add_columns(last.label("place")).subquery()
    same: dict[str, ColumnElement[Any]] = {
        name: column for name, column in ends.c.items() if name not in ("event_id", "place")
    }
    none: dict[str, ColumnElement[Any]] = {
        "conversation_id": literal(""),
        "session_id": literal(""),
        "turn": literal(0),
        "model": literal(""),
    }
    values: dict[str, ColumnElement[Any]] = same | none | {"rating": votes.c.rating, "rated_ms": votes.c.time_ms}
    rows = select(*values.values()).select_from(
        ends.outerjoin(votes, and_(votes.c.answer_id == ends.c.answer_id, votes.c.place == 1))
    )
    connection.execute(insert(answer).from_select(list(values), rows.where(ends.c.place == 1)))
