"""A device's blocks of a time range, from the log."""

from collections.abc import Iterable
from typing import Any, cast

import sqlalchemy as sa

from consentry_devices.feed.log import Kind
from consentry_devices.state import Blocks, Position
from consentry_devices.storage import tables
from consentry_devices.storage.spans import LONGEST
from consentry_rule import CustomerId, Instant

_EARLIEST, _LATEST = -(2**63), 2**63 - 1  # what a column holds


def _of_class(number: int) -> sa.Select[Any]:
    log = tables.log.c
    after: list[Any] = [sa.bindparam(f"{name}_{number}") for name in ("min_time", "max_time", "seq")]
    return sa.select(log.min_time, log.max_time, log.seq, log.payload).where(
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
_QUERY = sa.union_all(*map(_of_class, range(len(LONGEST)))).order_by("min_time", "max_time", "seq")


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
    values = {"customer": customer, "device": device, "start": start, "end": end, "up_to": up_to}
    for number, longest in enumerate(LONGEST):
        # Of this class nothing that begins earlier reaches into the range.
        before = Position(max(start - longest - 1, _EARLIEST), _LATEST, _LATEST)
        begin = after if after.min_time > before.min_time else before
        values |= {f"min_time_{number}": begin.min_time, f"max_time_{number}": begin.max_time, f"seq_{number}": begin.seq}
    found: list[tuple[int, int, int, bytes]] = []
    size = 0
    result = connection.execute(_QUERY, values)
    # The driver's own rows: of one-minute data there are hundreds of thousands, and wrapping each costs as much as reading it.
    for row in cast("Iterable[tuple[int, int, int, bytes]]", result.cursor):
        found.append(row)
        size += len(row[3])
        if size >= max_bytes:
            break
    result.close()
    min_times, max_times, seqs, payloads = zip(*found, strict=True) if found else ((), (), (), ())
    return Blocks(min_times, max_times, seqs, payloads, there_may_be_more=size >= max_bytes)
