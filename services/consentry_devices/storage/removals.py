"""What retention removes from the log, and what is remembered of it, by customer and data class."""

from collections import defaultdict
from collections.abc import Set

import sqlalchemy as sa

from consentry_devices.log.entries import Removal, Removals
from consentry_devices.storage import tables
from consentry_devices.storage.inserting import upsert
from consentry_devices.storage.transaction import assert_run
from consentry_rule import CustomerId, DataClass, Instant

_NAMED_IN_A_QUERY = 500


def read_removals(connection: sa.Connection, customers: Set[CustomerId] | None) -> Removals:
    """See `Log.removed`."""
    table = tables.removals
    query = sa.select(table)
    if customers is not None and len(customers) <= _NAMED_IN_A_QUERY:
        query = query.where(table.c.customer.in_(customers))
    found: defaultdict[CustomerId, dict[DataClass, Removal]] = defaultdict(dict)
    for row in connection.execute(query):
        if customers is None or row.customer in customers:
            found[CustomerId(row.customer)][DataClass(row.data_class)] = Removal(row.seq, Instant(row.until))
    return dict(found)


def remove_oldest(
    connection: sa.Connection, run: str, *, up_to: int, taken_before: Instant | None, max_entries: int, max_bytes: int
) -> int:
    """See `Engine.remove_oldest`."""
    log = tables.log.c
    # The columns before the payload lie apart from it: no payload is read, its length neither.
    query = (
        sa.select(log.seq, log.customer, log.data_class, log.max_time, log.take_time, sa.func.length(log.payload).label("size"))
        .where(log.seq <= up_to)
        .order_by(log.seq)
        .limit(max_entries)
    )
    last = size = 0
    gone: dict[tuple[CustomerId, DataClass], Removal] = {}
    for row in connection.execute(query):
        if (taken_before is not None and row.take_time >= taken_before) or size >= max_bytes:
            break
        last, size = row.seq, size + row.size
        whose = (CustomerId(row.customer), DataClass(row.data_class))
        before = gone.get(whose)
        gone[whose] = Removal(last, Instant(row.max_time if before is None else max(before.until, row.max_time)))
    if not last:
        return 0
    assert_run(connection, run)
    connection.execute(sa.delete(tables.log).where(log.seq <= last))
    _remember(connection, gone)
    return last


def _remember(connection: sa.Connection, gone: dict[tuple[CustomerId, DataClass], Removal]) -> None:
    known = read_removals(connection, {customer for customer, _ in gone})
    new = []
    for (customer, data_class), removal in gone.items():
        before = known.get(customer, {}).get(data_class)
        until = removal.until if before is None else max(before.until, removal.until)
        new.append({"customer": customer, "data_class": data_class.value, "seq": removal.seq, "until": until})
    upsert(connection, tables.removals, new)
