"""A SQL database behind threads: reads side by side, writes in a transaction each, the event loop never waits for a disk.

SQLite has one writer. One thread writes, so that writers queue here and not in SQLite's busy handler. Who reads and who writes
takes turns (`turns`).
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consentry_core.pacing.turns import Turns
from consentry_core.process.lifecycle import check_writable
from consentry_core.process.settings import SettingError
from consentry_core.sql.backups import refuse_foreign_wal
from consentry_core.sql.postgres import is_passing
from consentry_core.values.errors import Unavailable

__all__ = [
    "PRAGMAS",
    "Database",
    "Lane",
    "check_writable",
    "insert_missing",
    "one_lane",
    "open_sqlite",
    "refuse_newer",
    "upsert",
]

_T = TypeVar("_T")
Lane = Callable[[], str]
"""The lane of whoever asks at this moment; see `Turns`."""

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000")
"""How each connection to an SQLite file is set up."""
_log = logging.getLogger(__name__)

# What is the machine's state and not our mistake: it passes, by itself or once somebody has made room.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_LARGEST_SUM = 2**62
_PRIMARY_CODE = 0xFF  # the rest of an error code tells more exactly what


def one_lane() -> str:
    """The same lane for all."""
    return ""


class Database:
    """Access to one database. `read` and `write` take a function of a connection and run it off the event loop.

    Both raise Unavailable when the disk is full or fails, or when the file has become read-only: nothing is changed then.
    """

    def __init__(self, engine: sa.Engine, *, readers: int = 4) -> None:
        self.engine = engine
        self._writer = Turns("database-write")
        self._readers = Turns("database-read", threads=readers)

    async def read(self, question: Callable[[sa.Connection], _T], *, lane: str = "") -> _T:
        """The answer to a question, all of it from one snapshot of the database. Lanes take turns; see `Turns`."""
        return await self._off_the_loop(self._readers.run(lambda: self._in_snapshot(question), lane=lane))

    async def write(
        self,
        change: Callable[[sa.Connection], _T],
        *,
        lane: str = "",
        urgent: bool = False,
        committed: Callable[[_T], None] | None = None,
    ) -> _T:
        """Make a change: committed when `change` returns, undone when it raises. `committed` is then told what it returned.

        Once it has begun it runs to its end, also when the caller is cancelled: a caller that goes away must not leave the
        question open whether its change was made. Changes of one lane are made in their order; see `Turns`.
        """
        return await self._off_the_loop(
            self._writer.run(lambda: self.write_now(change, committed=committed), lane=lane, urgent=urgent)
        )

    def write_now(self, change: Callable[[sa.Connection], _T], *, committed: Callable[[_T], None] | None = None) -> _T:
        """`write` in the calling thread, for programs without an event loop."""
        with self.engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
            value = change(connection)
        if committed is not None:
            committed(value)
        return value

    @staticmethod
    async def _off_the_loop(working: Awaitable[_T]) -> _T:
        try:
            return await working
        except sa.exc.DBAPIError as error:
            if not _is_passing(error):
                raise
            _log.error("the database cannot be used: %s", error.orig)
            raise Unavailable(
                "the service cannot use its database at this moment; try again a little later",
                retry_after=2.0,
                reason="STORE_UNAVAILABLE",
            ) from error

    def _in_snapshot(self, question: Callable[[sa.Connection], _T]) -> _T:
        # Begun by the first question, and rolled back: nothing was changed, and a commit can fail where a page cannot be read.
        with self.engine.connect() as connection:
            return question(connection)

    def close(self) -> None:
        """Let what has begun finish, then close."""
        self._writer.close()
        self._readers.close()
        self.engine.dispose()


def _is_passing(error: sa.exc.DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return is_passing(error) if code is None else code & _PRIMARY_CODE in _PASSING


def refuse_newer(found: Iterable[str], known: Iterable[str], file: object) -> None:
    """SettingError when a database's schema is one that this program has never heard of: a newer one made it."""
    if unknown := sorted(set(found) - set(known)):
        raise SettingError(
            f"the database {file} has a newer schema ({', '.join(unknown)}) than this version of the program knows; "
            "run the version that made it, or a newer one, or put back a backup that this one made"
        )


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    added: Collection[str],
    largest: Collection[str],
) -> None:
    """Insert rows; to one that is there already the columns `added` are added, and of `largest` the larger one is kept.

    Sums end at 2**62: what databases do with more than fits into 64 bits differs, and none of it is wanted.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(table)
    values: dict[str, sa.ColumnElement[Any]] = {
        name: sa.case(
            (table.c[name] > _LARGEST_SUM - new.excluded[name], sa.literal(_LARGEST_SUM, sa.BigInteger)),
            else_=table.c[name] + new.excluded[name],
        )
        for name in added
    }
    values |= {name: sa.case((new.excluded[name] > table.c[name], new.excluded[name]), else_=table.c[name]) for name in largest}
    connection.execute(new.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=values), rows)


def insert_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert those of these rows that are not there, by their key: how many those are."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))
    return connection.execute(insert, rows, execution_options={"preserve_rowcount": True}).rowcount


def open_sqlite(path: Path, pragmas: Sequence[str] = ()) -> sa.Engine:
    """An engine for an SQLite file: WAL, every commit on disk before it returns. SettingError when it cannot be written.

    A new file can be read by its owner only, whatever its folder lets others do; what SQLite puts beside it likewise.
    `pragmas` come first: some count only until the file is written to.
    """
    check_writable(path.parent)
    refuse_foreign_wal(path)
    if not path.exists():
        path.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False})
    sa.event.listen(engine, "connect", lambda connection, _: _prepare_connection(connection, (*pragmas, *PRAGMAS)))
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: sqlite3.Connection, pragmas: Sequence[str]) -> None:
    # No isolation level: the driver begins nothing by itself, so that `_begin` below decides how a transaction begins.
    connection.isolation_level = None
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can fail in SQLite when another one wrote in between; one that is going to
    # write takes the write lock first.
    immediate = connection.get_execution_options().get("consentry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
