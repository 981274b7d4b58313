"""`consentry partners`: organisations that read data through API keys. With an operator's token."""

import click

from consentry.authority.v1 import directory_pb2
from consentry.authority.v1.directory_pb2_grpc import DirectoryServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group
from consentry_cli.params import PARTNER


@click.group(cls=Group)
def partners() -> None:
    """Organisations that read data by API.

    With an operator's token.
    """


@partners.command()
@authority_call
@click.argument("partner_id")
@click.option("--display-name", default="", help="For people.")
def create(call: Call, partner_id: str, display_name: str) -> None:
    """Register a partner."""
    partner = directory_pb2.Partner(display_name=display_name)
    request = directory_pb2.CreatePartnerRequest(partner_id=partner_id, partner=partner)
    answer = call.ask(DirectoryServiceStub(call.channel).CreatePartner, request)
    call.answers.show(answer, "partner")


@partners.command()
@authority_call
@click.argument("partner", type=PARTNER)
def get(call: Call, partner: str) -> None:
    """Show one partner."""
    answer = call.ask(DirectoryServiceStub(call.channel).GetPartner, directory_pb2.GetPartnerRequest(name=partner))
    call.answers.show(answer, "partner")


@partners.command("list")
@authority_call
def list_(call: Call) -> None:
    """List all partners."""
    answer = call.ask_all(DirectoryServiceStub(call.channel).ListPartners, directory_pb2.ListPartnersRequest())
    call.answers.table(answer, "partners", ["name", "display_name", "create_time"])
