"""Look a customer up."""

from consentry_authority.commands.ports import View
from consentry_authority.commands.records import CustomerRecord
from consentry_core.values import names
from consentry_core.values.errors import FailedPrecondition, NotFound, Violation
from consentry_rule import CustomerId, Reason


def get_customer(view: View, customer: CustomerId) -> CustomerRecord:
    """The customer. NotFound when there is none."""
    record = view.customers.get(customer)
    if record is None:
        raise NotFound(f"there is no {names.CUSTOMER.format(customer)}; create it first")
    return record


def get_real_customer(view: View, customer: CustomerId) -> CustomerRecord:
    """The customer. FailedPrecondition for the demo customer, which belongs to everybody and to nobody."""
    record = get_customer(view, customer)
    if record.demo:
        message = "the demo customer has no subscription and no connections; demo keys cover it by themselves"
        raise FailedPrecondition(message, violations=[Violation(record.name, message)], reason=Reason.DEMO_CUSTOMER.value)
    return record
