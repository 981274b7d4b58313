"""A call behind the guard: who calls, what it may read now, and the check that every one of its writes passes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from consentry_core.callers.identity import Identity
from consentry_core.pacing.waking import Waking
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.bearer import invalid
from consentry_core.rpc.server.open_call import Later, OpenCall
from consentry_core.rpc.server.peers import Peers
from consentry_core.values import names
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import ConsentryError, PermissionDenied, Unavailable, denied
from consentry_core.values.reasons import ErrorReason
from consentry_guard.calls.access import Access, CoverageChanges, Handed
from consentry_guard.calls.changes import Changes
from consentry_guard.follow.follower import Follower
from consentry_guard.reports.tally import Tally
from consentry_rule import (
    Address,
    Allow,
    CustomerId,
    DataClass,
    Decision,
    Deny,
    Instant,
    KeyKind,
    PartnerId,
    Reason,
    Token,
    TokenRole,
    allowed,
    covered,
    opened_classes,
    reachable,
    usable,
)

_MAY_KNOW_FOR = 90 * 24 * 3600 * SECOND  # how long after a connection ended its partner is still told why
_DEMO = CustomerId(names.DEMO_CUSTOMER)

Follow = Callable[["Call", Sequence[str]], Later]


class Call:
    """See `GuardedCall`. Made by the guard once the credential's facts are known."""

    def __init__(
        self,
        open_call: OpenCall,
        identity: Identity,
        follower: Follower,
        follow: Follow,
        clock: Clock,
        *,
        waking: Waking | None = None,
        tally: Tally | None = None,
        peers: Peers | None = None,
        next_end: Callable[[], Instant | None] = lambda: None,
    ) -> None:
        self.open_call = open_call
        self.identity = identity
        self.changes: list[Changes] = []
        self.held: list[str] = []
        """The names that are followed for it, each as often as it was asked for."""
        self._follower = follower
        self._follow = follow
        self._clock = clock
        self._waking = waking
        self._tally = tally
        self._held: Mapping[Access, Handed] | None = None
        self._checked_at = Instant(0)
        self._peers = peers or Peers()
        self._next_end = next_end
        self._scope: frozenset[Access] = frozenset()
        self._all = False
        self._followed: frozenset[CustomerId] = frozenset()

    # Who calls

    @property
    def credential(self) -> MarkedKey | Token:
        """The credential's facts now; Unauthenticated when it is gone."""
        facts = self._follower.credential(self.identity.credential)
        if facts is None:
            raise invalid()
        return facts

    @property
    def key(self) -> MarkedKey:
        """The key's facts now; PermissionDenied when it is a token."""
        facts = self.credential
        if not isinstance(facts, MarkedKey):
            raise PermissionDenied("this method is called with an API key", reason=ErrorReason.CALLER_NOT_ALLOWED)
        return facts

    @cached_property
    def address(self) -> Address | None:
        """Where it comes from."""
        return self._peers.address(self.open_call.context)

    @property
    def partner(self) -> PartnerId:
        """See `GuardedCall.partner`."""
        return self.key.partner

    @property
    def kind(self) -> KeyKind:
        """See `GuardedCall.kind`."""
        return self.key.kind

    @property
    def customer(self) -> CustomerId:
        """See `GuardedCall.customer`."""
        facts = self.credential
        if not isinstance(facts, Token) or facts.role is not TokenRole.GATEWAY:
            raise PermissionDenied("this method is called with a gateway's token", reason=ErrorReason.CALLER_NOT_ALLOWED)
        return CustomerId(names.CUSTOMER.parse(facts.organization, "organization")[0])

    # What is followed

    def know(self, customers: Iterable[CustomerId]) -> Later:
        """`follow`, without waiting where nothing has to be waited for."""
        wanted = frozenset(customers)
        partner = self.partner
        waiting = self._follow(self, [names.CONSENT.format(customer, partner) for customer in wanted])
        self._followed |= wanted
        return waiting

    async def follow(self, customers: Iterable[CustomerId]) -> None:
        """See `GuardedCall.follow`."""
        waiting = self.know(customers)
        if waiting is not None:
            await waiting

    async def follow_all(self) -> CoverageChanges:
        """See `GuardedCall.follow_all`."""
        changes = Changes(None, self._waking)
        self.changes.append(changes)  # registered first, so that nothing is missed between the facts and the first change
        key = self.key
        if key.kind is KeyKind.DEMO:
            await self.follow((_DEMO,))
        else:
            waiting = self._follow(self, (names.PARTNER.format(key.partner),))
            if waiting is not None:
                await waiting
        self._all = True
        return changes

    async def watch(self, customers: Iterable[CustomerId]) -> CoverageChanges:
        """See `GuardedCall.watch`."""
        wanted = frozenset(customers)
        changes = Changes(wanted, self._waking)
        self.changes.append(changes)
        await self.follow(wanted)
        return changes

    # What it may read

    def covered(self) -> Mapping[CustomerId, frozenset[DataClass]]:
        """See `GuardedCall.covered`."""
        key, now = self.key, self._now()
        return {
            standing.customer: opened_classes(standing)
            for standing in self._standings(key)
            if isinstance(covered(key, standing, now), Allow)
        }

    def decide(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        """See `GuardedCall.decide`."""
        key = self.key
        return allowed(key, self._standing(key, customer), data_class, data_time, self._now())

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        """See `GuardedCall.denied`."""
        return {customer for customer, _ in self._denials(self.key, accesses, self._now())}

    def decide_covered(self, customer: CustomerId) -> Decision:
        """Whether the key covers the customer now, whatever the class."""
        key = self.key
        return covered(key, self._standing(key, customer), self._now())

    def opened_from(self, customer: CustomerId) -> Instant:
        """See `GuardedCall.opened_from`."""
        consent = self._standing(self.key, customer).consent
        return Instant(0) if consent is None else consent.data_start_time

    def standing(self, customer: CustomerId) -> MarkedStanding:
        """See `GuardedCall.standing`."""
        return self._standing(self.key, customer)

    def customers(self) -> Sequence[CustomerId]:
        """See `GuardedCall.customers`."""
        if not self._all or self.key.kind is KeyKind.DEMO:
            return list(self._followed)
        standings = self._follower.standings_of(self.key.partner)
        customers = list(standings)  # a hundred thousand in a millisecond
        if _DEMO in standings:
            customers.remove(_DEMO)  # it is known when another key of the partner reads it
        return customers

    def listed_number(self, customer: CustomerId) -> int:
        """See `GuardedCall.listed_number`."""
        return self.key.listed_numbers.get(customer, 0)

    def unlisted(self) -> Iterable[tuple[CustomerId, int, int]]:
        """See `GuardedCall.unlisted`."""
        return self.key.unlisted

    def revision_number(self) -> int:
        """See `GuardedCall.revision_number`."""
        revision = self._follower.revision()
        return 0 if revision is None else revision.number

    def authority_epoch(self) -> str:
        """See `GuardedCall.authority_epoch`."""
        revision = self._follower.revision()
        return "" if revision is None else revision.epoch

    def now(self) -> Instant:
        """See `GuardedCall.now`."""
        return self._now()

    def ends_told(self) -> Instant:
        """See `GuardedCall.ends_told`."""
        now, next_end = self._now(), self._next_end()
        return now if next_end is None or next_end > now else Instant(next_end - 1)

    def require(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> None:
        """See `GuardedCall.require`."""
        decision = self.decide(customer, data_class, data_time)
        if isinstance(decision, Deny):
            self._refused(customer, data_class, decision)
            raise self._denial(customer, decision)
        self._scope |= {(customer, data_class)}

    def next_write(self, accesses: frozenset[Access]) -> None:
        """See `GuardedCall.next_write`."""
        self._scope = accesses

    def hands_out(self, held: Mapping[Access, Handed]) -> None:
        """See `GuardedCall.hands_out`."""
        self._held = held

    def denial(self, customer: CustomerId, decision: Decision) -> ConsentryError:
        """See `GuardedCall.denial`."""
        assert isinstance(decision, Deny), "an Allow is no denial"  # noqa: S101 - a mistake in the caller's code
        self._refused(customer, None, decision)
        return self._denial(customer, decision)

    def _refused(self, customer: CustomerId, data_class: DataClass | None, decision: Deny) -> None:
        """Count what was asked for in vain; a key that is no longer usable asks for nobody's data."""
        if self._tally is not None and decision.reason not in _OF_THE_KEY:
            self._tally.refuse(self.identity.credential, self._now(), customer, data_class)

    def _denial(self, customer: CustomerId, decision: Deny) -> ConsentryError:
        if decision.reason in _OF_THE_KEY:
            return denied(decision)
        standing = self._standing(self.key, customer)
        ended = standing.disconnect_time
        may_know = standing.demo or standing.connected or (ended is not None and self._now() < ended + _MAY_KNOW_FOR)
        return denied(decision, subject=names.CUSTOMER.format(customer), may_know=may_know)

    # The check

    def check(self) -> None:
        """Raise unless a write that holds what this call's scope says may begin now. This look is the promises'.

        Whoever writes may have looked before, to say something better than an error; nobody's look stands in for this one.

        1. The lease is usable.
        2. The credential lives, is not disabled, has not reached its end; a key can be used from where the call comes from.
        3. So does the secret that it came with.
        4. The rule allows every (customer, data class) in the scope.
        """
        facts, instant = self.check_credential()
        self._checked_at = instant
        if self._scope and isinstance(facts, MarkedKey):
            for customer, decision in self._denials(facts, self._scope, instant):
                # A call that watches its coverage has looked in this very step, so an end came in between: it narrows when
                # it is opened again.
                raise coverage_changed() if self.changes else self._denial(customer, decision)

    def begin_write(self) -> None:
        """`check`, and count what is handed over: for the step that begins a write, and for no other."""
        self.check()
        scope = self._scope
        if scope and self._tally is not None:
            size, held, self._held = self.open_call.message_bytes, self._held, None
            if held is None:
                held = dict.fromkeys(scope, Handed(bytes=size // len(scope)))
            self._tally.count(self.identity.credential, self._checked_at, size, held)

    def check_credential(self) -> tuple[MarkedKey | Token, Instant]:
        """Steps 1 to 3 of `check`; returns what step 4 goes on with."""
        clock = self._clock
        instant = self._follower.serving_at(clock.boot(), clock.wall())
        if instant is None:
            # Read once more: whoever is held up between the two readings finds the clocks apart that are not.
            instant = self._follower.serving_at(clock.boot(), clock.wall())
            if instant is None:
                raise lease_lost()
        facts = self.credential
        decision = usable(facts, instant)
        if isinstance(decision, Deny):
            raise denied(decision)
        if isinstance(facts, MarkedKey) and facts.networks:
            decision = reachable(facts, self.address)
            if isinstance(decision, Deny):
                raise denied(decision)
        for secret in facts.secrets:
            if secret.id == self.identity.secret_id:
                decision = usable(secret, instant)
                if isinstance(decision, Deny):
                    raise denied(decision)
                return facts, instant
        raise invalid()

    def _denials(self, key: MarkedKey, accesses: Iterable[Access], now: Instant) -> Iterator[tuple[CustomerId, Deny]]:
        """What of these the rule denies. A message can hold hundreds of customers' data: what they share is looked up once."""
        standings = self._follower.standings_of(key.partner)
        for customer, data_class in accesses:
            decision = allowed(key, standings.get(customer) or MarkedStanding(key.partner, customer), data_class, None, now)
            if isinstance(decision, Deny):
                yield customer, decision

    def _now(self) -> Instant:
        return self._follower.authority_now(self._clock.boot())

    def _standing(self, key: MarkedKey, customer: CustomerId) -> MarkedStanding:
        standing = self._follower.standing(key.partner, customer)
        return MarkedStanding(key.partner, customer) if standing is None else standing

    def _standings(self, key: MarkedKey) -> Iterable[MarkedStanding]:
        if self._all and key.kind is not KeyKind.DEMO:
            # The demo customer's is known when another key of the partner reads it.
            return (standing for standing in self._follower.standings_of(key.partner).values() if not standing.demo)
        return [self._standing(key, customer) for customer in self._followed]


_OF_THE_KEY = frozenset({Reason.KEY_DELETED, Reason.KEY_DISABLED, Reason.KEY_EXPIRED})


def lease_lost(retry_after: float = 1.0) -> Unavailable:
    """What a call is told when the guard cannot know what is allowed."""
    return Unavailable(
        "the authority is out of reach, and without it nobody knows what is allowed; open the call again after a moment",
        retry_after=retry_after,
        reason=ErrorReason.LEASE_LOST,
    )


def coverage_changed() -> Unavailable:
    """What a stream is told whose coverage ended between looking and writing."""
    return Unavailable(
        "the coverage has just changed; open the call again after the last cursor",
        retry_after=0.0,
        reason=ErrorReason.COVERAGE_CHANGED,
    )
