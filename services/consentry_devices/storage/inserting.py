"""Inserting many rows. The one place that knows what SQLite and PostgreSQL spell differently.

With SQLite a statement takes many rows at once. The driver gives Python's lock away for each step of a statement and waits to
get it back; row by row, beside an event loop that is busy taking frames in, the waiting cost more than the inserting.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
_Insert = sqlite.Insert | postgresql.Insert
_ROWS_AT_ONCE = 128  # a power of two; the rest goes in powers of two, so that few statements are prepared


def insert(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows."""
    _run(connection, _new(connection, table), rows)


def add_new(connection: sa.Connection, table: sa.Table, rows: Rows) -> None:
    """Insert rows, but those that are there already."""
    _run(connection, _new(connection, table).on_conflict_do_nothing(), rows)


def upsert(connection: sa.Connection, table: sa.Table, rows: Rows, *, unless_older: str | None = None) -> None:
    """Insert rows, or replace those with the same primary key; with `unless_older`, only if that column is not lower."""
    statement = _new(connection, table)
    new = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    replacing = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_=new,
        where=None if unless_older is None else statement.excluded[unless_older] >= table.c[unless_older],
    )
    _run(connection, replacing, rows)


def _new(connection: sa.Connection, table: sa.Table) -> _Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _run(connection: sa.Connection, statement: _Insert, rows: Rows) -> None:
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(statement, list(rows))
        return
    text, columns = str(statement.compile(dialect=connection.dialect)), [column.name for column in statement.table.columns]
    values = itemgetter(*columns)
    done, at_once = 0, _ROWS_AT_ONCE
    while done < len(rows):
        while at_once > len(rows) - done:
            at_once //= 2
        some = chain.from_iterable(map(values, rows[done : done + at_once]))
        connection.exec_driver_sql(_with_rows(text, len(columns), at_once), tuple(some))
        done += at_once


@lru_cache(maxsize=256)
def _with_rows(statement: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    before, _, after = statement.partition(f" VALUES {row}")
    return f"{before} VALUES {', '.join([row] * rows)}{after}"
