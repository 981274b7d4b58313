"""The messages of `consentry_core.follow` on the wire: converters in pairs, used by both sides."""

from collections.abc import Mapping

from consentry.authority.v1 import data_class_pb2, enforcement_pb2
from consentry_core import names
from consentry_core.clock import BootTime
from consentry_core.errors import InvalidArgument
from consentry_core.follow import (
    Acknowledgement,
    Credential,
    Facts,
    Farewell,
    Forget,
    FromAuthority,
    FromGuard,
    Hello,
    Interest,
    Lease,
    Renewal,
    Revision,
)
from consentry_core.rpc.times import from_duration, from_timestamp, optional_timestamp, to_duration, to_timestamp
from consentry_rule import (
    Consent,
    CustomerId,
    DataClass,
    Instant,
    Key,
    KeyKind,
    PartnerId,
    Secret,
    Standing,
    Subscription,
    Token,
    TokenRole,
)

_Kind = enforcement_pb2.CredentialFacts

_KIND_TO_WIRE: Mapping[KeyKind | TokenRole, enforcement_pb2.CredentialFacts.Kind.ValueType] = {
    KeyKind.DEMO: _Kind.KIND_DEMO_KEY,
    KeyKind.ALL_CUSTOMERS: _Kind.KIND_ALL_CUSTOMERS_KEY,
    KeyKind.SPECIFIC_CUSTOMERS: _Kind.KIND_SPECIFIC_CUSTOMERS_KEY,
    TokenRole.OPERATOR: _Kind.KIND_OPERATOR_TOKEN,
    TokenRole.PARTNER_ADMIN: _Kind.KIND_PARTNER_ADMIN_TOKEN,
    TokenRole.CUSTOMER_ADMIN: _Kind.KIND_CUSTOMER_ADMIN_TOKEN,
    TokenRole.GATEWAY: _Kind.KIND_GATEWAY_TOKEN,
    TokenRole.SERVICE: _Kind.KIND_SERVICE_TOKEN,
}
_KIND_FROM_WIRE = {wire: kind for kind, wire in _KIND_TO_WIRE.items()}

DATA_CLASS_TO_WIRE: Mapping[DataClass, data_class_pb2.DataClass.ValueType] = {
    DataClass.INVENTORY: data_class_pb2.DATA_CLASS_INVENTORY,
    DataClass.TELEMETRY: data_class_pb2.DATA_CLASS_TELEMETRY,
    DataClass.ALARMS: data_class_pb2.DATA_CLASS_ALARMS,
}
_DATA_CLASS_FROM_WIRE = {wire: data_class for data_class, wire in DATA_CLASS_TO_WIRE.items()}


def data_classes_to_wire(classes: frozenset[DataClass]) -> list[data_class_pb2.DataClass.ValueType]:
    """The classes, ordered."""
    return sorted(DATA_CLASS_TO_WIRE[data_class] for data_class in classes)


def data_classes_from_wire(classes: list[data_class_pb2.DataClass.ValueType], field: str) -> frozenset[DataClass]:
    """The classes. InvalidArgument for one that is none."""
    unknown = [data_class for data_class in classes if data_class not in _DATA_CLASS_FROM_WIRE]
    if unknown:
        known = ", ".join(data_class_pb2.DataClass.Name(wire) for wire in sorted(_DATA_CLASS_FROM_WIRE))
        raise InvalidArgument(field, f"must be one of {known}", reason="DATA_CLASS_INVALID")
    return frozenset(_DATA_CLASS_FROM_WIRE[data_class] for data_class in classes)


def revision_to_wire(revision: Revision) -> enforcement_pb2.Revision:
    """As a message."""
    return enforcement_pb2.Revision(epoch=revision.epoch, number=revision.number)


def revision_from_wire(revision: enforcement_pb2.Revision) -> Revision:
    """As a value."""
    return Revision(revision.epoch, revision.number)


def to_request(message: FromGuard) -> enforcement_pb2.FollowRequest:
    """What a guard says."""
    request = enforcement_pb2.FollowRequest()
    match message:
        case Hello():
            request.hello.incarnation, request.hello.service = message.incarnation, message.service
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
    return request


def from_request(request: enforcement_pb2.FollowRequest) -> FromGuard:
    """What a guard said. InvalidArgument when it said nothing known."""
    match request.WhichOneof("message"):
        case "hello":
            return Hello(request.hello.incarnation, request.hello.service)
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
        case _:
            raise InvalidArgument("message", "must be one of those that this authority knows")


def to_response(message: FromAuthority) -> enforcement_pb2.FollowResponse:
    """What the authority says."""
    if isinstance(message, Lease):
        return enforcement_pb2.FollowResponse(
            lease=enforcement_pb2.FollowResponse.Lease(
                stamp_nano=message.stamp,
                revision=revision_to_wire(message.revision),
                duration=to_duration(message.duration),
                authority_time=to_timestamp(message.authority_time),
            )
        )
    return enforcement_pb2.FollowResponse(
        facts=enforcement_pb2.FollowResponse.Facts(
            revision=revision_to_wire(message.revision),
            interest=message.interest,
            more=message.more,
            credentials=[_credential_to_wire(credential) for credential in message.credentials],
            standings=[_standing_to_wire(standing) for standing in message.standings],
        )
    )


def from_response(response: enforcement_pb2.FollowResponse) -> FromAuthority | None:
    """What the authority said; None for something newer than this guard."""
    match response.WhichOneof("message"):
        case "lease":
            lease = response.lease
            return Lease(
                BootTime(lease.stamp_nano),
                revision_from_wire(lease.revision),
                from_duration(lease.duration),
                from_timestamp(lease.authority_time, "authority_time"),
            )
        case "facts":
            facts = response.facts
            return Facts(
                revision_from_wire(facts.revision),
                facts.interest,
                facts.more,
                tuple(_credential_from_wire(credential) for credential in facts.credentials),
                tuple(_standing_from_wire(standing) for standing in facts.standings),
            )
        case _:
            return None


def _credential_to_wire(credential: Credential) -> enforcement_pb2.CredentialFacts:
    facts = credential.facts
    if facts is None or facts.deleted:
        return enforcement_pb2.CredentialFacts(name=credential.name)
    wire = enforcement_pb2.CredentialFacts(
        name=credential.name,
        kind=_KIND_TO_WIRE[facts.kind if isinstance(facts, Key) else facts.role],
        disabled=facts.disabled,
        expire_time=optional_timestamp(facts.expire_time),
        secrets=[
            enforcement_pb2.CredentialFacts.Secret(id=secret.id, expire_time=optional_timestamp(secret.expire_time))
            for secret in facts.secrets
        ],
    )
    if isinstance(facts, Key):
        wire.organization = names.PARTNER.format(facts.partner)
        wire.customers.extend(sorted(names.CUSTOMER.format(customer) for customer in facts.customers))
        wire.rehearsing = facts.rehearsing
    else:
        wire.organization = facts.organization
    return wire


def _credential_from_wire(wire: enforcement_pb2.CredentialFacts) -> Credential:
    kind = _KIND_FROM_WIRE.get(wire.kind)
    expire_time = _optional_instant(wire, "expire_time")
    secrets = tuple(Secret(secret.id, _optional_instant(secret, "expire_time")) for secret in wire.secrets)
    facts: Key | Token | None = None  # also for a kind that this guard does not know: it lets nobody in
    if isinstance(kind, KeyKind):
        facts = Key(
            kind=kind,
            partner=PartnerId(names.PARTNER.parse(wire.organization, "organization")[0]),
            disabled=wire.disabled,
            expire_time=expire_time,
            customers=frozenset(CustomerId(names.CUSTOMER.parse(name, "customers")[0]) for name in wire.customers),
            rehearsing=wire.rehearsing,
            secrets=secrets,
        )
    elif isinstance(kind, TokenRole):
        facts = Token(kind, wire.organization, disabled=wire.disabled, expire_time=expire_time, secrets=secrets)
    return Credential(wire.name, facts)


def _standing_to_wire(standing: Standing) -> enforcement_pb2.Standing:
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


def _standing_from_wire(wire: enforcement_pb2.Standing) -> Standing:
    customer, partner = names.CONSENT.parse(wire.name, "name")
    subscription = consent = None
    if wire.HasField("subscription"):
        subscription = Subscription(wire.subscription.cancelled, _optional_instant(wire.subscription, "expire_time"))
    if wire.HasField("consent"):
        consent = Consent(
            from_timestamp(wire.consent.data_start_time, "data_start_time"),
            wire.consent.revoked,
            _optional_instant(wire.consent, "expire_time"),
            data_classes_from_wire(list(wire.consent.data_classes), "data_classes"),
        )
    return Standing(
        partner=PartnerId(partner),
        customer=CustomerId(customer),
        demo=wire.demo,
        connected=wire.connected,
        subscription=subscription,
        consent=consent,
        disconnect_time=_optional_instant(wire, "disconnect_time"),
        opened_number=wire.opened_number,
        closed_number=wire.closed_number,
        class_numbers=tuple((_DATA_CLASS_FROM_WIRE[each.data_class], each.number) for each in wire.class_numbers),
    )


_WithExpireTime = (
    enforcement_pb2.CredentialFacts
    | enforcement_pb2.CredentialFacts.Secret
    | enforcement_pb2.Standing
    | enforcement_pb2.Standing.SubscriptionFacts
    | enforcement_pb2.Standing.ConsentFacts
)


def _optional_instant(message: _WithExpireTime, field: str) -> Instant | None:
    return from_timestamp(getattr(message, field), field) if message.HasField(field) else None  # type: ignore[arg-type]


def _set_time(
    message: enforcement_pb2.Standing.SubscriptionFacts | enforcement_pb2.Standing.ConsentFacts, expire_time: Instant | None
) -> None:
    if expire_time is not None:
        message.expire_time.CopyFrom(to_timestamp(expire_time))
