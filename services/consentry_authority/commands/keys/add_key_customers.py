"""Put customers on a key's list."""

from collections.abc import Collection

from consentry_authority.commands.keys.key_customers import MOST_LISTED, listed_key, require_can_be_listed, require_valid
from consentry_authority.commands.ports import ListChange, Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_core.values.errors import FailedPrecondition
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, KeyId, PartnerId


def add_key_customers(
    transaction: Transaction, partner: PartnerId, key: KeyId, customers: Collection[CustomerId], *, etag: str = ""
) -> KeyRecord:
    """The changed key. Those who are on its list already stay; each of the others must be valid now."""
    before = listed_key(transaction, partner, key, etag=etag)
    require_can_be_listed(customers, "customers")
    added = frozenset(customers) - transaction.keys.customers_among(partner, key, customers)
    if len(before.customers) + before.customers_left_out + len(added) > MOST_LISTED:
        raise FailedPrecondition(
            f"the list would have more than {MOST_LISTED:,} customers; a KIND_ALL_CUSTOMERS key covers any number",
            reason=ErrorReason.CUSTOMERS_EXCEEDED,
        )
    require_valid(transaction, partner, added)
    return transaction.keys.change(before, customers=ListChange(added=added))
