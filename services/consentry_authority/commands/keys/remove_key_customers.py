"""Take customers off a key's list."""

from collections.abc import Collection

from consentry_authority.commands.keys.key_customers import listed_key
from consentry_authority.commands.ports import ListChange, Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_core.values.errors import FailedPrecondition
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, KeyId, PartnerId


def remove_key_customers(
    transaction: Transaction, partner: PartnerId, key: KeyId, customers: Collection[CustomerId], *, etag: str = ""
) -> KeyRecord:
    """The changed key. Those who are not on its list change nothing. FailedPrecondition when nobody would be left."""
    before = listed_key(transaction, partner, key, etag=etag)
    removed = transaction.keys.customers_among(partner, key, customers)
    if removed and len(removed) == len(before.customers) + before.customers_left_out:
        raise FailedPrecondition(
            "nobody would be left on the key's list; disable the key, or delete it", reason=ErrorReason.LIST_WOULD_BE_EMPTY
        )
    return transaction.keys.change(before, customers=ListChange(removed=removed))
