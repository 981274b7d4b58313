"""Give a key a new secret."""

from typing import Final

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord, SecretRecord
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument
from consentry_rule import Instant, KeyId, PartnerId

LONGEST_OVERLAP: Final = 30 * 24 * 3600 * SECOND


def check_overlap(overlap: int) -> None:
    """InvalidArgument unless both secrets can let their holders in for so long (in nanoseconds)."""
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise InvalidArgument("overlap", "must be from 0 to 30 days", reason="OVERLAP_INVALID")


def rotate_key(
    transaction: Transaction, partner: PartnerId, key: KeyId, secret: SecretRecord, overlap: int, *, etag: str = ""
) -> KeyRecord:
    """The key with its new secret. The former one ends after the overlap; one from a rotation before ends at once.

    So a key has two live secrets at most, and whoever rotates twice has ended the first one.
    """
    check_overlap(overlap)
    record = get_key(transaction, partner, key, etag=etag)
    transaction.keys.rotate(record, secret, Instant(transaction.now + overlap) if overlap else None)
    return get_key(transaction, partner, key)
