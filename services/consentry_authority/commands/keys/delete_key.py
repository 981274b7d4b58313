"""End a key for good."""

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import Transaction
from consentry_rule import KeyId, PartnerId


def delete_key(transaction: Transaction, partner: PartnerId, key: KeyId, *, etag: str = "") -> None:
    """Delete the key. Its id is never used again."""
    transaction.keys.delete(get_key(transaction, partner, key, etag=etag))
