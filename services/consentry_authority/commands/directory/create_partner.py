"""Register a partner."""

from consentry_authority.commands import checks
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import PartnerRecord
from consentry_core.values.errors import AlreadyExists
from consentry_rule import PartnerId


def create_partner(transaction: Transaction, partner: PartnerId, display_name: str) -> PartnerRecord:
    """The new partner. AlreadyExists when the id is taken."""
    record = PartnerRecord(partner, checks.display_name(display_name, "partner.display_name"), transaction.now)
    if transaction.partners.get(partner) is not None:
        raise AlreadyExists(f"{record.name} exists already; choose another partner_id")
    transaction.partners.add(record)
    return record
