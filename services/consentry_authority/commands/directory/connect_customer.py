"""Record that a partner and a customer work together."""

from consentry_authority.commands.directory.get_customer import get_real_customer
from consentry_authority.commands.directory.get_partner import get_partner
from consentry_authority.commands.directory.list_connections import ConnectionStatus
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import ConnectionRecord
from consentry_rule import CustomerId, PartnerId, valid


def connect_customer(transaction: Transaction, partner: PartnerId, customer: CustomerId) -> ConnectionStatus:
    """The connection. Connecting twice changes nothing; connecting again brings no consent back."""
    get_partner(transaction, partner)
    get_real_customer(transaction, customer)
    connection = transaction.connections.get(partner, customer)
    if connection is None or not connection.connected:
        connection = ConnectionRecord(partner, customer, connect_time=transaction.now)
        transaction.connections.save(connection)
    return ConnectionStatus(connection, valid(transaction.facts.standing(partner, customer), transaction.now))
