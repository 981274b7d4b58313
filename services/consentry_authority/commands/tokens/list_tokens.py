"""List tokens, never their secrets."""

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import TokenRecord


def list_tokens(view: View, organization: str | None, *, after: str, limit: int) -> Page[TokenRecord]:
    """A page of the tokens of one organisation, or (None) of all; ordered by id, without deleted ones."""
    return page_of(view.tokens.page(organization, after=after, limit=limit + 1), limit, lambda token: token.id)
