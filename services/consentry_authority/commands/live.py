"""Whether a credential, and the secret of it that somebody came with, still let their holder in."""

from consentry_authority.commands.ports import View
from consentry_core.errors import denied
from consentry_core.identity import Identity
from consentry_core.rpc.bearer import invalid
from consentry_rule import Deny, Instant, Key, Secret, Token, usable


def usable_credential(view: View, identity: Identity) -> tuple[Key | Token, Secret]:
    """Both, as they are now; Unauthenticated or PermissionDenied unless both are usable."""
    facts, secret = live_credential(view, identity)
    check_usable(facts, secret, view.now)
    return facts, secret


def live_credential(view: View, identity: Identity) -> tuple[Key | Token, Secret]:
    """Both, usable or not; Unauthenticated when either is gone for good."""
    facts = view.facts.credential(identity.credential)
    secret = next((each for each in facts.secrets if each.id == identity.secret_id), None) if facts is not None else None
    if facts is None or secret is None:
        raise invalid()
    return facts, secret


def check_usable(facts: Key | Token, secret: Secret, now: Instant) -> None:
    """Raise unless neither is disabled or past its end."""
    for decision in (usable(facts, now), usable(secret, now)):
        if isinstance(decision, Deny):
            raise denied(decision)
