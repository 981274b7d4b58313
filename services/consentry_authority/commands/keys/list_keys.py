"""List a partner's keys, never their secrets."""

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import KeyRecord
from consentry_authority.commands.states import State, key_state
from consentry_rule import PartnerId


def list_keys(view: View, partner: PartnerId, *, show_invalid: bool, after: str, limit: int) -> Page[KeyRecord]:
    """A page of the partner's keys, ordered by id: the valid ones, unless the others are asked for. It may be short."""
    page = page_of(view.keys.page(partner, after=after, limit=limit + 1), limit, lambda key: key.id)
    items = [key for key in page.items if show_invalid or key_state(key, view.now) is State.ACTIVE]
    return Page(items, page.last, page.position)
