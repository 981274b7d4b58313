"""`consentry coverage`: which customers an API key covers. With the key itself."""

import click

from consentry.authority.v1 import coverage_pb2
from consentry.authority.v1.coverage_pb2_grpc import CoverageServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.commands.following import following, patience
from consentry_cli.helping import Group
from consentry_cli.output import say, say_json
from consentry_client import Client, CoverageEvent, CoverageHeartbeat, CoverageSynced, Covered, Uncovered
from consentry_client.coverage import coverage_message_of


@click.group(cls=Group)
def coverage() -> None:
    """The customers that an API key covers.

    With the key itself.
    """


@coverage.command("list")
@authority_call
def list_(call: Call) -> None:
    """List the customers that the key covers now, by their unique identifiers."""
    request = coverage_pb2.ListCoveredCustomersRequest()
    answer = call.ask_all(CoverageServiceStub(call.channel).ListCoveredCustomers, request)
    call.answers.table(answer, "customers", ["name", "data_classes"])


@coverage.command()
@authority_call
@click.option("--after-revision", help="Go on after this revision, which an earlier watch has told at its end.")
@patience
def watch(call: Call, after_revision: str | None, patience: float) -> None:
    """Tell the coverage and then every change of it, until Ctrl-C; comes back by itself when the service does."""
    with Client(authority=call.channel, secret=call.secret) as client, following("--after-revision") as follow:
        for event in client.watch_coverage(after_revision, patience=patience):
            if call.answers.for_programs:
                say_json(coverage_message_of(event), one_line=True)
            elif line := _line(event):
                say(line)
            follow.position = event.revision


def _line(event: CoverageEvent) -> str:
    match event:
        case Covered():
            classes = ", ".join(sorted(data_class.value for data_class in event.data_classes))
            return f"covered    {event.customer}  {classes}"
        case Uncovered():
            return f"uncovered  {event.customer}  {event.reason}"
        case CoverageSynced():
            return "synced"
        case CoverageHeartbeat():
            return ""
