"""List who works with whom, and whether the customer is valid."""

from dataclasses import dataclass

from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import ConnectionRecord
from consentry_rule import CustomerId, Decision, PartnerId, valid


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """A connection, and the rule's word on whether its customer is valid for its partner."""

    connection: ConnectionRecord
    validity: Decision


def list_connections(
    view: View, *, partner: PartnerId | None, customer: CustomerId | None, after: str, limit: int
) -> Page[ConnectionStatus]:
    """A page of connections of one partner, of one customer, or of all; ordered by partner, then customer."""
    after_partner, _, after_customer = after.partition("/")
    page = page_of(
        view.connections.page(partner=partner, customer=customer, after=(after_partner, after_customer), limit=limit + 1),
        limit,
        lambda connection: f"{connection.partner}/{connection.customer}",
    )
    standings = view.facts.standings_between([(connection.partner, connection.customer) for connection in page.items])
    items = [
        ConnectionStatus(connection, valid(standing, view.now))
        for connection, standing in zip(page.items, standings, strict=True)
    ]
    return Page(items, page.last, lambda status: f"{status.connection.partner}/{status.connection.customer}")
