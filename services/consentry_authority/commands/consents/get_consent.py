"""Look a consent up."""

from consentry_authority.commands.ports import View
from consentry_authority.commands.records import ConsentRecord
from consentry_core.values import names
from consentry_core.values.errors import NotFound
from consentry_rule import CustomerId, PartnerId


def get_consent(view: View, customer: CustomerId, partner: PartnerId) -> ConsentRecord:
    """The customer's consent towards the partner, active or not. NotFound when none was ever given."""
    consent = view.consents.get(customer, partner)
    if consent is None:
        raise NotFound(f"there is no {names.CONSENT.format(customer, partner)}; none was ever granted")
    return consent
