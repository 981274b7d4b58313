"""A device's blocks of a time range, from the log."""

from collections.abc import Iterable
from typing import cast

import sqlalchemy as sa

from consentry_devices.feed.log import Kind
from consentry_devices.state import Blocks, Position
from consentry_devices.storage import tables
from consentry_devices.storage.spans import LONGEST
from consentry_rule import CustomerId, Instant

_EARLIEST = -(2**63)  # what a column holds


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
    log = tables.log.c

    def of_class(number: int) -> sa.Select[tuple[int, int, int, bytes]]:
        earliest = max(start - LONGEST[number], _EARLIEST)
        place = sa.tuple_(log.min_time, log.max_time, log.seq)
        # Either says where to begin in the index. With both, the database may take the wrong one.
        begins = log.min_time >= earliest if after.min_time < earliest else place > (after.min_time, after.max_time, after.seq)
        return sa.select(log.min_time, log.max_time, log.seq, log.payload).where(
            log.customer == customer,
            log.kind == Kind.TELEMETRY.value,
            log.device == device,
            log.span_class == number,
            begins,
            log.min_time < end,
            log.max_time >= start,
            log.seq <= up_to,
        )

    # The database merges the classes as it reads: each comes out of the index in order.
    query = sa.union_all(*map(of_class, range(len(LONGEST)))).order_by("min_time", "max_time", "seq")
    found: list[tuple[int, int, int, bytes]] = []
    size = 0
    result = connection.execute(query)
    # The driver's own rows: of one-minute data there are hundreds of thousands, and wrapping each costs as much as reading it.
    for row in cast("Iterable[tuple[int, int, int, bytes]]", result.cursor):
        found.append(row)
        size += len(row[3])
        if size >= max_bytes:
            break
    result.close()
    min_times, max_times, seqs, payloads = zip(*found, strict=True) if found else ((), (), (), ())
    return Blocks(min_times, max_times, seqs, payloads, there_may_be_more=size >= max_bytes)
