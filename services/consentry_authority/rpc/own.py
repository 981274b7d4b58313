"""Names of what must be the caller's own: parsed, then authorised, before anything else of a request is looked at."""

from consentry_authority.admission.gate import calling
from consentry_authority.commands.actor import require_own
from consentry_core.values import names
from consentry_rule import CustomerId, KeyId, PartnerId


def own_partner(name: str, field: str) -> PartnerId:
    """A partner's id."""
    partner = partner_id(name, field)
    require_own(calling(), name)
    return partner


def own_customer(name: str, field: str) -> CustomerId:
    """A customer's id."""
    customer = customer_id(name, field)
    require_own(calling(), name)
    return customer


def own_key(name: str, field: str) -> tuple[PartnerId, KeyId]:
    """Partner and id of a key of the caller's own partner."""
    partner, key = names.KEY.parse(name, field)
    require_own(calling(), names.PARTNER.format(partner))
    return PartnerId(partner), KeyId(key)


def own_consent(name: str, field: str) -> tuple[CustomerId, PartnerId]:
    """Customer and partner of a consent of the caller's own customer."""
    customer, partner = names.CONSENT.parse(name, field)
    require_own(calling(), names.CUSTOMER.format(customer))
    return CustomerId(customer), PartnerId(partner)


def partner_id(name: str, field: str) -> PartnerId:
    """A partner's id, anybody's."""
    return PartnerId(*names.PARTNER.parse(name, field))


def customer_id(name: str, field: str) -> CustomerId:
    """A customer's id, anybody's."""
    return CustomerId(*names.CUSTOMER.parse(name, field))
