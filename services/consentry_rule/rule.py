"""The rule itself. Read the table in the package's docstring first; this is it, line by line.

Ends are exclusive: what expires at an instant does not hold at that instant any more. Denials name the first condition that
fails, in the table's order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from consentry_rule.facts import ALL_DATA_CLASSES, Address, DataClass, Instant, Key, KeyKind, Secret, Standing, Token


class Reason(Enum):
    """Why not. The values are what clients see as `google.rpc.ErrorInfo.reason`."""

    KEY_DELETED = "KEY_DELETED"
    KEY_DISABLED = "KEY_DISABLED"
    KEY_EXPIRED = "KEY_EXPIRED"
    NETWORK_NOT_ALLOWED = "NETWORK_NOT_ALLOWED"
    AUDIENCE_NOT_NAMED = "AUDIENCE_NOT_NAMED"
    PARTNER_NOT_NAMED = "PARTNER_NOT_NAMED"
    NOT_DEMO_CUSTOMER = "NOT_DEMO_CUSTOMER"
    DEMO_CUSTOMER = "DEMO_CUSTOMER"
    REHEARSING_WITHDRAWAL = "REHEARSING_WITHDRAWAL"
    NOT_ON_KEY = "NOT_ON_KEY"
    NOT_CONNECTED = "NOT_CONNECTED"
    SUBSCRIPTION_MISSING = "SUBSCRIPTION_MISSING"
    SUBSCRIPTION_CANCELLED = "SUBSCRIPTION_CANCELLED"
    SUBSCRIPTION_EXPIRED = "SUBSCRIPTION_EXPIRED"
    CONSENT_MISSING = "CONSENT_MISSING"
    CONSENT_REVOKED = "CONSENT_REVOKED"
    CONSENT_EXPIRED = "CONSENT_EXPIRED"
    DATA_CLASS_NOT_CONSENTED = "DATA_CLASS_NOT_CONSENTED"
    DATA_NOT_OPENED = "DATA_NOT_OPENED"


@dataclass(frozen=True, slots=True)
class Allow:
    """Yes, at this moment."""


@dataclass(frozen=True, slots=True)
class Deny:
    """No, and why."""

    reason: Reason


Decision: TypeAlias = Allow | Deny

# Decisions are values: one of each is enough, and a warm decision allocates nothing.
_ALLOW = Allow()
_DENY = {reason: Deny(reason) for reason in Reason}


def _ended(expire_time: Instant | None, now: Instant) -> bool:
    return expire_time is not None and now >= expire_time


def usable(credential: Key | Token | Secret, now: Instant) -> Decision:
    """Whether a key, token or secret lets its holder in at all: not deleted, not disabled, not past its end."""
    if not isinstance(credential, Secret):
        if credential.deleted:
            return _DENY[Reason.KEY_DELETED]
        if credential.disabled:
            return _DENY[Reason.KEY_DISABLED]
    if _ended(credential.expire_time, now):
        return _DENY[Reason.KEY_EXPIRED]
    return _ALLOW


def reachable(key: Key, address: Address | None) -> Decision:
    """Whether the key can be used from an address. None: one that is not known, which is in no network."""
    if not key.networks or (address is not None and any(address in network for network in key.networks)):
        return _ALLOW
    return _DENY[Reason.NETWORK_NOT_ALLOWED]


def shown(credential: Key | Token, service: Token) -> Decision:
    """Whether the service whose token this is may be shown the credential, to verify and to follow it. Both as they are now.

    A service that is limited to partners is not shown gateways' tokens: they act for customers.
    """
    decision = reaches(service, credential.organization)
    if decision is not _ALLOW:
        return decision
    if isinstance(credential, Key) and credential.audiences and service.audience not in credential.audiences:
        return _DENY[Reason.AUDIENCE_NOT_NAMED]
    return _ALLOW


def reaches(service: Token, organization: str) -> Decision:
    """Whether a service deals with this partner's credentials at all; `organization` is a resource name, as in `Token`."""
    if service.partners and organization not in service.partners:
        return _DENY[Reason.PARTNER_NOT_NAMED]
    return _ALLOW


def valid(standing: Standing, now: Instant) -> Decision:
    """Whether the customer is a valid customer of the partner: connected, subscription active, consent active."""
    if not standing.connected:
        return _DENY[Reason.NOT_CONNECTED]
    subscription = standing.subscription
    if subscription is None:
        return _DENY[Reason.SUBSCRIPTION_MISSING]
    if subscription.cancelled:
        return _DENY[Reason.SUBSCRIPTION_CANCELLED]
    if _ended(subscription.expire_time, now):
        return _DENY[Reason.SUBSCRIPTION_EXPIRED]
    consent = standing.consent
    if consent is None:
        return _DENY[Reason.CONSENT_MISSING]
    if consent.revoked:
        return _DENY[Reason.CONSENT_REVOKED]
    if _ended(consent.expire_time, now):
        return _DENY[Reason.CONSENT_EXPIRED]
    return _ALLOW


def covered(key: Key, standing: Standing, now: Instant) -> Decision:
    """Whether the key covers the customer now. `standing` is the customer's towards the key's partner."""
    decision = usable(key, now)
    if decision is not _ALLOW:
        return decision
    match key.kind:
        case KeyKind.DEMO:
            if not standing.demo:
                return _DENY[Reason.NOT_DEMO_CUSTOMER]
            return _DENY[Reason.REHEARSING_WITHDRAWAL] if key.rehearsing else _ALLOW
        case KeyKind.ALL_CUSTOMERS:
            return _DENY[Reason.DEMO_CUSTOMER] if standing.demo else valid(standing, now)
        case KeyKind.SPECIFIC_CUSTOMERS:
            if standing.demo:
                return _DENY[Reason.DEMO_CUSTOMER]
            return valid(standing, now) if standing.customer in key.customers else _DENY[Reason.NOT_ON_KEY]
        case _:
            assert_never(key.kind)


def allowed(key: Key, standing: Standing, data_class: DataClass, data_time: Instant | None, now: Instant) -> Decision:
    """Whether the key may read data of this class and time now. `data_time` None: data that has no time of its own."""
    decision = covered(key, standing, now)
    if decision is not _ALLOW or standing.demo:
        return decision
    consent = standing.consent
    if consent is None:  # unreachable: covered() has seen it
        return _DENY[Reason.CONSENT_MISSING]
    if data_class not in consent.data_classes:
        return _DENY[Reason.DATA_CLASS_NOT_CONSENTED]
    if data_time is not None and data_time < consent.data_start_time:
        return _DENY[Reason.DATA_NOT_OPENED]
    return _ALLOW


def opened_classes(standing: Standing) -> frozenset[DataClass]:
    """The data classes that are open once the customer is covered: all of the demo customer's, else the consent's."""
    if standing.demo:
        return ALL_DATA_CLASSES
    return frozenset() if standing.consent is None else standing.consent.data_classes


def next_end(key: Key | Token | None, secret: Secret | None, standing: Standing | None, now: Instant) -> Instant | None:
    """The next instant after `now` at which a decision over these facts can change by itself."""
    return min((end for end in _ends(key, secret, standing) if end > now), default=None)


def _ends(key: Key | Token | None, secret: Secret | None, standing: Standing | None) -> Iterator[Instant]:
    holders = (
        key,
        secret,
        standing.subscription if standing is not None else None,
        standing.consent if standing is not None else None,
    )
    for holder in holders:
        if holder is not None and holder.expire_time is not None:
            yield holder.expire_time
