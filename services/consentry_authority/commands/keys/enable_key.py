"""End a key's suspension."""

from dataclasses import replace

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord
from consentry_rule import KeyId, PartnerId


def enable_key(transaction: Transaction, partner: PartnerId, key: KeyId, *, etag: str = "") -> KeyRecord:
    """The key, no longer suspended. Enabling twice changes nothing."""
    record = get_key(transaction, partner, key, etag=etag)
    if record.disabled is False:
        return record
    record = replace(record, disabled=False)
    transaction.keys.save(record)
    return replace(record, version=record.version + 1)
