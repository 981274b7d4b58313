"""Put customers on a key's list."""

from collections.abc import Collection

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.keys.key_customers import MOST_LISTED, listed_key, require_can_be_listed, require_valid
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_core.values.errors import FailedPrecondition
from consentry_rule import CustomerId, KeyId, PartnerId


def add_key_customers(
    transaction: Transaction, partner: PartnerId, key: KeyId, customers: Collection[CustomerId], *, etag: str = ""
) -> KeyRecord:
    """The changed key. Those who are on its list already stay; each of the others must be valid now."""
    before = listed_key(transaction, partner, key, etag=etag)
    require_can_be_listed(customers, "customers")
    added = frozenset(customers) - transaction.keys.customers_among(partner, key, customers)
    if not added:
        return before
    if len(before.customers) + before.customers_left_out + len(added) > MOST_LISTED:
        raise FailedPrecondition(
            f"the list would have more than {MOST_LISTED:,} customers; a KIND_ALL_CUSTOMERS key covers any number",
            reason="CUSTOMERS_EXCEEDED",
        )
    require_valid(transaction, partner, added)
    transaction.keys.save(before)
    transaction.keys.relist(before, added=added)
    return get_key(transaction, partner, key)
