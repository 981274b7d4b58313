"""Rehearse a withdrawal on the demo customer."""

from dataclasses import replace

from consentry_authority.commands.directory.get_partner import get_partner
from consentry_authority.commands.ports import Transaction
from consentry_rule import PartnerId


def set_rehearsal(transaction: Transaction, partner: PartnerId, *, rehearsing: bool) -> None:
    """Take the demo customer from the partner's demo keys, or give it back."""
    record = get_partner(transaction, partner)
    if record.rehearsing is not rehearsing:
        transaction.partners.save(replace(record, rehearsing=rehearsing))
