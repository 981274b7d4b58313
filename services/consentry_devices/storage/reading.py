"""Reading the log as it was written: what is damaged is an entry of its own kind, and never another one's content.

Numbers have no holes. So what cannot be read, or is not there between two that are, is damaged, and its number is known.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from consentry_devices.log.entries import Entry, Kind
from consentry_devices.storage import rows, tables
from consentry_devices.storage.checksums import say
from consentry_rule import CustomerId, DataClass, Instant


def read_entries(connection: sa.Connection, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
    """See `Log.read_after`."""
    query = sa.select(tables.log).where(tables.log.c.seq > seq).order_by(tables.log.c.seq).limit(limit)
    first = connection.scalar(sa.select(sa.func.min(tables.log.c.seq)))
    tail = connection.scalar(sa.select(tables.store.c.tail)) or 0
    checked_from = read_checked_from(connection)
    begin = seq + 1 if first is None else max(seq + 1, first)
    try:
        with contextlib.closing(connection.execute(query)) as result:
            found, done = _entries(result, begin, checked_from, max_bytes)
    except sa.exc.DatabaseError as error:
        if is_passing(error):
            raise
        rest = _one_by_one(connection, begin, min(begin + limit - 1, tail))
        found, done = _entries(rest, begin, checked_from, max_bytes)
    if first is not None and not done:
        # All that there is was read, but for what is damaged.
        end = min(tail, begin + limit - 1)
        found += [_damaged(number) for number in range(found[-1].seq + 1 if found else begin, end + 1)]
    return found


def read_checked_from(connection: sa.Connection) -> int:
    """From which entry of the log on all have checksums."""
    found = connection.scalar(sa.select(tables.store.c.checked_from))
    return found if isinstance(found, int) else 1


def is_passing(error: Exception) -> bool:
    """Whether it is the database's state of this moment, and not what it holds."""
    return isinstance(error, sa.exc.OperationalError | sqlite3.OperationalError)


def _entries(found: Iterable[Any], begin: int, checked_from: int, max_bytes: int) -> tuple[list[Entry], bool]:
    """The entries, what is damaged in between included; and whether the reading stopped because they are enough."""
    entries: list[Entry] = []
    size = 0
    for row in found:
        entry = rows.entry_of(row, checked_from)
        if entry is None or entry.seq < begin + len(entries):
            continue  # its very number may be another one
        entries += [_damaged(number) for number in range(begin + len(entries), entry.seq)]
        entries.append(entry)
        size += len(entry.payload)
        if size >= max_bytes:
            return entries, True
    return entries, False


def _one_by_one(connection: sa.Connection, begin: int, end: int) -> Iterator[Any]:
    query = sa.select(tables.log).where(tables.log.c.seq == sa.bindparam("number"))
    for number in range(begin, end + 1):
        try:
            row = connection.execute(query, {"number": number}).one_or_none()
        except sa.exc.DatabaseError as error:
            if is_passing(error):
                raise
            continue
        if row is not None:
            yield row


def _damaged(seq: int) -> Entry:
    say("log", str(seq))
    return Entry(
        seq, CustomerId(""), DataClass.TELEMETRY, Kind.DAMAGED, None, Instant(0), Instant(0), Instant(0), historical=False,
        payload=b"",
    )  # fmt: skip
