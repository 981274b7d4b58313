"""Inserting many rows, and deleting some. The one place that knows what SQLite and PostgreSQL spell differently in that.

With SQLite a statement takes many rows at once. The driver gives Python's lock away for each step of a statement and waits to
get it back; row by row, beside an event loop that is busy taking frames in, the waiting cost more than the inserting.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
_Insert = sqlite.Insert | postgresql.Insert
_LARGEST_SUM: sa.ColumnElement[int] = sa.literal_column(str(2**62), sa.BigInteger)
_ROWS_AT_ONCE = 128  # a power of two; the rest goes in powers of two, so that few statements are prepared


def insert(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows."""
    _run(connection, _Kind(table), rows)


def add_new(connection: sa.Connection, table: sa.Table, rows: Rows) -> int:
    """Insert rows, but those that are there already; how many were not."""
    return _run(connection, _Kind(table, "keep"), rows)


def upsert(connection: sa.Connection, table: sa.Table, rows: Rows, *, unless_older: str | None = None) -> None:
    """Insert rows, or replace those with the same primary key; with `unless_older`, only if that column is not lower."""
    _run(connection, _Kind(table, "replace", unless_older), rows)


def accumulate(
    connection: sa.Connection, table: sa.Table, rows: Rows, *, added: tuple[str, ...], largest: tuple[str, ...]
) -> None:
    """Insert rows; to one that is there already the columns `added` are added, and of `largest` the larger one is kept.

    Sums end at 2**62: what databases do with more than fits into 64 bits differs, and none of it is wanted.
    """
    _run(connection, _Kind(table, "replace", added=added, largest=largest), rows)


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
    added: tuple[str, ...] = ()
    largest: tuple[str, ...] = ()

    def statement(self, dialect: str) -> _Insert:
        new = postgresql.insert(self.table) if dialect == "postgresql" else sqlite.insert(self.table)
        if self.there == "fail":
            return new
        if self.there == "keep":
            return new.on_conflict_do_nothing()
        older = self.unless_older
        return new.on_conflict_do_update(
            index_elements=list(self.table.primary_key.columns),
            set_={name: self._value(name, new.excluded[name]) for name in self._changed()},
            where=None if older is None else new.excluded[older] >= self.table.c[older],
        )

    def _changed(self) -> Iterable[str]:
        return (*self.added, *self.largest) or [column.name for column in self.table.columns if not column.primary_key]

    def _value(self, name: str, new: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        old = self.table.c[name]
        if name in self.added:
            return sa.case((old > _LARGEST_SUM - new, _LARGEST_SUM), else_=old + new)
        return sa.case((new > old, new), else_=old) if name in self.largest else new


def _run(connection: sa.Connection, kind: _Kind, rows: Rows) -> int:
    """How many rows were inserted or replaced."""
    if not rows:
        return 0
    if connection.dialect.name != "sqlite":
        statement = kind.statement(connection.dialect.name)
        return connection.execute(statement, list(rows), execution_options={"preserve_rowcount": True}).rowcount
    values = itemgetter(*(column.name for column in kind.table.columns))
    return _run_values(connection, kind, list(map(values, rows)))


def _run_values(connection: sa.Connection, kind: _Kind, rows: Sequence[tuple[Any, ...]]) -> int:
    done, at_once, count = 0, _ROWS_AT_ONCE, 0
    while done < len(rows):
        while at_once > len(rows) - done:
            at_once //= 2
        some = chain.from_iterable(rows[done : done + at_once])
        count += connection.exec_driver_sql(_of_rows(kind, at_once), tuple(some)).rowcount
        done += at_once
    return count


@lru_cache(maxsize=256)
def _of_rows(kind: _Kind, rows: int) -> str:
    """The statement for SQLite that takes so many rows."""
    row = f"({', '.join('?' * len(kind.table.columns))})"
    before, _, after = str(kind.statement("sqlite").compile(dialect=sqlite.dialect())).partition(f" VALUES {row}")
    return f"{before} VALUES {', '.join([row] * rows)}{after}"
