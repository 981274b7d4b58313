"""List a customer's consents."""

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import ConsentRecord
from consentry_rule import CustomerId


def list_consents(view: View, customer: CustomerId, *, after: str, limit: int) -> Page[ConsentRecord]:
    """A page of the customer's consents, revoked and ended ones too; ordered by partner."""
    return page_of(view.consents.page(customer, after=after, limit=limit + 1), limit, lambda consent: consent.partner)
