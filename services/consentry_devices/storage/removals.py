"""What retention has removed from the log, by customer and data class."""

from collections import defaultdict
from collections.abc import Set

import sqlalchemy as sa

from consentry_devices.feed.log import Removal, Removals
from consentry_devices.storage import tables
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
