"""Inserting many rows, and deleting some. The one place that knows what SQLite and PostgreSQL spell differently.

With SQLite a statement takes many rows at once. The driver gives Python's lock away for each step of a statement and waits to
get it back; row by row, beside an event loop that is busy taking frames in, the waiting cost more than the inserting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
_Insert = sqlite.Insert | postgresql.Insert
_ROWS_AT_ONCE = 128  # a power of two; the rest goes in powers of two, so that few statements are prepared


def insert(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows."""
    _run(connection, _Kind(table), rows)


def add_new(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows, but those that are there already."""
    _run(connection, _Kind(table, "keep"), rows)


def upsert(connection: sa.Connection, table: sa.Table, rows: Rows, *, unless_older: str | None = None) -> None:
    """Insert rows, or replace those with the same primary key; with `unless_older`, only if that column is not lower."""
    _run(connection, _Kind(table, "replace", unless_older), rows)


def upsert_values(
    connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]], *, unless_older: str | None = None
) -> None:
    """`upsert` of rows that are values in the order of the table's columns: for rows of which there are many."""
    kind = _Kind(table, "replace", unless_older)
    if connection.dialect.name == "sqlite":
        _run_values(connection, kind, rows)
    else:
        columns = [column.name for column in table.columns]
        _run(connection, kind, [dict(zip(columns, row, strict=True)) for row in rows])


def delete(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Delete the rows with these values, all of the same columns."""
    if rows:
        same = [table.c[column] == sa.bindparam(f"of_{column}") for column in rows[0]]
        values = [{f"of_{column}": value for column, value in row.items()} for row in rows]
        connection.execute(sa.delete(table).where(*same), values)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is inserted where, and what happens to a row that is there with the same primary key."""

    table: sa.Table
    there: Literal["fail", "keep", "replace"] = "fail"
    unless_older: str | None = None

    def statement(self, dialect: str) -> _Insert:
        statement = postgresql.insert(self.table) if dialect == "postgresql" else sqlite.insert(self.table)
        if self.there == "fail":
            return statement
        if self.there == "keep":
            return statement.on_conflict_do_nothing()
        older = self.unless_older
        return statement.on_conflict_do_update(
            index_elements=list(self.table.primary_key.columns),
            set_={column.name: statement.excluded[column.name] for column in self.table.columns if not column.primary_key},
            where=None if older is None else statement.excluded[older] >= self.table.c[older],
        )


def _run(connection: sa.Connection, kind: _Kind, rows: Rows) -> None:
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(kind.statement(connection.dialect.name), list(rows))
        return
    values = itemgetter(*(column.name for column in kind.table.columns))
    _run_values(connection, kind, list(map(values, rows)))


def _run_values(connection: sa.Connection, kind: _Kind, rows: Sequence[tuple[Any, ...]]) -> None:
    done, at_once = 0, _ROWS_AT_ONCE
    while done < len(rows):
        while at_once > len(rows) - done:
            at_once //= 2
        some = chain.from_iterable(rows[done : done + at_once])
        connection.exec_driver_sql(_of_rows(kind, at_once), tuple(some))
        done += at_once


@lru_cache(maxsize=256)
def _of_rows(kind: _Kind, rows: int) -> str:
    """The statement for SQLite that takes so many rows."""
    row = f"({', '.join('?' * len(kind.table.columns))})"
    before, _, after = str(kind.statement("sqlite").compile(dialect=sqlite.dialect())).partition(f" VALUES {row}")
    return f"{before} VALUES {', '.join([row] * rows)}{after}"
