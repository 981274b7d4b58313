"""The authority's resources on the wire: converters, in pairs where both ways are gone."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from consentry.authority.v1 import consent_pb2, directory_pb2, keys_pb2, tokens_pb2
from consentry_authority.commands.directory.list_connections import ConnectionStatus
from consentry_authority.commands.keys.get_key import etag_of
from consentry_authority.commands.keys.key_customers import MOST_TOLD
from consentry_authority.commands.records import (
    ConsentRecord,
    CustomerRecord,
    KeyRecord,
    LiveSecret,
    PartnerRecord,
    Plan,
    SubscriptionRecord,
    TokenRecord,
)
from consentry_authority.commands.states import State, consent_state, key_state, subscription_state
from consentry_core.protocol.follow_wire import data_classes_to_wire
from consentry_core.protocol.times import from_timestamp, optional_timestamp, to_timestamp
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument
from consentry_rule import NO_QUOTA, CustomerId, Deny, Instant, KeyKind, Quota, TokenRole

_Subscription, _Consent, _Key, _Token = directory_pb2.Subscription, consent_pb2.Consent, keys_pb2.Key, tokens_pb2.Token

PLAN_TO_WIRE: Mapping[Plan, directory_pb2.Subscription.Plan.ValueType] = {
    Plan.TRIAL: _Subscription.PLAN_TRIAL,
    Plan.PAID: _Subscription.PLAN_PAID,
}
_PLAN_FROM_WIRE = {wire: plan for plan, wire in PLAN_TO_WIRE.items()}

_KIND_TO_WIRE: Mapping[KeyKind, keys_pb2.Key.Kind.ValueType] = {
    KeyKind.DEMO: _Key.KIND_DEMO,
    KeyKind.ALL_CUSTOMERS: _Key.KIND_ALL_CUSTOMERS,
    KeyKind.SPECIFIC_CUSTOMERS: _Key.KIND_SPECIFIC_CUSTOMERS,
}
_KIND_FROM_WIRE = {wire: kind for kind, wire in _KIND_TO_WIRE.items()}

ROLE_TO_WIRE: Mapping[TokenRole, tokens_pb2.Token.Role.ValueType] = {
    TokenRole.OPERATOR: _Token.ROLE_OPERATOR,
    TokenRole.PARTNER_ADMIN: _Token.ROLE_PARTNER_ADMIN,
    TokenRole.CUSTOMER_ADMIN: _Token.ROLE_CUSTOMER_ADMIN,
    TokenRole.GATEWAY: _Token.ROLE_GATEWAY,
    TokenRole.SERVICE: _Token.ROLE_SERVICE,
}
_ROLE_FROM_WIRE = {wire: role for role, wire in ROLE_TO_WIRE.items()}

_SUBSCRIPTION_STATE: Mapping[State, directory_pb2.Subscription.State.ValueType] = {
    State.ACTIVE: _Subscription.STATE_ACTIVE,
    State.CANCELLED: _Subscription.STATE_CANCELLED,
    State.EXPIRED: _Subscription.STATE_EXPIRED,
}
_CONSENT_STATE: Mapping[State, consent_pb2.Consent.State.ValueType] = {
    State.ACTIVE: _Consent.STATE_ACTIVE,
    State.REVOKED: _Consent.STATE_REVOKED,
    State.EXPIRED: _Consent.STATE_EXPIRED,
}
_KEY_STATE: Mapping[State, keys_pb2.Key.State.ValueType] = {
    State.ACTIVE: _Key.STATE_ACTIVE,
    State.DISABLED: _Key.STATE_DISABLED,
    State.EXPIRED: _Key.STATE_EXPIRED,
}


def optional_instant(message: Message, name: str, field: str) -> Instant | None:
    """The time in a message's field `name`, None when it is absent; `field` is its path for errors."""
    holder: Any = message
    return from_timestamp(getattr(holder, name), field) if message.HasField(name) else None


def partner_to_wire(partner: PartnerRecord) -> directory_pb2.Partner:
    """As a message."""
    return directory_pb2.Partner(
        name=partner.name, display_name=partner.display_name, create_time=to_timestamp(partner.create_time)
    )


def customer_to_wire(customer: CustomerRecord, now: Instant) -> directory_pb2.Customer:
    """As a message."""
    subscription = customer.subscription
    return directory_pb2.Customer(
        name=customer.name,
        display_name=customer.display_name,
        subscription=None if subscription is None else subscription_to_wire(subscription, now),
        create_time=to_timestamp(customer.create_time),
        demo=customer.demo,
    )


def subscription_to_wire(subscription: SubscriptionRecord, now: Instant) -> directory_pb2.Subscription:
    """As a message, with its state now."""
    return directory_pb2.Subscription(
        plan=PLAN_TO_WIRE[subscription.plan],
        expire_time=optional_timestamp(subscription.expire_time),
        cancel_time=optional_timestamp(subscription.cancel_time),
        state=_SUBSCRIPTION_STATE[subscription_state(subscription, now)],
    )


def subscription_from_wire(message: directory_pb2.Subscription, field: str) -> SubscriptionRecord:
    """What was bought. InvalidArgument when no plan is named."""
    plan = _PLAN_FROM_WIRE.get(message.plan)
    if plan is None:
        raise InvalidArgument(f"{field}.plan", "must be PLAN_TRIAL or PLAN_PAID", reason="PLAN_REQUIRED")
    return SubscriptionRecord(plan, optional_instant(message, "expire_time", f"{field}.expire_time"))


def connection_to_wire(status: ConnectionStatus) -> directory_pb2.Connection:
    """As a message."""
    connection, validity = status.connection, status.validity
    return directory_pb2.Connection(
        partner=names.PARTNER.format(connection.partner),
        customer=names.CUSTOMER.format(connection.customer),
        connect_time=to_timestamp(connection.connect_time),
        valid=not isinstance(validity, Deny),
        invalid_reason=validity.reason.value if isinstance(validity, Deny) else "",
    )


def token_to_wire(token: TokenRecord) -> tokens_pb2.Token:
    """As a message."""
    return tokens_pb2.Token(
        name=token.name,
        role=ROLE_TO_WIRE[token.role],
        organization=token.organization,
        display_name=token.display_name,
        create_time=to_timestamp(token.create_time),
        expire_time=optional_timestamp(token.expire_time),
        hint=token.hint,
        creator=token.creator,
        last_use_time=optional_timestamp(token.last_use_time),
        audience=token.audience,
        partners=sorted(token.partners),
    )


def role_from_wire(role: tokens_pb2.Token.Role.ValueType) -> TokenRole | None:
    """The role; None for none."""
    return _ROLE_FROM_WIRE.get(role)


def consent_to_wire(consent: ConsentRecord, now: Instant) -> consent_pb2.Consent:
    """As a message, with its state now."""
    return consent_pb2.Consent(
        name=consent.name,
        customer=names.CUSTOMER.format(consent.customer),
        partner=names.PARTNER.format(consent.partner),
        state=_CONSENT_STATE[consent_state(consent, now)],
        data_classes=data_classes_to_wire(consent.data_classes),
        grant_time=to_timestamp(consent.grant_time),
        expire_time=optional_timestamp(consent.expire_time),
        data_start_time=to_timestamp(consent.data_start_time),
        purpose=consent.purpose,
        revoke_time=optional_timestamp(consent.revoke_time),
    )


def key_to_wire(key: KeyRecord, now: Instant) -> keys_pb2.Key:
    """As a message, with its state now."""
    return keys_pb2.Key(
        name=key.name,
        display_name=key.display_name,
        kind=_KIND_TO_WIRE[key.kind],
        customers=map(names.CUSTOMER.format, sorted(key.customers)) if len(key.customers) <= MOST_TOLD else (),
        customer_count=len(key.customers) + key.customers_left_out,
        state=_KEY_STATE[key_state(key, now)],
        create_time=to_timestamp(key.create_time),
        expire_time=optional_timestamp(key.expire_time),
        hint=key.hint,
        etag=etag_of(key),
        creator=key.creator,
        last_use_time=optional_timestamp(key.last_use_time),
        secrets=[_secret_to_wire(secret) for secret in key.secrets],
        labels=dict(key.labels),
        allowed_networks=map(str, key.networks),
        quota=None if key.quota == NO_QUOTA else _quota_to_wire(key.quota),
        audiences=sorted(key.audiences),
    )


def _quota_to_wire(quota: Quota) -> keys_pb2.Key.Quota:
    return keys_pb2.Key.Quota(calls_per_minute=quota.calls_per_minute, open_streams=quota.open_streams)


def quota_from_wire(quota: keys_pb2.Key.Quota) -> Quota:
    """The quota."""
    return Quota(quota.calls_per_minute, quota.open_streams)


def _secret_to_wire(secret: LiveSecret) -> keys_pb2.Key.Secret:
    return keys_pb2.Key.Secret(
        hint=secret.hint,
        create_time=to_timestamp(secret.create_time),
        expire_time=optional_timestamp(secret.expire_time),
        last_use_time=optional_timestamp(secret.last_use_time),
    )


def kind_from_wire(kind: keys_pb2.Key.Kind.ValueType, field: str) -> KeyKind:
    """The kind. InvalidArgument when none is named."""
    found = _KIND_FROM_WIRE.get(kind)
    if found is None:
        raise InvalidArgument(field, "must be KIND_DEMO, KIND_ALL_CUSTOMERS or KIND_SPECIFIC_CUSTOMERS", reason="KIND_REQUIRED")
    return found


def customers_from_wire(listed: Iterable[str], field: str) -> list[CustomerId]:
    """The customers that are named in a list."""
    return [CustomerId(*names.CUSTOMER.parse(name, f"{field}[{index}]")) for index, name in enumerate(listed)]
