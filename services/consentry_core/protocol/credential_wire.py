"""Credentials as a guard follows them, on the wire: a pair of converters."""

from collections.abc import Mapping
from ipaddress import ip_network

from consentry.authority.v1 import enforcement_pb2
from consentry_core.protocol.follow import Credential
from consentry_core.protocol.marks import ListDifference, MarkedKey
from consentry_core.protocol.times import optional_instant, optional_timestamp
from consentry_core.values import names
from consentry_rule import CustomerId, KeyKind, PartnerId, Quota, Secret, Token, TokenRole

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


def credential_to_wire(credential: Credential) -> enforcement_pb2.CredentialFacts:
    """The message that tells of a credential."""
    facts = credential.facts
    if facts is None or facts.deleted:
        return enforcement_pb2.CredentialFacts(name=credential.name)
    wire = enforcement_pb2.CredentialFacts(
        name=credential.name,
        kind=_KIND_TO_WIRE[facts.kind if isinstance(facts, MarkedKey) else facts.role],
        disabled=facts.disabled,
        expire_time=optional_timestamp(facts.expire_time),
        secrets=[
            enforcement_pb2.CredentialFacts.Secret(id=secret.id, expire_time=optional_timestamp(secret.expire_time))
            for secret in facts.secrets
        ],
    )
    if isinstance(facts, MarkedKey):
        wire.organization = names.PARTNER.format(facts.partner)
        difference, unlisted = credential.difference, facts.unlisted
        listed = [(customer, facts.listed_numbers.get(customer, 0)) for customer in sorted(facts.customers)]
        if difference is not None:
            wire.base_list_number = difference.base
            listed, unlisted = list(difference.listed), difference.unlisted
        wire.list_number = facts.list_number
        wire.customers.extend(names.CUSTOMER.format(customer) for customer, _ in listed)
        wire.listed_numbers.extend(number for _, number in listed)
        for customer, listed_number, unlisted_number in unlisted:
            name = names.CUSTOMER.format(customer)
            wire.unlisted.add(customer=name, listed_number=listed_number, unlisted_number=unlisted_number)
        wire.rehearsing = facts.rehearsing
        wire.allowed_networks.extend(map(str, facts.networks))
        wire.calls_per_minute, wire.open_streams = facts.quota.calls_per_minute, facts.quota.open_streams
    else:
        wire.organization = facts.organization
    return wire


def credential_from_wire(wire: enforcement_pb2.CredentialFacts) -> Credential:
    """The credential that a message tells of."""
    kind = _KIND_FROM_WIRE.get(wire.kind)
    expire_time = optional_instant(wire, "expire_time")
    secrets = tuple(Secret(secret.id, optional_instant(secret, "expire_time")) for secret in wire.secrets)
    difference: ListDifference | None = None
    facts: MarkedKey | Token | None = None  # also for a kind that this guard does not know: it lets nobody in
    if isinstance(kind, KeyKind):
        customers = [_customer(name) for name in wire.customers]
        numbers = tuple(zip(customers, wire.listed_numbers, strict=False))  # an older authority tells none
        unlisted = tuple((_customer(one.customer), one.listed_number, one.unlisted_number) for one in wire.unlisted)
        if wire.HasField("base_list_number"):
            difference = ListDifference(wire.base_list_number, numbers, unlisted)
            customers, numbers, unlisted = [], (), ()
        facts = MarkedKey(
            kind=kind,
            partner=PartnerId(names.PARTNER.parse(wire.organization, "organization")[0]),
            disabled=wire.disabled,
            expire_time=expire_time,
            customers=frozenset(customers),
            rehearsing=wire.rehearsing,
            secrets=secrets,
            listed_numbers=dict(numbers),
            networks=tuple(map(ip_network, wire.allowed_networks)),
            quota=Quota(wire.calls_per_minute, wire.open_streams),
            unlisted=unlisted,
            list_number=wire.list_number,
        )
    elif isinstance(kind, TokenRole):
        facts = Token(kind, wire.organization, disabled=wire.disabled, expire_time=expire_time, secrets=secrets)
    return Credential(wire.name, facts, difference)


def _customer(name: str) -> CustomerId:
    return CustomerId(names.CUSTOMER.parse(name, "customers")[0])
