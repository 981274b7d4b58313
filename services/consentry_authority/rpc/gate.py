"""Who gets in. The same steps for every method, the method's own row of `policies` last."""

from typing import cast

from consentry_authority.authentication import Authenticator
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.ports import View
from consentry_authority.storage.store import Origin, Store
from consentry_core import names
from consentry_core.errors import denied
from consentry_core.identity import Identity
from consentry_core.rpc.bearer import bearer_secret, invalid
from consentry_core.rpc.gate import OpenCall, current_call
from consentry_core.rpc.policy import Policies, caller_kind, require_allowed
from consentry_rule import Deny, Instant, Key, Token, usable


class AuthorityGate:
    """See `consentry_core.rpc.gate.Gate`."""

    def __init__(self, authenticator: Authenticator, store: Store, policies: Policies) -> None:
        self._authenticator = authenticator
        self._store = store
        self._policies = policies

    async def admit(self, call: OpenCall) -> None:
        """Let the call in, as an `Actor` in `call.caller`.

        1. Exactly one credential in the metadata.
        2. Whose it is: `Authenticator.identify`.
        3. The credential's current facts: still there, and this secret still among its live ones.
        4. Both usable now: not disabled, not past their end.
        5. The method is for callers of this kind.
        """
        metadata = call.context.invocation_metadata() or ()
        identity = await self._authenticator.identify(bearer_secret(metadata))
        facts, now = await self._store.read(lambda view: _current(view, identity))
        check_live(facts, identity.secret_id, now)
        kind = caller_kind(facts)
        require_allowed(self._policies, call.method, kind)
        call.caller = Actor(identity.credential, kind, _organization(facts))

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""


def _current(view: View, identity: Identity) -> tuple[Key | Token, Instant]:
    facts = view.facts.credential(identity.credential)
    if facts is None:
        raise invalid()
    return facts, view.now


def check_live(facts: Key | Token, secret_id: str, now: Instant) -> None:
    """Raise unless the credential, and this secret of it, let their holder in now."""
    secret = next((secret for secret in facts.secrets if secret.id == secret_id), None)
    if secret is None:
        raise invalid()
    for decision in (usable(facts, now), usable(secret, now)):
        if isinstance(decision, Deny):
            raise denied(decision)


def _organization(facts: Key | Token) -> str:
    return names.PARTNER.format(facts.partner) if isinstance(facts, Key) else facts.organization


def calling() -> Actor:
    """Who calls the method that is being answered."""
    return cast("Actor", current_call.get().caller)


def origin() -> Origin:
    """Who calls which method, for the history."""
    call = current_call.get()
    return Origin(calling().credential, call.method, calling().organization)
