"""Which changes take access away: those that turn some `allowed` false, now or at a later moment.

    narrowing =  exists key, data class, data time, moment >= now:  allowed before the change, and not allowed after it

Written field by field, because a change is looked at in the transaction that makes it; a test derives from the rule itself that
no field is forgotten. Where it cannot tell, it says yes: a barrier too many costs milliseconds.
"""

from ipaddress import IPv4Network, IPv6Network

from consentry_rule.facts import (
    Consent,
    Instant,
    Key,
    Network,
    Secret,
    Standing,
    Subscription,
    Token,
    TokenRole,
)
from consentry_rule.rule import Deny, usable, valid


def narrows_standing(before: Standing, after: Standing, now: Instant) -> bool:
    """Whether a change of a standing takes access away from some key of the partner."""
    if before.demo or isinstance(valid(before, now), Deny):
        return False  # there was nothing to take; the demo customer's is not the standing's to give
    if isinstance(valid(after, now), Deny):
        return True
    assert before.consent is not None  # noqa: S101 - it was valid
    assert after.consent is not None  # noqa: S101 - it is valid
    return _narrows_consent(before.consent, after.consent) or _sooner(_end(before), _end(after))


def narrows_credential(before: Key | Token | None, after: Key | Token | None, now: Instant) -> bool:
    """Whether a change of a key or token takes access away from a holder of one of its secrets."""
    if before is None or isinstance(usable(before, now), Deny):
        return False
    if after is None or isinstance(usable(after, now), Deny) or _sooner(before.expire_time, after.expire_time):
        return True
    if isinstance(before, Key) and isinstance(after, Key):
        other = _narrows_key(before, after)
    elif isinstance(before, Token) and isinstance(after, Token):
        other = _as_whom(before) != _as_whom(after)
    else:
        other = True
    return other or _narrows_secrets(before.secrets, after.secrets, now)


def _as_whom(token: Token) -> tuple[TokenRole, str, str, frozenset[str]]:
    """What a token is for: fixed when it is issued."""
    return token.role, token.organization, token.audience, token.partners


def _narrows_consent(before: Consent, after: Consent) -> bool:
    return not before.data_classes <= after.data_classes or after.data_start_time > before.data_start_time


def _narrows_key(before: Key, after: Key) -> bool:
    if (before.kind, before.partner) != (after.kind, after.partner):
        return True
    if after.networks != before.networks and not _within(before.networks, after.networks):
        return True
    if after.audiences and (not before.audiences or not before.audiences <= after.audiences):
        return True
    return not before.customers <= after.customers or (after.rehearsing and not before.rehearsing)


def _within(before: tuple[Network, ...], after: tuple[Network, ...]) -> bool:
    """Whether a key can be used from everywhere that it could. Networks that hold another only together do not count."""
    if not before or not after:
        return not after
    return all(any(_subnet(inner, outer) for outer in after) for inner in before)


def _subnet(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _narrows_secrets(before: tuple[Secret, ...], after: tuple[Secret, ...], now: Instant) -> bool:
    kept = {secret.id: secret for secret in after}
    for secret in before:
        if isinstance(usable(secret, now), Deny):
            continue
        if secret.id not in kept or _sooner(secret.expire_time, kept[secret.id].expire_time):
            return True
    return False


def _end(standing: Standing) -> Instant | None:
    """When a valid standing ends by itself."""
    holders: tuple[Subscription | Consent | None, ...] = (standing.subscription, standing.consent)
    return min((holder.expire_time for holder in holders if holder and holder.expire_time is not None), default=None)


def _sooner(before: Instant | None, after: Instant | None) -> bool:
    """Whether an end moved closer."""
    return after is not None and (before is None or after < before)
