"""Take a consent back."""

from dataclasses import replace

from consentry_authority.commands.consents.get_consent import get_consent
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import ConsentRecord
from consentry_rule import CustomerId, PartnerId


def revoke_consent(transaction: Transaction, customer: CustomerId, partner: PartnerId) -> ConsentRecord:
    """The revoked consent. Revoking twice changes nothing; NotFound when none was ever given."""
    consent = get_consent(transaction, customer, partner)
    if consent.revoke_time is None:
        consent = replace(consent, revoke_time=transaction.now)
        transaction.consents.save(consent)
    return consent
