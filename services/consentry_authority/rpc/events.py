"""A customer's history on the wire."""

from collections.abc import Mapping

from consentry.authority.v1 import consent_pb2 as pb
from consentry.authority.v1 import enforcement_pb2
from consentry_authority.audit.chain import EntryKind
from consentry_authority.commands.consents.list_consent_events import ConsentEvent, EventKind
from consentry_authority.rpc.wire import PLAN_TO_WIRE, ROLE_TO_WIRE
from consentry_core.protocol.follow_wire import data_classes_to_wire
from consentry_core.protocol.times import optional_timestamp, to_timestamp
from consentry_core.values import names

_KIND: Mapping[EventKind, pb.ConsentEvent.Kind.ValueType] = {
    kind: pb.ConsentEvent.Kind.Value(f"KIND_{kind.name}") for kind in EventKind
}


def event_to_wire(event: ConsentEvent, receipts: Mapping[int, enforcement_pb2.Enforcement]) -> pb.ConsentEvent:
    """As a message, with its receipt from those of the page."""
    message = pb.ConsentEvent(
        kind=_KIND[event.kind],
        event_time=to_timestamp(event.place.time),
        partner=names.PARTNER.format(event.place.partner) if event.place.partner else "",
        data_classes=data_classes_to_wire(event.data_classes),
        expire_time=optional_timestamp(event.expire_time),
        data_start_time=optional_timestamp(event.data_start_time),
        purpose=event.purpose,
        token=event.token,
    )
    if event.plan is not None:
        message.plan = PLAN_TO_WIRE[event.plan]
    if event.token_role is not None:
        message.token_role = ROLE_TO_WIRE[event.token_role]
    entry = event.entry
    if entry is not None and entry.kind != EntryKind.END:
        message.actor, message.actor_organization = entry.actor, entry.organization
        message.method, message.request_id = entry.method, entry.request_id
        receipt = receipts.get(entry.revision)
        if receipt is not None:
            message.enforcement.CopyFrom(receipt)
    return message
