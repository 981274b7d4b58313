"""Whether a credential, and the secret of it that somebody came with, still let their holder in."""

from consentry_core.rpc.bearer import invalid
from consentry_core.values.errors import denied
from consentry_rule import Address, Deny, Instant, Key, Secret, Token, reachable, usable


def usable_credential(
    facts: Key | Token | None, secret_id: str, address: Address | None, now: Instant
) -> tuple[Key | Token, Secret]:
    """Both, as they are now; Unauthenticated or PermissionDenied unless both are usable, and from that address."""
    credential, secret = live_credential(facts, secret_id)
    require_usable(credential, secret, address, now)
    return credential, secret


def require_usable(credential: Key | Token, secret: Secret, address: Address | None, now: Instant) -> None:
    """Unauthenticated or PermissionDenied unless both are usable now, and from that address."""
    for decision in (usable(credential, now), usable(secret, now)):
        if isinstance(decision, Deny):
            raise denied(decision)
    if isinstance(credential, Key):
        decision = reachable(credential, address)
        if isinstance(decision, Deny):
            raise denied(decision)


def live_credential(facts: Key | Token | None, secret_id: str) -> tuple[Key | Token, Secret]:
    """Both, usable or not; Unauthenticated when either is gone for good."""
    if facts is not None:
        for secret in facts.secrets:
            if secret.id == secret_id:
                return facts, secret
    raise invalid("the credential is deleted" if facts is None else f"secret {secret_id} is dead")
