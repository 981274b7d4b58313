"""Who gets in. The same steps for every method, the method's own row of `policies` last. Who does not is noted."""

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from consentry_authority.admission.authentication import Authenticator
from consentry_authority.admission.current import CurrentFacts, UntilTouched
from consentry_authority.admission.last_uses import LastUses
from consentry_authority.admission.signed_in import LONGEST_TOKEN, SignedIn, is_signed
from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.audit.writing import AuditLog
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.live import require_usable
from consentry_authority.commands.ports import Origin
from consentry_core.callers.identity import Identity
from consentry_core.callers.policy import Caller, Policies, caller_kind, require_allowed
from consentry_core.rpc.bearer import bearer_secret, invalid
from consentry_core.rpc.certificates import NO_CERTIFICATES, RequiredCertificates
from consentry_core.rpc.server.open_call import Later, OpenCall, current_call
from consentry_core.rpc.server.peers import Peers
from consentry_core.values import names
from consentry_core.values.clock import Clock
from consentry_core.values.errors import ConsentryError, Unauthenticated, Unavailable
from consentry_core.values.text import cleaned
from consentry_rule import Key, Secret, Token

_REVOKE_SECRET = "/consentry.authority.v1.KeyService/RevokeSecret"  # noqa: S105 - the name of a method

_REQUEST_ID = "x-request-id"
_LONGEST_REQUEST_ID = 200


@dataclass(frozen=True, slots=True)
class _Known:
    """Whose secret it is that was proved, and what stands behind it now. `secret` is None for a dead one."""

    actor: Actor
    credential: Key | Token
    secret: Secret | None
    methods: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Transport:
    """What is known of a caller from its connection: its address, and the certificate that it came with."""

    peers: Peers
    certificates: RequiredCertificates = NO_CERTIFICATES


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """Who is told what the gate has decided."""

    audit_log: AuditLog
    last_uses: LastUses


class AuthorityGate:
    """Lets callers of the authority in, as an `Actor` each, and has noted who was refused."""

    def __init__(
        self,
        *,
        policies: Policies,
        clock: Clock,
        current: CurrentFacts,
        authenticator: Authenticator,
        signed_in: SignedIn | None,
        transport: Transport,
        reporting: Reporting,
    ) -> None:
        self._certificates = transport.certificates
        self._signed_in = signed_in
        self._authenticator = authenticator
        self._current = current
        self._known: UntilTouched[str, _Known] = current.until_touched()  # by secret
        self._policies = policies
        self._methods = {kind: frozenset(method for method in policies if kind in policies[method]) for kind in Caller}
        self._audit_log = reporting.audit_log
        self._last_uses = reporting.last_uses
        self._peers = transport.peers
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
        for key, value in call.metadata:
            if key == _REQUEST_ID:
                call.request_id = cleaned(str(value)[:_LONGEST_REQUEST_ID])  # no reason to refuse: a proxy may have made it
                break
        call.on_request = partial(_remember_request_id, call)
        call.peer_of = self._peers.described
        self._certificates.require(call)
        secret = bearer_secret(call.metadata, longest=LONGEST_TOKEN)
        if self._signed_in is not None and is_signed(secret):
            return self._admit_signed_in(call, self._signed_in, secret)
        identity = self._authenticator.recall(secret)
        known = None if identity is None else self._known.get(identity.secret_id)
        if known is None:
            return self._admit_once_known(call, secret)
        self._admit_known(call, known)
        return None

    async def _admit_signed_in(self, call: OpenCall, signed_in: SignedIn, token: str) -> None:
        call.caller = identified = await signed_in.identify(token)
        require_allowed(self._policies, call.method, identified.kind)

    async def _admit_once_known(self, call: OpenCall, secret: str) -> None:
        identity = await self._authenticator.identify(secret)
        look_up = partial(self._look_up, identity)
        self._admit_known(call, await self._known.find(identity.secret_id, look_up, subject=identity.credential))

    async def _look_up(self, identity: Identity) -> _Known:
        """Who has proved to be this."""
        facts = await self._current.credential(identity.credential)
        if facts is None:
            raise invalid("the credential is deleted")
        secret = next((secret for secret in facts.secrets if secret.id == identity.secret_id), None)
        organization = names.PARTNER.format(facts.partner) if isinstance(facts, Key) else facts.organization
        actor = Actor(identity.credential, caller_kind(facts), organization, identity.secret_id)
        return _Known(actor, facts, secret, self._methods[actor.kind])

    def _admit_known(self, call: OpenCall, known: _Known) -> None:
        """Steps 3 to 5."""
        actor, now = known.actor, self._clock.now()
        if isinstance(known.credential, Key):
            actor = replace(actor, address=self._peers.address(call.context))
        call.known_as = actor.credential
        call.caller = actor  # known to the audit log from here on, let in or not
        if known.secret is None:
            raise invalid(f"secret {actor.secret_id} is dead")
        if call.method != _REVOKE_SECRET:
            require_usable(known.credential, known.secret, actor.address, now)
        self._last_uses.used(actor.secret_id, now)
        if call.method not in known.methods:
            require_allowed(self._policies, call.method, actor.kind)

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Note a refusal for the audit log. That the authority cannot answer just now is none."""
        if isinstance(error, Unavailable):
            return
        actor = cast("Actor | None", call.caller)
        kind, source, detail = EntryKind.REFUSAL, "", error.message
        if isinstance(error, Unauthenticated):
            kind, source, detail = EntryKind.FAILURE, error.source, error.detail
        source = source or (host_of(peer_of(call)) if actor is None else actor.credential)
        if self._audit_log.takes(kind, source, error.reason):
            self._audit_log.note(
                Entry(
                    time=self._clock.now(),
                    kind=kind,
                    outcome=error.reason,
                    actor="" if actor is None else actor.credential,
                    organization="" if actor is None else actor.organization,
                    method=call.method,
                    peer=peer_of(call),
                    request_id=call.request_id,
                    document=json.dumps({"detail": detail}) if detail else "",
                )
            )

    def release(self, call: OpenCall) -> None:
        """A call is over: nothing is held for it here."""


def _remember_request_id(call: OpenCall, request: Any) -> None:
    """A request's own `request_id` says more than the one in its metadata."""
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        call.request_id = cleaned(request.request_id[:_LONGEST_REQUEST_ID]) or call.request_id


def calling() -> Actor:
    """Who calls the method that is being answered."""
    return cast("Actor", current_call.get().caller)


def origin() -> Origin:
    """Who calls which method, for the history and the audit log."""
    call, actor = current_call.get(), calling()
    return Origin(actor.credential, call.method, actor.organization, peer_of(call), call.request_id)


def peer_of(call: OpenCall) -> str:
    """Where a call comes from: `ipv4:192.0.2.1:50000`, and whom a trusted proxy names before it."""
    return call.peer_of(call.context)


def host_of(peer: str) -> str:
    """A described peer without its port: what many connections of one client have in common."""
    return peer.rpartition(":")[0]
