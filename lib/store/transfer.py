"""The whole record, copied from one database to another: every table, row by row, in an order that can be repeated.

Existing rows are skipped, so an interrupted copy continues when it is called again. Knows both dialects through
SQLAlchemy alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, func, select

from lib.store import schema
from lib.store.database import Database
from lib.store.facts import insert_into

PIECE = 1_000
"""Rows of one transaction."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One table after its copy, with the row counts of both databases."""

    table: str
    source: int
    target: int

    @property
    def whole(self) -> bool:
        """True when both have the same number."""
        return self.source == self.target


def copy(source: Database, target: Database) -> Iterator[Copied]:
    """Copy every table and yield its counts when it is done. Raises StoreError and DBAPIError."""
    for table in schema.metadata.sorted_tables:
        if table is schema.migration:  # each database has its own
            continue
        with source.read() as reading:
            for rows in _pieces(reading, table):
                with target.begin() as writing:
                    writing.execute(insert_into(writing, table).on_conflict_do_nothing(), rows)
            with target.read() as target_reading:
                yield Copied(table.name, _count(reading, table), _count(target_reading, table))


def _pieces(connection: Connection, table: Table) -> Iterator[list[dict[str, object]]]:
    columns = _stored(table)
    rows = connection.execute(select(*columns).execution_options(yield_per=PIECE))
    for part in rows.partitions():
        yield [dict(row._mapping) for row in part]


def _stored(table: Table) -> list[Column[object]]:
    """Return the columns that are written; the database computes the others."""
    return [column for column in table.columns if column.computed is None]


def _count(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)
