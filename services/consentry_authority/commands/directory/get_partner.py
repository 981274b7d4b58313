"""Look a partner up."""

from consentry_authority.commands.ports import View
from consentry_authority.commands.records import PartnerRecord
from consentry_core.values import names
from consentry_core.values.errors import NotFound
from consentry_rule import PartnerId


def get_partner(view: View, partner: PartnerId) -> PartnerRecord:
    """The partner. NotFound when there is none."""
    record = view.partners.get(partner)
    if record is None:
        raise NotFound(f"there is no {names.PARTNER.format(partner)}; create it first")
    return record
