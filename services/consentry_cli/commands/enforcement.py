"""`consentry enforcement`: how far changes that took access away have been carried out."""

import click

from consentry.authority.v1 import enforcement_pb2
from consentry.authority.v1.enforcement_pb2_grpc import EnforcementServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group

_COLUMNS = ["name", "service", "join_time", "connected", "lease_age", "applied_revision", "owed_revisions"]


@click.group(cls=Group)
def enforcement() -> None:
    """How far changes that took access away have been carried out."""


@enforcement.command()
@authority_call
@click.argument("revision")
def get(call: Call, revision: str) -> None:
    """Show the receipt of a change, by the revision that its answer gave.

    With a token of the organisation that made the change, or an operator's.
    """
    request = enforcement_pb2.GetEnforcementRequest(revision=revision)
    call.answers.show(call.ask(EnforcementServiceStub(call.channel).GetEnforcement, request), "enforcement")


@enforcement.command()
@authority_call
def points(call: Call) -> None:
    """List who serves guarded data, how old its lease is, and what it owes. With an operator's token."""
    request = enforcement_pb2.ListEnforcementPointsRequest()
    answer = call.ask_all(EnforcementServiceStub(call.channel).ListEnforcementPoints, request)
    call.answers.table(answer, "enforcement_points", _COLUMNS)
