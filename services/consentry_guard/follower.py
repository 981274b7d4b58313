"""The guard's side of `Follow`, without I/O: what is known, and whether it may be acted on.

1. On a new connection the follower says hello, asks for everything that it wants, in as many interests as that takes, and asks
   for a lease.
2. What it learned on the connection before stays in use under the lease that it got there. News of the new connection is
   applied to it too, so that no withdrawal waits.
3. A lease that came on this connection counts once those first interests have been answered whole and everything up to the
   lease's revision has been applied; what was learned on this connection then takes the former's place, so that nothing of a
   former history stays behind. It counts until `stamp + duration` on this machine's clock; `stamp` is when the lease was
   *asked for*.
4. The authority's time now is at most `authority_time + (clock - stamp)`: it read its clock after the stamp was taken.
   Deadlines are held against that, so an end comes early by at most a round trip and never late.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from consentry_core.clock import BootTime
from consentry_core.follow import Facts, FromGuard, Hello, Interest, Lease, Renewal, Revision
from consentry_rule import CustomerId, Instant, Key, PartnerId, Standing, Token

NAMES_PER_INTEREST = 5_000
"""The most names in one message: at some 100 bytes each, well below what the authority takes in one."""


@dataclass(slots=True)
class _Known:
    """What was learned on one connection, or is in use. `answered` names what a snapshot has come for."""

    credentials: dict[str, Key | Token | None] = field(default_factory=dict)
    standings: dict[PartnerId, dict[CustomerId, Standing]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)

    def apply(self, facts: Facts) -> None:
        for credential in facts.credentials:
            self.credentials[credential.name] = credential.facts
        for standing in facts.standings:
            self.standings.setdefault(standing.partner, {})[standing.customer] = standing

    def standing(self, partner: PartnerId, customer: CustomerId) -> Standing | None:
        return self.standings.get(partner, {}).get(customer)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a message really changed: credentials with their former facts, standings, and names that are known from now on."""

    credentials: tuple[tuple[str, Key | Token | None], ...] = ()
    standings: tuple[tuple[PartnerId, CustomerId], ...] = ()
    answered: tuple[str, ...] = ()


class Follower:
    """Everything that a guard knows of the authority's state."""

    def __init__(self, incarnation: str, service: str) -> None:
        self._hello = Hello(incarnation, service)
        self._wanted: dict[str, None] = {}  # a set that keeps its order
        self._in_use = _Known()
        self._incoming: _Known | None = None  # of a connection whose first lease does not count yet
        self._connected = False
        self._interests: dict[int, tuple[str, ...]] = {}
        self._last_interest = 0
        self._first_interests = 0  # those up to this number were said when the connection was made
        self._applied: Revision | None = None  # on this connection
        self._shown: Revision | None = None  # what is in use shows everything up to here
        self._changed: dict[tuple[PartnerId, CustomerId], None] = {}  # what has changed in use since
        self._candidate: Lease | None = None
        self._lease: Lease | None = None
        self._latest_now = Instant(0)

    # Connection

    def connected(self, now: BootTime) -> list[FromGuard]:
        """A connection was made: what to say first."""
        self._connected, self._incoming = True, _Known()
        self._applied = self._candidate = None
        self._interests.clear()
        self._last_interest = 0
        first = self._interest_in(tuple(self._wanted)) or [self._interest(())]
        self._first_interests = self._last_interest
        return [self._hello, *first, Renewal(now)]

    def disconnected(self) -> None:
        """The connection was lost. What is known stays, for as long as the lease does."""
        self._connected = False

    def want(self, wanted: Iterable[str]) -> list[FromGuard]:
        """Follow these names from now on: what to say."""
        new = tuple(dict.fromkeys(name for name in wanted if name not in self._wanted))
        self._wanted.update(dict.fromkeys(new))
        return self._interest_in(new) if self._connected else []

    def received(self, message: Lease | Facts) -> Applied:
        """The authority said something: apply it, in one step."""
        if isinstance(message, Lease):
            self._candidate = message
            return self._adopt()
        in_use = self._in_use
        credentials = {
            credential.name: in_use.credentials.get(credential.name)
            for credential in message.credentials
            if in_use.credentials.get(credential.name) != credential.facts
        }
        standings = {
            (standing.partner, standing.customer): None
            for standing in message.standings
            if in_use.standing(standing.partner, standing.customer) != standing
        }
        answered: tuple[str, ...] = ()
        if message.interest == 0 and not message.more:
            self._applied = message.revision
        elif not message.more:
            answered = self._interests.pop(message.interest, ())
        in_use.apply(message)
        if self._incoming is None:
            self._shown = self._applied
        else:
            self._incoming.apply(message)
            self._incoming.answered.update(answered)
            self._changed |= standings
            answered = ()  # known only once this connection's facts are in use
        in_use.answered.update(answered)
        adopted = self._adopt()
        return Applied(
            tuple(credentials.items()) + adopted.credentials,
            tuple(standings) + adopted.standings,
            answered + adopted.answered,
        )

    def _interest_in(self, wanted: tuple[str, ...]) -> list[FromGuard]:
        pieces = range(0, len(wanted), NAMES_PER_INTEREST)
        return [self._interest(wanted[start : start + NAMES_PER_INTEREST]) for start in pieces]

    def _interest(self, wanted: tuple[str, ...]) -> Interest:
        self._last_interest += 1
        self._interests[self._last_interest] = wanted
        return Interest(self._last_interest, wanted)

    def _adopt(self) -> Applied:
        """Let the candidate lease count, if everything that it stands on has been applied."""
        candidate = self._candidate
        if candidate is None or not _reaches(self._applied, candidate.revision) or self._first_are_owed():
            return Applied()
        self._lease, self._candidate = candidate, None
        if self._incoming is None:
            return Applied()
        former, self._in_use, self._incoming = self._in_use, self._incoming, None
        # What changed on this connection is told again: only now does what is in use show all that came before it.
        changed, self._changed, self._shown = self._changed, {}, self._applied
        for partner, customers in former.standings.items():
            for customer, standing in customers.items():
                if self._in_use.standing(partner, customer) != standing:
                    changed[partner, customer] = None
        return Applied(
            tuple((name, facts) for name, facts in former.credentials.items() if self.credential(name) != facts),
            tuple(changed),
            tuple(self._in_use.answered),
        )

    def _first_are_owed(self) -> bool:
        return next(iter(self._interests), self._first_interests + 1) <= self._first_interests  # the oldest comes first

    # Lease and time

    def lease_ends(self) -> BootTime | None:
        """Until when the lease is usable, on this machine's clock; None when there is none."""
        return None if self._lease is None else BootTime(self._lease.stamp + self._lease.duration)

    def may_serve(self, now: BootTime) -> bool:
        """Whether there is a usable lease."""
        lease = self._lease
        return lease is not None and now < lease.stamp + lease.duration

    def authority_now(self, now: BootTime) -> Instant:
        """The latest that the authority's clock can show now. Never earlier than an earlier answer."""
        if self._lease is not None:
            estimate = Instant(self._lease.authority_time + now - self._lease.stamp)
            self._latest_now = max(self._latest_now, estimate)
        return self._latest_now

    def has_applied(self, revision: Revision) -> bool:
        """Whether what is in use shows everything up to this revision."""
        return _reaches(self._shown, revision)

    def revision(self) -> Revision | None:
        """Up to where what is in use shows everything. A reconnect moves it only once all has been learned anew."""
        return self._shown

    # What is known

    def knows(self, name: str) -> bool:
        """Whether the facts about this name have been answered, and are in use."""
        return name in self._in_use.answered

    def credential(self, name: str) -> Key | Token | None:
        """The credential's facts; None when it is deleted, never was, or is not known."""
        return self._in_use.credentials.get(name)

    def standing(self, partner: PartnerId, customer: CustomerId) -> Standing | None:
        """The customer's standing towards the partner, if it is known."""
        return self._in_use.standing(partner, customer)

    def standings(self, partner: PartnerId) -> Iterable[Standing]:
        """All standings towards a partner that are known."""
        return self._in_use.standings.get(partner, {}).values()


def _reaches(applied: Revision | None, wanted: Revision) -> bool:
    return applied is not None and applied.epoch == wanted.epoch and applied.number >= wanted.number
