"""Replace a customer's subscription."""

from dataclasses import replace

from consentry_authority.commands import checks
from consentry_authority.commands.directory.get_customer import get_real_customer
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import CustomerRecord, SubscriptionRecord
from consentry_rule import CustomerId


def set_subscription(transaction: Transaction, customer: CustomerId, subscription: SubscriptionRecord) -> CustomerRecord:
    """The customer with its new subscription. One that was cancelled comes back to life."""
    record = get_real_customer(transaction, customer)
    checks.future(subscription.expire_time, transaction.now, "subscription.expire_time")
    if record.subscription == subscription:
        return record
    record = replace(record, subscription=subscription)
    transaction.customers.save(record)
    return record
