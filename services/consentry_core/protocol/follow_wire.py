"""The messages of `consentry_core.protocol.follow` on the wire: converters in pairs, used by both sides."""

from typing import assert_never

from consentry.authority.v1 import enforcement_pb2
from consentry_core.protocol.credential_wire import credential_from_wire, credential_to_wire
from consentry_core.protocol.data_classes import (
    DATA_CLASS_FROM_WIRE,
    DATA_CLASS_TO_WIRE,
    data_classes_to_wire,
    known_data_classes,
)
from consentry_core.protocol.follow import (
    Acknowledgement,
    Facts,
    Farewell,
    Forget,
    FromAuthority,
    FromGuard,
    Hello,
    Interest,
    Lease,
    Proofs,
    Renewal,
    Revision,
    Uses,
)
from consentry_core.protocol.marks import MarkedStanding
from consentry_core.protocol.times import (
    from_duration,
    from_timestamp,
    optional_instant,
    optional_timestamp,
    to_duration,
    to_timestamp,
)
from consentry_core.values import names
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import InvalidArgument
from consentry_rule import (
    Consent,
    CustomerId,
    Instant,
    PartnerId,
    Subscription,
)


def revision_to_wire(revision: Revision) -> enforcement_pb2.Revision:
    """The message for a revision."""
    return enforcement_pb2.Revision(epoch=revision.epoch, number=revision.number)


def revision_from_wire(revision: enforcement_pb2.Revision) -> Revision:
    """The revision in a message."""
    return Revision(revision.epoch, revision.number)


def to_request(message: FromGuard) -> enforcement_pb2.FollowRequest:
    """The request for a message of a guard."""
    request = enforcement_pb2.FollowRequest()
    match message:
        case Hello():
            request.hello.incarnation, request.hello.service = message.incarnation, message.service
            request.hello.list_differences = message.list_differences
        case Renewal():
            request.renewal.stamp_nano = message.stamp
        case Interest():
            request.interest.number = message.number
            request.interest.names.extend(message.names)
        case Acknowledgement():
            request.acknowledgement.revision.CopyFrom(revision_to_wire(message.revision))
        case Forget():
            request.forget.names.extend(message.names)
        case Farewell():
            request.farewell.SetInParent()
        case Uses():
            for secret_id, last in message.uses:
                request.uses.uses.add(secret_id=secret_id, last_use_time=to_timestamp(last))
            request.uses.SetInParent()
        case Proofs():
            for credential, proof in message.proofs:
                request.proofs.proofs.add(credential=credential, proof=proof)
            request.proofs.SetInParent()
        case _:
            assert_never(message)
    return request


def from_request(request: enforcement_pb2.FollowRequest) -> FromGuard:
    """The message of a guard in a request. InvalidArgument when it is of no known kind."""
    match request.WhichOneof("message"):
        case "hello":
            return Hello(request.hello.incarnation, request.hello.service, request.hello.list_differences)
        case "renewal":
            return Renewal(BootTime(request.renewal.stamp_nano))
        case "interest":
            return Interest(request.interest.number, tuple(request.interest.names))
        case "acknowledgement":
            return Acknowledgement(revision_from_wire(request.acknowledgement.revision))
        case "forget":
            return Forget(tuple(request.forget.names))
        case "farewell":
            return Farewell()
        case "uses":
            return Uses(
                tuple(
                    (
                        names.resource_id(use.secret_id, "uses.secret_id"),
                        from_timestamp(use.last_use_time, "uses.last_use_time"),
                    )
                    for use in request.uses.uses
                )
            )
        case "proofs":
            return Proofs(tuple((one.credential, one.proof) for one in request.proofs.proofs))
        case _:
            raise InvalidArgument("message", "must be one of those that this authority knows")


def to_response(message: FromAuthority) -> enforcement_pb2.FollowResponse:
    """The response for a message of the authority."""
    if isinstance(message, Lease):
        return enforcement_pb2.FollowResponse(
            lease=enforcement_pb2.FollowResponse.Lease(
                stamp_nano=message.stamp,
                revision=revision_to_wire(message.revision),
                duration=to_duration(message.duration),
                authority_time=to_timestamp(message.authority_time),
                authority_boot_nano=message.authority_boot,
                authority_clock=message.authority_clock,
                waited_nano=message.waited,
            )
        )
    return enforcement_pb2.FollowResponse(
        facts=enforcement_pb2.FollowResponse.Facts(
            revision=revision_to_wire(message.revision),
            interest=message.interest,
            more=message.more,
            credentials=[credential_to_wire(credential) for credential in message.credentials],
            standings=[_standing_to_wire(standing) for standing in message.standings],
        )
    )


def from_response(response: enforcement_pb2.FollowResponse) -> FromAuthority | None:
    """The message of the authority in a response; None for a kind that is newer than this guard."""
    match response.WhichOneof("message"):
        case "lease":
            lease = response.lease
            return Lease(
                BootTime(lease.stamp_nano),
                revision_from_wire(lease.revision),
                from_duration(lease.duration),
                from_timestamp(lease.authority_time, "authority_time"),
                BootTime(lease.authority_boot_nano),
                lease.authority_clock,
                lease.waited_nano,
            )
        case "facts":
            facts = response.facts
            return Facts(
                revision_from_wire(facts.revision),
                facts.interest,
                facts.more,
                tuple(credential_from_wire(credential) for credential in facts.credentials),
                tuple(_standing_from_wire(standing) for standing in facts.standings),
            )
        case _:
            return None


def _standing_to_wire(standing: MarkedStanding) -> enforcement_pb2.Standing:
    wire = enforcement_pb2.Standing(
        name=names.CONSENT.format(standing.customer, standing.partner),
        demo=standing.demo,
        connected=standing.connected,
        disconnect_time=optional_timestamp(standing.disconnect_time),
        opened_number=standing.opened_number,
        closed_number=standing.closed_number,
        class_numbers=[
            enforcement_pb2.Standing.ClassNumber(data_class=DATA_CLASS_TO_WIRE[data_class], number=number)
            for data_class, number in standing.class_numbers
        ],
    )
    if standing.subscription is not None:
        wire.subscription.cancelled = standing.subscription.cancelled
        _set_time(wire.subscription, standing.subscription.expire_time)
        wire.subscription.SetInParent()
    if standing.consent is not None:
        wire.consent.revoked = standing.consent.revoked
        _set_time(wire.consent, standing.consent.expire_time)
        wire.consent.data_start_time.CopyFrom(to_timestamp(standing.consent.data_start_time))
        wire.consent.data_classes.extend(data_classes_to_wire(standing.consent.data_classes))
    return wire


def _standing_from_wire(wire: enforcement_pb2.Standing) -> MarkedStanding:
    customer, partner = names.CONSENT.parse(wire.name, "name")
    subscription = consent = None
    if wire.HasField("subscription"):
        subscription = Subscription(wire.subscription.cancelled, optional_instant(wire.subscription, "expire_time"))
    if wire.HasField("consent"):
        consent = _consent_from_wire(wire.consent)
    return MarkedStanding(
        partner=PartnerId(partner),
        customer=CustomerId(customer),
        demo=wire.demo,
        connected=wire.connected,
        subscription=subscription,
        consent=consent,
        disconnect_time=optional_instant(wire, "disconnect_time"),
        opened_number=wire.opened_number,
        closed_number=wire.closed_number,
        class_numbers=tuple(
            (DATA_CLASS_FROM_WIRE[each.data_class], each.number)
            for each in wire.class_numbers
            if each.data_class in DATA_CLASS_FROM_WIRE
        ),
    )


def _consent_from_wire(wire: enforcement_pb2.Standing.ConsentFacts) -> Consent:
    """The consent as far as this guard knows it: a data class of a newer authority opens nothing here."""
    known = known_data_classes(wire.data_classes)
    return Consent(
        from_timestamp(wire.data_start_time, "data_start_time"), wire.revoked, optional_instant(wire, "expire_time"), known
    )


def _set_time(
    message: enforcement_pb2.Standing.SubscriptionFacts | enforcement_pb2.Standing.ConsentFacts, expire_time: Instant | None
) -> None:
    if expire_time is not None:
        message.expire_time.CopyFrom(to_timestamp(expire_time))
