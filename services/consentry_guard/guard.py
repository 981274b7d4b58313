"""The guard as a gate: authenticates calls, decides by followed facts, keeps the open calls, and ends those that lose access.

How a call comes in (`Guard.admit`):

1. See that the method's client certificate is there, if it takes one, and take the secret from the metadata.
2. Recall whose it is, if that can be proved to the authority; else ask it (`VerifyCredential`), once for all calls that wait
   for the same secret.
3. Follow the credential, if nobody does yet, and wait until its facts are known and as new as the verification.
4. Check lease, credential, secret, where it comes from (`Call.check`), whether this kind of caller may call this method, and
   what is left of the key's quota.

From then on every message to the client passes `Call.check` in the step in which it is handed to the transport.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from consentry_core.callers.identity import Identity, IdentityMemory
from consentry_core.callers.policy import Policies, caller_kind, require_allowed
from consentry_core.pacing.backoff import return_after
from consentry_core.pacing.waking import Waking
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import require_private
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedKey
from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.rpc.bearer import bearer_secret
from consentry_core.rpc.certificates import NO_CERTIFICATES, RequiredCertificates
from consentry_core.rpc.server.open_call import Later, OpenCall, current_call
from consentry_core.rpc.server.peers import Peers
from consentry_core.rpc.server.quotas import QuotaMeter
from consentry_core.values.clock import SECOND, BootTime, Clock, SystemClock
from consentry_core.values.encoding import RandomBytes, base32
from consentry_core.values.errors import ConsentryError, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable
from consentry_guard.calls.access import Access, GuardedCall
from consentry_guard.calls.call import Call, lease_lost
from consentry_guard.calls.changes import touched_customers
from consentry_guard.calls.open_calls import OpenCalls
from consentry_guard.follow.deadlines import Deadlines
from consentry_guard.follow.follower import Applied, Follower
from consentry_guard.follow.interests import Interests
from consentry_guard.follow.verifying import Verifications
from consentry_guard.reports.refusals import Refusals
from consentry_guard.reports.reporting import Reporting
from consentry_guard.reports.tally import Tally
from consentry_guard.reports.uses import SecretUses
from consentry_guard.rpc.authority import Authority
from consentry_rule import CustomerId, Instant, Key, Network, PartnerId, Token, next_end

_log = logging.getLogger(__name__)
_IDLE_NAMES = 10_000  # that no call uses, and that are followed all the same: some megabytes
_DUE_AT_ONCE = 500  # ends that have come: some milliseconds
_PATIENCE = 5.0  # seconds that a new call waits for facts before it is told to come back

_OF_RIGHTS = (Unauthenticated, PermissionDenied, ResourceExhausted)  # the refusals that the audit log is told of
_REQUEST_ID = "x-request-id"

Scopes = Mapping[str, Callable[[Any], Iterable[Access]]]
"""By full method name: what a request asks for, as (customer, data class), so that a method need not ask by itself."""

_NO_SCOPES: Scopes = MappingProxyType({})

_Subject = str | tuple[PartnerId, CustomerId]


def guarded_call() -> GuardedCall:
    """The call that a servicer's method is answering, behind a guard."""
    caller = current_call.get().caller
    assert caller is not None, "this method is not behind a guard"  # noqa: S101 - a mistake in the server's wiring
    return caller  # type: ignore[return-value]


class Guard:
    """A gate that asks the authority at `target`, with the service's own `token`, who may do what.

    `scopes` says what a method's request asks for: it is required before the method runs, and checked again at every write.
    Methods that are not in it ask through `guarded_call()`.

    `policies` says which kind of caller may call which method; a method that is not in it is refused. `on_serving` is told when
    calls begin and cease to be served, for health checks. `trusted_proxies` are those whose `x-forwarded-for` counts.

    `streams_per_key` is how many streams a key may have open whose quota says nothing of them; 0: any number.

    `tls` is how to connect to the authority; without it, in plaintext: refused beyond the loopback interface (SettingError),
    unless `plaintext` allows it. `certificates` says which methods need whose client certificate.

    `accesses` is a folder for what each key read and what callers were refused, until it has been reported to the authority:
    customers see the one there, the other stands in the audit log. None: nothing is counted nor noted, and all the time that
    this guard serves shows as not reported.
    """

    def __init__(
        self,
        *,
        target: str,
        token: str,
        service: str,
        policies: Policies,
        scopes: Scopes = _NO_SCOPES,
        clock: Clock | None = None,
        random: RandomBytes = secrets.token_bytes,
        on_serving: Callable[[bool], None] = lambda _: None,
        accesses: Path | None = None,
        trusted_proxies: Iterable[Network] = (),
        tls: ClientTls | None = None,
        plaintext: bool = False,
        certificates: RequiredCertificates = NO_CERTIFICATES,
        streams_per_key: int = 1_000,
    ) -> None:
        if tls is None:
            require_private(target, plaintext=plaintext, instead="TLS to the authority (tls=...)")
        self._certificates = certificates
        self._peers = Peers(trusted_proxies)
        self._quotas = QuotaMeter(streams_per_key=streams_per_key)
        self._clock = clock or SystemClock()
        self._policies = policies
        self._scopes = scopes
        self._memory = IdentityMemory(random)
        incarnation = base32(random(15))
        self._follower = Follower(incarnation, service)
        self._authority = Authority(
            target,
            token,
            self._follower,
            self._clock,
            applied=self._applied,
            renewing=self._renewing,
            disowned=self._disowned,
            tls=tls,
        )
        self._verifications = Verifications(self._authority.verify)
        self._tally = self._reporting = self._refusals = None
        if accesses is not None:
            self._tally, self._refusals = Tally(), Refusals()
            self._reporting = Reporting(
                self._tally,
                self._refusals,
                accesses,
                incarnation,
                service,
                now=self._now,
                send=self._authority.report,
            )
        self._waiting: dict[str, asyncio.Future[None]] = {}  # one for all calls that wait for a name
        self._calls = OpenCalls()
        self._uses = SecretUses()
        self._interests = Interests(idle=_IDLE_NAMES)
        self._deadlines: Deadlines[_Subject] = Deadlines()
        self._timer: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()
        self._waking = Waking()
        self._on_serving = on_serving
        self._serving = False

    # Life

    async def start(self) -> None:
        """Connect in the background. Calls are refused with UNAVAILABLE until there is a lease."""
        self._authority.start()
        if self._reporting is not None:
            self._reporting.start()

    async def stop(self) -> None:
        """Report what is left, and let go of the authority. To be called when nothing is served any more."""
        if self._reporting is not None:
            await self._reporting.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._verifications.stop()
        self._tell_uses(self._clock.boot())
        await self._authority.stop()

    # Gate

    def admit(self, call: OpenCall) -> Later:
        """See `Gate.admit`, and the numbered steps above."""
        self._certificates.require(call)
        secret = bearer_secret(call.metadata)
        identity = self._memory.recall(secret)
        if identity is None or not self._follower.is_verified(identity.credential):
            return self._admit_once_verified(call, secret)
        guarded = self._taken_in(call, identity)
        waiting = self._know(guarded, (identity.credential,))
        if waiting is not None:
            return self._admit_once_known(guarded, waiting)
        self._admit_known(guarded)
        return None

    async def _admit_once_verified(self, call: OpenCall, secret: str) -> None:
        verified = await self._verifications.ask(secret, self._peers.described(call.context))
        identity = verified.identity
        self._follower.verified(identity.credential, verified.proof)
        guarded = self._taken_in(call, identity)
        waiting = self._know(guarded, (identity.credential,))
        if waiting is not None:
            await waiting
        await self._catch_up(verified.revision)
        self._memory.remember(secret, identity)
        self._admit_known(guarded)

    async def _admit_once_known(self, guarded: Call, waiting: Awaitable[None]) -> None:
        await waiting
        self._admit_known(guarded)

    def _taken_in(self, call: OpenCall, identity: Identity) -> Call:
        """The call with whose it is; to be let go of when it is released."""
        follower, clock = self._follower, self._clock
        guarded = Call(
            call,
            identity,
            follower,
            self._know,
            clock,
            waking=self._waking,
            tally=self._tally,
            peers=self._peers,
            next_end=self._deadlines.next,
        )
        self._calls.add(guarded)
        return guarded

    def _admit_known(self, guarded: Call) -> None:
        """Step 4."""
        call, identity = guarded.open_call, guarded.identity
        call.known_as = identity.credential
        # Registered first, then checked: a change between the two finds it.
        self._calls.register(guarded)
        facts, now = guarded.check_credential()  # nothing is in its scope yet
        self._uses.used(identity.secret_id, now)
        require_allowed(self._policies, call.method, caller_kind(facts))
        if isinstance(facts, Key):
            left = self._quotas.admit(identity.credential, facts.quota, call, self._clock.boot())
            if left:
                call.context.set_trailing_metadata(left)
        call.caller, call.check_write = guarded, guarded.begin_write
        scope = self._scopes.get(call.method)
        if scope is not None:
            call.on_request = partial(_require, guarded, scope)

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """See `Gate.refused`. What the caller may not do is told to the authority, with who it is; not what nobody could do."""
        if isinstance(error, Unavailable) and self._follower.has_parted(self._clock.boot(), self._clock.wall()):
            self._authority.hurry()
        guarded = self._calls.get(call)
        if guarded is None or self._refusals is None or not isinstance(error, _OF_RIGHTS):
            return
        caller, now = guarded.identity.credential, self._now()
        if self._refusals.takes(caller, error.reason, now):
            peer, request_id = self._peers.described(call.context), _request_id(call)
            self._refusals.note(RefusedCall(now, caller, call.method, error.reason, peer, request_id))

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""
        self._quotas.release(call)
        guarded = self._calls.remove(call)
        if guarded is not None:
            forgotten = self._interests.put_down(guarded.held)
            if forgotten:
                self._authority.send(self._follower.forget(forgotten))

    def _know(self, call: Call, wanted: Sequence[str]) -> Later:
        """Follow these names while the call lasts; what waits until the facts are known, if they are not."""
        self._interests.take_up(wanted)
        call.held.extend(wanted)
        unknown = [name for name in wanted if not self._follower.knows(name)]
        return self._until_known(unknown) if unknown else None

    async def _until_known(self, unknown: Sequence[str]) -> None:
        """Ask for these names' facts, and wait for them. Unavailable when they do not come."""
        loop = asyncio.get_running_loop()
        futures = [self._waiting.setdefault(name, loop.create_future()) for name in unknown]
        self._authority.send(self._follower.want(unknown))
        _, late = await asyncio.wait(futures, timeout=_PATIENCE)
        if late:
            raise lease_lost()

    async def _catch_up(self, revision: Revision) -> None:
        """Wait until everything up to a revision has been applied."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not self._follower.has_applied(revision):
                    await self._progress.wait()
        except TimeoutError:
            raise lease_lost() from None

    # News

    def _applied(self, applied: Applied) -> None:
        """Something was applied: wake whoever waits for it, end what is over, tell what has changed. One step."""
        self._progress.set()
        self._progress = asyncio.Event()
        for name in applied.answered:
            future = self._waiting.pop(name, None)
            if future is not None:
                future.set_result(None)
        for name, former in applied.credentials:
            self._credential_changed(name, former, applied.relisted.get(name))
        self._standings_changed(applied.standings)
        self._look_at_the_lease()

    def _credential_changed(
        self, name: str, former: MarkedKey | Token | None, relisted: frozenset[CustomerId] | None = None
    ) -> None:
        facts, now = self._follower.credential(name), self._now()
        if facts is not None:
            self._deadlines.add(next_end(facts, None, None, now), name)
            for secret in facts.secrets:
                self._deadlines.add(next_end(None, secret, None, now), name)
        touched = touched_customers(former, facts, relisted)
        for call in self._calls.of_credential(name):
            if self._end_if_denied(call):
                continue
            for changes in call.changes:
                changes.add_all(touched)

    def _standings_changed(self, changed: Iterable[tuple[PartnerId, CustomerId]]) -> None:
        now = self._now()
        customers: dict[PartnerId, set[CustomerId]] = {}
        for partner, customer in changed:
            standing = self._follower.standing(partner, customer)
            if standing is not None:
                self._deadlines.add(next_end(None, None, standing, now), (partner, customer))
            customers.setdefault(partner, set()).add(customer)
        for partner, touched in customers.items():
            for call in self._calls.of_partner(partner):
                # A call that watches its coverage narrows by itself; any other ends when what it hands out is denied.
                for changes in call.changes:
                    changes.add_all(touched)
                if not call.changes:
                    self._end_if_denied(call)

    def _end_if_denied(self, call: Call) -> bool:
        try:
            call.check() if not call.changes else call.check_credential()
        except ConsentryError as denial:
            # It writes nothing more from here on. A key may have a thousand streams: they are told a slice at a time.
            call.open_call.end(denial, self._waking)
            return True
        return False

    def _disowned(self) -> None:
        """The authority takes nothing for verified any more: all calls come back, and are verified anew."""
        self._end_all()  # first: what they are told is this, and not that their credential is unknown
        self._follower.disowned()

    def _renewing(self, now: BootTime) -> None:
        """The lease is being renewed, as it is every second or two."""
        if self._uses.due(now):
            self._tell_uses(now)

    def _tell_uses(self, now: BootTime) -> None:
        in_use = (call.identity.secret_id for call in self._calls)
        self._authority.send(self._uses.tell(in_use, self._follower.authority_now(now), now))

    # Time

    def _look_at_the_lease(self) -> None:
        """Tell whether there is a lease, and when to look again."""
        now = self._clock.boot()
        if self._follower.may_serve(now, self._clock.wall()):
            self._tell_serving(True)
        self._set_timer(now)

    def _tell_serving(self, serving: bool) -> None:
        if serving != self._serving:
            self._serving = serving
            self._on_serving(serving)

    def _set_timer(self, now: BootTime) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waits = []
        lease_ends, deadline = self._follower.lease_ends(), self._deadlines.next()
        if lease_ends is not None and lease_ends > now:
            waits.append(lease_ends - now)
            if deadline is not None:  # without a lease nobody is served whom an end could concern
                waits.append(max(deadline - self._follower.authority_now(now), 0))
        if waits:
            self._timer = asyncio.get_running_loop().call_later(min(waits) / SECOND, self._tick)

    def _tick(self) -> None:
        now, wall = self._clock.boot(), self._clock.wall()
        if not self._follower.may_serve(now, wall):
            self._tell_serving(False)
            if self._calls:
                _log.warning("lease lost: ending %d calls", len(self._calls))
            self._end_all()
        # What is left is due at once, in another step. Nothing waits for it but news: each write looks for itself.
        due = tuple(islice(self._deadlines.due(self._follower.authority_now(now)), _DUE_AT_ONCE))
        for subject in due:
            if isinstance(subject, str):
                self._credential_changed(subject, self._follower.credential(subject))
        self._standings_changed(subject for subject in due if not isinstance(subject, str))
        self._set_timer(now)

    def _end_all(self) -> None:
        for call in self._calls:
            call.open_call.end(lease_lost(return_after(len(self._calls))), self._waking)

    def _now(self) -> Instant:
        return self._follower.authority_now(self._clock.boot())


def _request_id(call: OpenCall) -> str:
    return next((str(value) for key, value in call.metadata if key == _REQUEST_ID), "")


def _require(call: Call, scope: Callable[[Any], Iterable[Access]], request: Any) -> Later:
    accesses = tuple(scope(request))
    waiting = call.know(customer for customer, _ in accesses)
    if waiting is not None:
        return _require_once_known(call, accesses, waiting)
    for customer, data_class in accesses:
        call.require(customer, data_class)
    return None


async def _require_once_known(call: Call, accesses: Iterable[Access], waiting: Awaitable[None]) -> None:
    await waiting
    for customer, data_class in accesses:
        call.require(customer, data_class)
