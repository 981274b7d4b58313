"""End a customer's subscription now."""

from dataclasses import replace

from consentry_authority.commands.directory.get_customer import get_real_customer
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import CustomerRecord
from consentry_core.values.errors import FailedPrecondition, Violation
from consentry_rule import CustomerId, Reason


def cancel_subscription(transaction: Transaction, customer: CustomerId) -> CustomerRecord:
    """The customer with its cancelled subscription. Cancelling twice changes nothing."""
    record = get_real_customer(transaction, customer)
    if record.subscription is None:
        message = "the customer has no subscription; set one first"
        raise FailedPrecondition(
            message, violations=[Violation(record.name, message)], reason=Reason.SUBSCRIPTION_MISSING.value
        )
    if record.subscription.cancel_time is not None:
        return record
    record = replace(record, subscription=replace(record.subscription, cancel_time=transaction.now))
    transaction.customers.save(record)
    return record
