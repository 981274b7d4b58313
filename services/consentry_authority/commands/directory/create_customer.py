"""Register a customer."""

from consentry_authority.commands import checks
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import CustomerRecord, SubscriptionRecord
from consentry_core.values.errors import AlreadyExists
from consentry_rule import CustomerId


def create_customer(
    transaction: Transaction, customer: CustomerId, display_name: str, subscription: SubscriptionRecord | None
) -> CustomerRecord:
    """The new customer. AlreadyExists when the id is taken."""
    if subscription is not None:
        checks.future(subscription.expire_time, transaction.now, "customer.subscription.expire_time")
    record = CustomerRecord(
        customer,
        checks.display_name(display_name, "customer.display_name"),
        transaction.now,
        subscription=subscription,
    )
    if transaction.customers.get(customer) is not None:
        raise AlreadyExists(f"{record.name} exists already; choose another customer_id")
    transaction.customers.add(record)
    return record
