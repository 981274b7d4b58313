"""End a connection and, with it, the consent."""

from dataclasses import replace

from consentry_authority.commands.ports import Transaction
from consentry_core.values import names
from consentry_core.values.errors import NotFound
from consentry_rule import CustomerId, PartnerId


def disconnect_customer(transaction: Transaction, partner: PartnerId, customer: CustomerId) -> None:
    """Disconnect the two and revoke the consent, both at once. Disconnecting twice changes nothing.

    NotFound when they were never connected.
    """
    connection = transaction.connections.get(partner, customer)
    if connection is None:
        raise NotFound(
            f"{names.PARTNER.format(partner)} and {names.CUSTOMER.format(customer)} are not connected; "
            "list connections to see who is"
        )
    if not connection.connected:
        return
    transaction.connections.save(replace(connection, disconnect_time=transaction.now))
    consent = transaction.consents.get(customer, partner)
    if consent is not None and consent.revoke_time is None:
        transaction.consents.save(replace(consent, revoke_time=transaction.now))
