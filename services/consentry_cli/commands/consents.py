"""`consentry consents`: the customer's switch. With a token of that customer's administrator."""

import click
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, data_class_pb2
from consentry.authority.v1.consent_pb2_grpc import ConsentServiceStub
from consentry_cli.answers import Form
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group
from consentry_cli.output import say
from consentry_cli.params import CUSTOMER, DATA_CLASS, PARTNER, TIME
from consentry_core.values import names

_COLUMNS = ["partner", "state", "data_classes", "grant_time", "expire_time", "data_start_time", "purpose"]
_EVENT_COLUMNS = [
    "event_time", "kind", "partner", "actor", "data_classes", "expire_time", "purpose", "token", "enforcement.state"
]  # fmt: skip
_ACCESS_COLUMNS = ["hour", "key", "data_class", "messages", "readings", "bytes", "devices", "refusals"]
_UNREPORTED_COLUMNS = ["start_time", "end_time", "service", "enforcement_point"]


@click.group(cls=Group)
def consents() -> None:
    """The customer's switch.

    With a token of that customer's administrator.
    """


@consents.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.argument("partner", type=PARTNER)
@click.option(
    "--data-class",
    "data_classes",
    type=DATA_CLASS,
    multiple=True,
    help="What may be read. If none is named: all that there is now.",
)
@click.option("--expire-time", type=TIME, help="When it ends by itself: RFC 3339, or from now (+30d). Never, if left out.")
@click.option("--data-start-time", type=TIME, help="The earliest data that it opens: RFC 3339, or -7d. Else: from now on.")
@click.option("--purpose", default="", help="What the partner is to use the data for.")
def grant(
    call: Call,
    *,
    customer: str,
    partner: str,
    data_classes: tuple[data_class_pb2.DataClass.ValueType, ...],
    expire_time: Timestamp | None,
    data_start_time: Timestamp | None,
    purpose: str,
) -> None:
    """Let a partner read the customer's device data. Granting again replaces what was granted."""
    request = consent_pb2.GrantConsentRequest(
        customer=customer,
        partner=partner,
        data_classes=data_classes,
        expire_time=expire_time,
        data_start_time=data_start_time,
        purpose=purpose,
    )
    call.answers.show(call.ask(ConsentServiceStub(call.channel).GrantConsent, request), "consent")


@consents.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.argument("partner", type=PARTNER)
def revoke(call: Call, customer: str, partner: str) -> None:
    """Take the permission back."""
    request = consent_pb2.RevokeConsentRequest(customer=customer, partner=partner)
    call.answers.show(call.ask(ConsentServiceStub(call.channel).RevokeConsent, request), "consent")


@consents.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.argument("partner", type=PARTNER)
def get(call: Call, customer: str, partner: str) -> None:
    """Show the consent towards one partner."""
    name = names.CONSENT.format(*names.CUSTOMER.parse(customer, "customer"), *names.PARTNER.parse(partner, "partner"))
    answer = call.ask(ConsentServiceStub(call.channel).GetConsent, consent_pb2.GetConsentRequest(name=name))
    call.answers.show(answer, "consent")


@consents.command("list")
@authority_call
@click.argument("customer", type=CUSTOMER)
def list_(call: Call, customer: str) -> None:
    """List the customer's consents, revoked and ended ones too."""
    answer = call.ask_all(ConsentServiceStub(call.channel).ListConsents, consent_pb2.ListConsentsRequest(parent=customer))
    call.answers.table(answer, "consents", _COLUMNS)


@consents.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.option("--partner", type=PARTNER, help="Only what concerns this partner, or the customer alone.")
def events(call: Call, customer: str, partner: str | None) -> None:
    """Tell the whole history, newest first: grants, ends, what operators did, and how it was enforced."""
    request = consent_pb2.ListConsentEventsRequest(parent=customer, partner=partner or "")
    answer = call.ask_all(ConsentServiceStub(call.channel).ListConsentEvents, request)
    call.answers.table(answer, "consent_events", _EVENT_COLUMNS)


@consents.command()
@authority_call
@click.argument("customer", type=CUSTOMER)
@click.option("--reader", default="", help="Only what this partner's keys read, or this one key: its name.")
@click.option("--start-time", type=TIME, help="Only hours that end after this: RFC 3339, or -7d.")
@click.option("--end-time", type=TIME, help="Only hours that begin before this: RFC 3339, or -1d.")
def accesses(
    call: Call,
    *,
    customer: str,
    reader: str,
    start_time: Timestamp | None,
    end_time: Timestamp | None,
) -> None:
    """Tell what each key read of the customer's data, by hour, newest first; and the times that nobody has reported."""
    request = consent_pb2.ListAccessesRequest(parent=customer, reader=reader, start_time=start_time, end_time=end_time)
    answer = call.ask_all(ConsentServiceStub(call.channel).ListAccesses, request)
    call.answers.table(answer, "accesses", _ACCESS_COLUMNS)
    if answer.unreported_intervals and call.answers.form in {Form.TABLE, Form.WIDE}:
        say("")
        say("Not reported:")
        call.answers.table(answer, "unreported_intervals", _UNREPORTED_COLUMNS)
