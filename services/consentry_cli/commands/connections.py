"""`consentry connections`: which partner works with which customer. With an operator's token; lists for both sides, too."""

import click

from consentry.authority.v1 import directory_pb2
from consentry.authority.v1.directory_pb2_grpc import DirectoryServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group
from consentry_cli.params import CUSTOMER, ORGANIZATION, PARTNER


@click.group(cls=Group)
def connections() -> None:
    """Which partner works with which customer.

    With an operator's token; `list` also with an administrator's of either side.
    """


@connections.command()
@authority_call
@click.argument("partner", type=PARTNER)
@click.argument("customer", type=CUSTOMER)
def connect(call: Call, partner: str, customer: str) -> None:
    """Connect a partner and a customer. That gives no access: it takes the customer's consent."""
    request = directory_pb2.ConnectCustomerRequest(partner=partner, customer=customer)
    answer = call.ask(DirectoryServiceStub(call.channel).ConnectCustomer, request)
    call.answers.show(answer, "connection")


@connections.command()
@authority_call
@click.argument("partner", type=PARTNER)
@click.argument("customer", type=CUSTOMER)
def disconnect(call: Call, partner: str, customer: str) -> None:
    """End a connection and, with it, the consent."""
    request = directory_pb2.DisconnectCustomerRequest(partner=partner, customer=customer)
    answer = call.ask(DirectoryServiceStub(call.channel).DisconnectCustomer, request)
    call.answers.show(answer)


@connections.command("list")
@authority_call
@click.option("--of", "parent", type=ORGANIZATION, help="partners/ID or customers/ID: only its own.")
def list_(call: Call, parent: str | None) -> None:
    """List connections, with whether the customer is valid for the partner and, if not, why."""
    request = directory_pb2.ListConnectionsRequest(parent=parent or "")
    answer = call.ask_all(DirectoryServiceStub(call.channel).ListConnections, request)
    call.answers.table(answer, "connections", ["partner", "customer", "valid", "invalid_reason", "connect_time"])
