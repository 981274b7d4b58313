"""Suspend a key."""

from dataclasses import replace

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_rule import KeyId, PartnerId


def disable_key(transaction: Transaction, partner: PartnerId, key: KeyId, *, etag: str = "") -> KeyRecord:
    """The suspended key. Disabling twice changes nothing."""
    record = get_key(transaction, partner, key, etag=etag)
    if record.disabled is True:
        return record
    record = replace(record, disabled=True)
    transaction.keys.save(record)
    return replace(record, version=record.version + 1)
