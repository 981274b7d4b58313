"""A device's blocks of a time range, from the log."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, cast

import sqlalchemy as sa

from consentry_devices.domain.state import Blocks, Position
from consentry_devices.log.entries import Kind
from consentry_devices.storage import tables
from consentry_devices.storage.checksums import of_entry, of_place, say
from consentry_devices.storage.reading import is_passing, read_checked_from
from consentry_devices.storage.spans import LONGEST
from consentry_rule import CustomerId, Instant

_Row = tuple[int, int, int, bytes | None, int | None]
_EARLIEST, _LATEST = -(2**63), 2**63 - 1  # what a column holds


def _of_class(number: int, *rest: sa.Column[Any]) -> sa.Select[Any]:
    log = tables.log.c
    after: list[Any] = [sa.bindparam(f"{name}_{number}") for name in ("min_time", "max_time", "seq")]
    return sa.select(log.min_time, log.max_time, log.seq, *rest).where(
        log.customer == sa.bindparam("customer"),
        log.kind == Kind.TELEMETRY.value,
        log.device == sa.bindparam("device"),
        log.span_class == number,
        sa.tuple_(log.min_time, log.max_time, log.seq) > sa.tuple_(*after),
        log.min_time < sa.bindparam("end"),
        log.max_time >= sa.bindparam("start"),
        log.seq <= sa.bindparam("up_to"),
    )


# The database merges the classes as it reads: each comes out of the index in order. Made once: it is long.
def _query(*rest: sa.Column[Any]) -> Any:
    classes = [_of_class(number, *rest) for number in range(len(LONGEST))]
    return sa.union_all(*classes).order_by("min_time", "max_time", "seq")


_QUERY = _query(tables.log.c.payload, tables.log.c.checksum)
_PLACES = _query()  # which the index alone answers


def read_blocks(
    connection: sa.Connection,
    customer: CustomerId,
    device: str,
    start: Instant,
    end: Instant,
    *,
    after: Position,
    up_to: int,
    max_bytes: int,
) -> Blocks:
    """See `State.history`."""
    values: dict[str, Any] = {"customer": customer, "device": device, "start": start, "end": end, "up_to": up_to}
    for number, longest in enumerate(LONGEST):
        # Of this class nothing that begins earlier reaches into the range.
        before = Position(max(start - longest - 1, _EARLIEST), _LATEST, _LATEST)
        begin = after if after.min_time > before.min_time else before
        values |= {f"min_time_{number}": begin.min_time, f"max_time_{number}": begin.max_time, f"seq_{number}": begin.seq}
    place, checked_from = of_place(customer, Kind.TELEMETRY.value, device), read_checked_from(connection)
    try:
        with contextlib.closing(connection.execute(_QUERY, values)) as result:
            # The driver's own rows: of one-minute data there are hundreds of thousands, wrapping each costs as much as reading.
            return _taken(cast("Iterable[_Row]", result.cursor), place, checked_from, max_bytes)
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        if is_passing(error):
            raise
    return _taken(_one_by_one(connection, values), place, checked_from, max_bytes)


def _taken(rows: Iterable[_Row], place: int, checked_from: int, max_bytes: int) -> Blocks:
    found: list[tuple[int, int, int, bytes]] = []
    size, last, damaged = 0, None, False
    for min_time, max_time, seq, payload, checksum in rows:
        is_old = checksum is None and seq < checked_from
        if not is_old and (type(payload) is not bytes or checksum != of_entry(place, seq, min_time, max_time, payload)):
            damaged, last = True, Position(min_time, max_time, seq)
            say("log", str(seq))
            continue
        assert payload is not None  # noqa: S101 - a row that was read has one
        found.append((min_time, max_time, seq, payload))
        size, last = size + len(payload), None
        if size >= max_bytes:
            break
    min_times, max_times, seqs, payloads = zip(*found, strict=True) if found else ((), (), (), ())
    return Blocks(min_times, max_times, seqs, payloads, there_may_be_more=size >= max_bytes, damaged=damaged, last=last)


def _one_by_one(connection: sa.Connection, values: dict[str, Any]) -> Iterator[_Row]:
    """The same, when a row cannot be read at all: what the index knows of, with a checksum that nothing has in its place."""
    query = sa.select(tables.log.c.payload, tables.log.c.checksum).where(tables.log.c.seq == sa.bindparam("number"))
    for min_time, max_time, seq in connection.execute(_PLACES, values).all():
        try:
            payload, checksum = connection.execute(query, {"number": seq}).one()
        except sa.exc.SQLAlchemyError:
            payload, checksum = None, -1
        yield min_time, max_time, seq, payload, checksum
