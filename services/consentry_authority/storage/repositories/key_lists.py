"""The lists of KIND_SPECIFIC_CUSTOMERS keys, as one transaction sees them.

A list can be long, so it is changed by what differs, and whoever changes it, or something else about its key, does not read it.
Whoever needs all of it reads it once for the transaction.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from consentry_authority.storage.schema import tables as t
from consentry_rule import CustomerId, PartnerId

_AT_ONCE = 1000  # names in one query; databases have a limit
_NOTHING: tuple[frozenset[CustomerId], frozenset[CustomerId]] = (frozenset(), frozenset())


class KeyLists:
    """Each list that was asked for, and what has changed about any. For one transaction, or one snapshot."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[PartnerId, str], frozenset[CustomerId]] = {}
        self._changed: dict[tuple[PartnerId, str], tuple[frozenset[CustomerId], frozenset[CustomerId]]] = {}

    def of(self, partner: PartnerId, key: str) -> frozenset[CustomerId]:
        """Who is on a key's list; nobody for one that has none. Reads all of it."""
        known = self._known.get((partner, key))
        if known is None:
            query = sa.select(t.key_customers.c.customer).where(*_of(t.key_customers, partner, key))
            known = self._known[partner, key] = frozenset(map(CustomerId, self._connection.scalars(query)))
        return known

    def among(self, partner: PartnerId, key: str, customers: Iterable[CustomerId]) -> frozenset[CustomerId]:
        """Which of these are on the list."""
        return frozenset(self._among(t.key_customers, partner, key, customers))

    def page(self, partner: PartnerId, key: str, after: str, limit: int) -> Sequence[CustomerId]:
        """Those on the list that come after `after`, in their order."""
        column = t.key_customers.c.customer
        query = sa.select(column).where(*_of(t.key_customers, partner, key), column > after).order_by(column).limit(limit)
        return [CustomerId(customer) for customer in self._connection.scalars(query)]

    def length(self) -> int:
        """How many customers were read or written of all lists."""
        changed = (len(added) + len(removed) for added, removed in self._changed.values())
        return sum(map(len, self._known.values())) + sum(changed)

    def change(
        self, partner: PartnerId, key: str, *, added: Collection[CustomerId] = (), removed: Collection[CustomerId] = ()
    ) -> None:
        """Put `added`, none of whom is on the list, on it, and take `removed`, all of whom are, off it."""
        table, keys = t.key_customers, t.keys.c
        if removed:
            delete = sa.delete(table).where(*_of(table, partner, key), table.c.customer == sa.bindparam("gone"))
            self._connection.execute(delete, [{"gone": customer} for customer in sorted(removed)])
        if added:
            rows = [{"partner": partner, "key": key, "customer": customer} for customer in sorted(added)]
            self._connection.execute(sa.insert(table), rows)
        if not added and not removed:
            return
        more = len(added) - len(removed)
        self._connection.execute(
            sa.update(t.keys).where(keys.partner == partner, keys.id == key).values(customer_count=keys.customer_count + more)
        )
        on, off = self.difference(partner, key)
        self._changed[partner, key] = (on - set(removed)) | (set(added) - off), (off - set(added)) | (set(removed) - on)
        if (partner, key) in self._known:
            self._known[partner, key] = (self._known[partner, key] - set(removed)) | set(added)

    def difference(self, partner: PartnerId, key: str) -> tuple[frozenset[CustomerId], frozenset[CustomerId]]:
        """Who has come onto the list in this transaction, and who has gone."""
        return self._changed.get((partner, key), _NOTHING)

    def ever(self, partner: PartnerId, key: str, customers: Iterable[CustomerId]) -> set[CustomerId]:
        """Which of these have been on it at any time that the history tells of."""
        return self._among(t.key_listings, partner, key, customers)

    def _among(self, table: sa.Table, partner: PartnerId, key: str, customers: Iterable[CustomerId]) -> set[CustomerId]:
        asked, column = sorted(customers), table.c.customer
        query = sa.select(column).where(*_of(table, partner, key))
        return {
            CustomerId(found)
            for start in range(0, len(asked), _AT_ONCE)
            for found in self._connection.scalars(query.where(column.in_(asked[start : start + _AT_ONCE])))
        }


def _of(table: sa.Table, partner: PartnerId, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.partner == partner, table.c.key == key
