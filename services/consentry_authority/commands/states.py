"""Where subscriptions, consents and keys stand, for people to read: the rule's word, with everything else as good as can be."""

from enum import Enum

from consentry_authority.commands.records import ConsentRecord, KeyRecord, SubscriptionRecord
from consentry_rule import (
    Allow,
    Consent,
    CustomerId,
    Decision,
    Instant,
    Key,
    PartnerId,
    Reason,
    Standing,
    Subscription,
    usable,
    valid,
)

_SUBSCRIBED = Subscription()
_CONSENTED = Consent(Instant(0))


class State(Enum):
    """Where something stands at one moment."""

    ACTIVE = "active"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    DISABLED = "disabled"


_STATE_OF = {
    Reason.SUBSCRIPTION_CANCELLED: State.CANCELLED,
    Reason.SUBSCRIPTION_EXPIRED: State.EXPIRED,
    Reason.CONSENT_REVOKED: State.REVOKED,
    Reason.CONSENT_EXPIRED: State.EXPIRED,
    Reason.KEY_DISABLED: State.DISABLED,
    Reason.KEY_EXPIRED: State.EXPIRED,
}


def subscription_state(subscription: SubscriptionRecord, now: Instant) -> State:
    """ACTIVE, CANCELLED or EXPIRED."""
    facts = Subscription(cancelled=subscription.cancel_time is not None, expire_time=subscription.expire_time)
    return _state(_decide(facts, _CONSENTED, now))


def consent_state(consent: ConsentRecord, now: Instant) -> State:
    """ACTIVE, REVOKED or EXPIRED."""
    facts = Consent(consent.data_start_time, revoked=consent.revoke_time is not None, expire_time=consent.expire_time)
    return _state(_decide(_SUBSCRIBED, facts, now))


def key_state(key: KeyRecord, now: Instant) -> State:
    """ACTIVE, DISABLED or EXPIRED."""
    return _state(usable(Key(key.kind, key.partner, disabled=key.disabled, expire_time=key.expire_time), now))


def _decide(subscription: Subscription, consent: Consent, now: Instant) -> Decision:
    standing = Standing(PartnerId(""), CustomerId(""), connected=True, subscription=subscription, consent=consent)
    return valid(standing, now)


def _state(decision: Decision) -> State:
    return State.ACTIVE if isinstance(decision, Allow) else _STATE_OF[decision.reason]
