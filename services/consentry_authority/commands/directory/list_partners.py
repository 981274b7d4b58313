"""List all partners."""

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import PartnerRecord


def list_partners(view: View, *, after: str, limit: int) -> Page[PartnerRecord]:
    """A page of partners, ordered by id."""
    return page_of(view.partners.page(after=after, limit=limit + 1), limit, lambda partner: partner.id)
