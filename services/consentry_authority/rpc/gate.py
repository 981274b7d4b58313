"""Who gets in. The same steps for every method, the method's own row of `policies` last."""

from typing import cast

from consentry_authority.authentication import Authenticator
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.live import live_credential, usable_credential
from consentry_authority.current import CurrentFacts
from consentry_authority.last_uses import LastUses
from consentry_authority.storage.store import Origin
from consentry_core import names
from consentry_core.clock import Clock
from consentry_core.rpc.bearer import bearer_secret
from consentry_core.rpc.gate import OpenCall, current_call
from consentry_core.rpc.peers import Peers
from consentry_core.rpc.policy import Policies, caller_kind, require_allowed
from consentry_rule import Key, Token

_REVOKE_SECRET = "/consentry.authority.v1.KeyService/RevokeSecret"  # noqa: S105 - the name of a method


class AuthorityGate:
    """See `consentry_core.rpc.gate.Gate`."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        current: CurrentFacts,
        policies: Policies,
        last_uses: LastUses,
        peers: Peers,
        clock: Clock,
    ) -> None:
        self._authenticator = authenticator
        self._current = current
        self._policies = policies
        self._last_uses = last_uses
        self._peers = peers
        self._clock = clock

    async def admit(self, call: OpenCall) -> None:
        """Let the call in, as an `Actor` in `call.caller`.

        1. Exactly one credential in the metadata.
        2. Whose it is: `Authenticator.identify`.
        3. The credential's current facts: still there, and this secret still among its live ones.
        4. Both usable now and from there: not disabled, not past their end, from a network that the key allows. One that is not
           can still be killed by who holds it.
        5. The method is for callers of this kind.
        """
        metadata = call.context.invocation_metadata() or ()
        identity = await self._authenticator.identify(bearer_secret(metadata))
        facts, now = await self._current.credential(identity.credential), self._clock.now()
        address = self._peers.address(call.context) if isinstance(facts, Key) else None
        if call.method == _REVOKE_SECRET:
            facts, _ = live_credential(facts, identity.secret_id)
        else:
            facts, _ = usable_credential(facts, identity.secret_id, address, now)
        self._last_uses.used(identity.secret_id, now)
        kind = caller_kind(facts)
        require_allowed(self._policies, call.method, kind)
        call.caller = Actor(identity.credential, kind, _organization(facts), identity.secret_id, address)

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""


def _organization(facts: Key | Token) -> str:
    return names.PARTNER.format(facts.partner) if isinstance(facts, Key) else facts.organization


def calling() -> Actor:
    """Who calls the method that is being answered."""
    return cast("Actor", current_call.get().caller)


def origin() -> Origin:
    """Who calls which method, for the history."""
    call = current_call.get()
    return Origin(calling().credential, call.method, calling().organization)
