"""Looking through all of a store for what is no longer what was written. Beside a running service too: nothing is changed."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consentry_core.process.settings import SettingError
from consentry_devices.log.entries import Kind
from consentry_devices.storage import tables
from consentry_devices.storage.checksums import intact
from consentry_devices.storage.reading import is_passing, read_entries
from consentry_devices.storage.store import FILE, open_engine

_AT_ONCE = 2_000
_AT_ONCE_BYTES = 16 * 1024 * 1024
_STATE = (tables.locations, tables.devices, tables.sensors, tables.alarms, tables.alarm_events, tables.latest)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: each problem in words; how many rows have a checksum and how many, older than these, have none."""

    problems: Sequence[str]
    checked: int
    without: int


def verify(folder: Path) -> Verified:
    """Look through the store in a folder. SettingError when there is none that can be opened."""
    file = folder / FILE
    if not file.is_file():
        raise SettingError(f"there is no {file}; name the device-data service's folder with --data-dir")
    logging.getLogger("consentry_devices").setLevel(logging.CRITICAL)  # what is found is returned
    engine = open_engine(file)
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table("log") or not _has_checksums(connection):
                raise SettingError(f"{file} has no checksums; they come when this version of the service has opened it once")
            return _verified(connection)
    except sa.exc.OperationalError as error:
        raise SettingError(f"{file} cannot be read ({error.orig})") from error
    finally:
        engine.dispose()


def _has_checksums(connection: sa.Connection) -> bool:
    return any(column["name"] == "checksum" for column in sa.inspect(connection).get_columns("log"))


def _verified(connection: sa.Connection) -> Verified:
    problems = [*_structure(connection), *_entries(connection)]
    for table in _STATE:
        problems += _rows(connection, table)
    of = [
        connection.execute(sa.select(sa.func.count(), sa.func.count(table.c.checksum))).one() for table in _tables(connection)
    ]
    return Verified(problems, sum(checked for _, checked in of), sum(rows - checked for rows, checked in of))


def _tables(connection: sa.Connection) -> Iterator[sa.Table]:
    """Those that can be counted."""
    for table in (tables.log, *_STATE):
        try:
            connection.execute(sa.select(sa.func.count(table.c.checksum))).one()
        except sa.exc.DatabaseError as error:
            if is_passing(error):
                raise
        else:
            yield table


def _structure(connection: sa.Connection) -> Iterator[str]:
    """What the database finds itself: pages and indexes that do not fit together."""
    try:
        for found in connection.exec_driver_sql("PRAGMA integrity_check(100)").scalars():
            if found != "ok":
                yield f"database: {found}"
    except sa.exc.DatabaseError as error:
        yield f"database: {error.orig}"


def _entries(connection: sa.Connection) -> Iterator[str]:
    seq = 0
    while entries := read_entries(connection, seq, _AT_ONCE, max_bytes=_AT_ONCE_BYTES):
        for entry in entries:
            if entry.kind is Kind.DAMAGED:
                yield f"log: entry {entry.seq}"
        seq = entries[-1].seq


def _rows(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    keys = [index for index, column in enumerate(table.columns) if column.primary_key]
    try:
        for rows in connection.execute(sa.select(table)).partitions(_AT_ONCE):
            fine = {id(row) for row in intact(table, rows)}
            yield from (f"{table.name}: {_named(row, keys)}" for row in rows if id(row) not in fine)
    except sa.exc.DatabaseError as error:
        yield f"{table.name}: cannot be read whole ({error.orig})"


def _named(row: Any, keys: Sequence[int]) -> str:
    return " ".join(repr(row[index]) for index in keys)
