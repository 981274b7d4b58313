"""List all customers."""

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import CustomerRecord


def list_customers(view: View, *, after: str, limit: int) -> Page[CustomerRecord]:
    """A page of customers, ordered by id."""
    return page_of(view.customers.page(after=after, limit=limit + 1), limit, lambda customer: customer.id)
