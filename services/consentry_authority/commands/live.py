"""Whether a credential, and the secret of it that somebody came with, still let their holder in."""

from consentry_authority.commands.ports import View
from consentry_core.errors import denied
from consentry_core.identity import Identity
from consentry_core.rpc.bearer import invalid
from consentry_rule import Address, Deny, Key, Secret, Token, reachable, usable


def usable_credential(view: View, identity: Identity, address: Address | None) -> tuple[Key | Token, Secret]:
    """Both, as they are now; Unauthenticated or PermissionDenied unless both are usable, and from that address."""
    facts, secret = live_credential(view, identity)
    decisions = [usable(facts, view.now), usable(secret, view.now)]
    if isinstance(facts, Key):
        decisions.append(reachable(facts, address))
    for decision in decisions:
        if isinstance(decision, Deny):
            raise denied(decision)
    return facts, secret


def live_credential(view: View, identity: Identity) -> tuple[Key | Token, Secret]:
    """Both, usable or not; Unauthenticated when either is gone for good."""
    facts = view.facts.credential(identity.credential)
    secret = next((each for each in facts.secrets if each.id == identity.secret_id), None) if facts is not None else None
    if facts is None or secret is None:
        raise invalid()
    return facts, secret
