"""The lists of KIND_SPECIFIC_CUSTOMERS keys, as one transaction sees them.

A list can be long, and a transaction looks at it again and again: what it was, what it is, what differs, what to tell. It is
read once, for all of them; whatever changes it does so here.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from consentry_authority.storage.schema import tables as t
from consentry_rule import CustomerId, PartnerId

_AT_ONCE = 1000  # names in one query; databases have a limit


class KeyLists:
    """Each list that was asked for. For one transaction, or one snapshot."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[PartnerId, str], frozenset[CustomerId]] = {}

    def of(self, partner: PartnerId, key: str) -> frozenset[CustomerId]:
        """Who is on a key's list; nobody for one that has none."""
        known = self._known.get((partner, key))
        if known is None:
            query = sa.select(t.key_customers.c.customer).where(*_of(t.key_customers, partner, key))
            known = self._known[partner, key] = frozenset(map(CustomerId, self._connection.scalars(query)))
        return known

    def length(self) -> int:
        """Of all lists that had to be read."""
        return sum(map(len, self._known.values()))

    def change(self, partner: PartnerId, key: str, customers: frozenset[CustomerId]) -> None:
        """These are on it from now on, and nobody else."""
        listed, table = self.of(partner, key), t.key_customers
        gone, new = sorted(listed - customers), sorted(customers - listed)
        if gone:
            delete = sa.delete(table).where(*_of(table, partner, key), table.c.customer == sa.bindparam("gone"))
            self._connection.execute(delete, [{"gone": customer} for customer in gone])
        if new:
            rows = [{"partner": partner, "key": key, "customer": customer} for customer in new]
            self._connection.execute(sa.insert(table), rows)
        self._known[partner, key] = customers

    def ever(self, partner: PartnerId, key: str, customers: Iterable[CustomerId]) -> set[CustomerId]:
        """Which of these have been on it at any time that the history tells of."""
        asked, columns = sorted(customers), t.key_listings.c
        query = sa.select(columns.customer).where(*_of(t.key_listings, partner, key))
        return {
            CustomerId(found)
            for start in range(0, len(asked), _AT_ONCE)
            for found in self._connection.scalars(query.where(columns.customer.in_(asked[start : start + _AT_ONCE])))
        }


def _of(table: sa.Table, partner: PartnerId, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.partner == partner, table.c.key == key
