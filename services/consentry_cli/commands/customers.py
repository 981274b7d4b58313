"""`consentry customers`: organisations that own devices, and their subscriptions. With an operator's token."""

import click
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import directory_pb2
from consentry.authority.v1.directory_pb2_grpc import DirectoryServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group
from consentry_cli.params import CUSTOMER, TIME, EnumValue

_PLAN = EnumValue(directory_pb2.Subscription.Plan.DESCRIPTOR)
_COLUMNS = ["name", "display_name", "subscription.plan", "subscription.state", "subscription.expire_time", "demo"]


@click.group(cls=Group)
def customers() -> None:
    """Organisations that own devices.

    And their subscriptions. With an operator's token.
    """


@customers.command()
@authority_call
@click.argument("customer_id")
@click.option("--display-name", default="", help="For people.")
@click.option("--plan", type=_PLAN, help="Give it a subscription with this plan; without one it is valid for no partner.")
@click.option("--expire-time", type=TIME, help="When that subscription ends by itself: RFC 3339, or from now (+30d).")
def create(
    call: Call,
    *,
    customer_id: str,
    display_name: str,
    plan: directory_pb2.Subscription.Plan.ValueType | None,
    expire_time: Timestamp | None,
) -> None:
    """Register a customer, with its first subscription if a plan is given."""
    if plan is None and expire_time is not None:
        raise click.UsageError("--expire-time is the end of a subscription: it needs --plan")
    subscription = None if plan is None else directory_pb2.Subscription(plan=plan, expire_time=expire_time)
    customer = directory_pb2.Customer(display_name=display_name, subscription=subscription)
    request = directory_pb2.CreateCustomerRequest(customer_id=customer_id, customer=customer)
    answer = call.ask(DirectoryServiceStub(call.channel).CreateCustomer, request)
    call.answers.show(answer, "customer")


@customers.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
def get(call: Call, customer: str) -> None:
    """Show one customer."""
    answer = call.ask(DirectoryServiceStub(call.channel).GetCustomer, directory_pb2.GetCustomerRequest(name=customer))
    call.answers.show(answer, "customer")


@customers.command("list")
@authority_call
def list_(call: Call) -> None:
    """List all customers."""
    answer = call.ask_all(DirectoryServiceStub(call.channel).ListCustomers, directory_pb2.ListCustomersRequest())
    call.answers.table(answer, "customers", _COLUMNS)


@customers.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.option("--plan", type=_PLAN, required=True, help="What the customer has bought; both plans give the same access.")
@click.option("--expire-time", type=TIME, help="When it ends by itself: RFC 3339, or from now (+30d). Never, if left out.")
def subscribe(
    call: Call, customer: str, plan: directory_pb2.Subscription.Plan.ValueType, expire_time: Timestamp | None
) -> None:
    """Replace a customer's subscription; a cancelled one comes back to life."""
    subscription = directory_pb2.Subscription(plan=plan, expire_time=expire_time)
    request = directory_pb2.SetSubscriptionRequest(customer=customer, subscription=subscription)
    answer = call.ask(DirectoryServiceStub(call.channel).SetSubscription, request)
    call.answers.show(answer, "customer")


@customers.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
def cancel(call: Call, customer: str) -> None:
    """End a customer's subscription now."""
    request = directory_pb2.CancelSubscriptionRequest(customer=customer)
    answer = call.ask(DirectoryServiceStub(call.channel).CancelSubscription, request)
    call.answers.show(answer, "customer")
