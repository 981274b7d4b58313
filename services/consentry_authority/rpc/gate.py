"""Who gets in. The same steps for every method, the method's own row of `policies` last. Who does not is noted."""

from functools import partial
from typing import Any, cast

from consentry_authority.audit.chain import EntryKind
from consentry_authority.auditing import Auditing, Refused
from consentry_authority.authentication import Authenticator
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.live import live_credential, usable_credential
from consentry_authority.current import CurrentFacts
from consentry_authority.last_uses import LastUses
from consentry_authority.signed_in import LONGEST_TOKEN, SignedIn, is_signed
from consentry_authority.storage.store import Origin
from consentry_core import names
from consentry_core.clock import Clock
from consentry_core.errors import ConsentryError, Unauthenticated, Unavailable
from consentry_core.identity import Identity
from consentry_core.rpc.bearer import bearer_secret
from consentry_core.rpc.certificates import NO_CERTIFICATES, RequiredCertificates
from consentry_core.rpc.gate import Later, OpenCall, current_call
from consentry_core.rpc.peers import Peers
from consentry_core.rpc.policy import Policies, caller_kind, require_allowed
from consentry_rule import Key, Token

_REVOKE_SECRET = "/consentry.authority.v1.KeyService/RevokeSecret"  # noqa: S105 - the name of a method

_REQUEST_ID = "x-request-id"


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
        auditing: Auditing,
        signed_in: SignedIn | None,
        certificates: RequiredCertificates = NO_CERTIFICATES,
    ) -> None:
        self._certificates = certificates
        self._signed_in = signed_in
        self._authenticator = authenticator
        self._current = current
        self._policies = policies
        self._auditing = auditing
        self._last_uses = last_uses
        self._peers = peers
        self._clock = clock

    def admit(self, call: OpenCall) -> Later:
        """Let the call in, as an `Actor` in `call.caller`.

        1. The client certificate that the method takes, if it takes one.
        2. Exactly one credential in the metadata, and whose it is: `Authenticator.identify`. One that an identity provider has
           signed is verified by `SignedIn`, in place of this and of 3 and 4.
        3. The credential's current facts: still there, and this secret still among its live ones.
        4. Both usable now and from there: not disabled, not past their end, from a network that the key allows. One that is not
           can still be killed by who holds it.
        5. The method is for callers of this kind.
        """
        metadata = call.context.invocation_metadata() or ()
        for key, value in metadata:
            if key == _REQUEST_ID:
                call.request_id = str(value)
                break
        call.on_request = partial(_remember_request_id, call)
        call.peer_of = self._peers.described
        self._certificates.require(call)
        secret = bearer_secret(metadata, longest=LONGEST_TOKEN)
        if self._signed_in is not None and is_signed(secret):
            return self._admit_signed_in(call, self._signed_in, secret)
        identity = self._authenticator.recall(secret)
        facts = None if identity is None else self._current.remembered(identity.credential)
        if identity is None or facts is None:
            return self._admit_once_known(call, secret)
        self._admit_identified(call, identity, facts)
        return None

    async def _admit_signed_in(self, call: OpenCall, signed_in: SignedIn, token: str) -> None:
        call.caller = identified = await signed_in.identify(token)
        require_allowed(self._policies, call.method, identified.kind)

    async def _admit_once_known(self, call: OpenCall, secret: str) -> None:
        identity = await self._authenticator.identify(secret)
        self._admit_identified(call, identity, await self._current.credential(identity.credential))

    def _admit_identified(self, call: OpenCall, identity: Identity, facts: Key | Token | None) -> None:
        """Steps 3 to 5."""
        now = self._clock.now()
        address = self._peers.address(call.context) if isinstance(facts, Key) else None
        if facts is not None:  # known to the audit log from here on, let in or not
            call.caller = Actor(identity.credential, caller_kind(facts), _organization(facts), identity.secret_id, address)
        if call.method == _REVOKE_SECRET:
            facts, _ = live_credential(facts, identity.secret_id)
        else:
            facts, _ = usable_credential(facts, identity.secret_id, address, now)
        self._last_uses.used(identity.secret_id, now)
        require_allowed(self._policies, call.method, caller_kind(facts))

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """See `Gate.refused`. That the authority cannot answer just now is no refusal."""
        if isinstance(error, Unavailable):
            return
        actor, peer = cast("Actor | None", call.caller), peer_of(call)
        kind = EntryKind.FAILURE if isinstance(error, Unauthenticated) else EntryKind.REFUSAL
        if not self._auditing.takes(kind, peer.rpartition(":")[0] if actor is None else actor.credential, error.reason):
            return
        self._auditing.note(
            Refused(
                kind=kind,
                outcome=error.reason,
                actor="" if actor is None else actor.credential,
                organization="" if actor is None else actor.organization,
                method=call.method,
                peer=peer,
                request_id=call.request_id,
                detail=error.detail if isinstance(error, Unauthenticated) else error.message,
            )
        )

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""


def _remember_request_id(call: OpenCall, request: Any) -> None:
    """A request's own `request_id` says more than the one in its metadata."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        call.request_id = request.request_id or call.request_id


def _organization(facts: Key | Token) -> str:
    return names.PARTNER.format(facts.partner) if isinstance(facts, Key) else facts.organization


def calling() -> Actor:
    """Who calls the method that is being answered."""
    return cast("Actor", current_call.get().caller)


def origin() -> Origin:
    """Who calls which method, for the history and the audit log."""
    call, actor = current_call.get(), calling()
    return Origin(actor.credential, call.method, actor.organization, peer_of(call), call.request_id)


def peer_of(call: OpenCall) -> str:
    """See `Peers.described`: `ipv4:192.0.2.1:50000`, and whom a trusted proxy names before it."""
    return call.peer_of(call.context)
