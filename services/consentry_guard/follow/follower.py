"""The guard's side of `Follow`, without I/O: what is known, and whether it may be acted on.

1. On a new connection the follower says hello, asks for everything that it wants, in as many interests as that takes, and asks
   for a lease.
2. What it learned on the connection before stays in use under the lease that it got there. News of the new connection is
   applied to it too, so that no withdrawal waits, unless it is older than what is in use: a replica may lag.
3. A lease that came on this connection counts once those first interests have been answered whole and everything up to the
   lease's revision has been applied; what was learned on this connection then takes the former's place, so that nothing of a
   former history stays behind. How long it counts, and what time it is at the authority, see `leases`.
4. A revision is acknowledged once everything up to it is in use: applied first, acknowledged then, and never while facts of a
   former connection are in use.
5. A lease by which the authority's time is not known well enough counts not at all: the next one will.
6. Within an epoch the authority's history only grows. A lease that stands on less than what was in use when the connection was
   made is of a database that was taken back to an older state without anybody saying so: it is refused, and nothing is served.
7. The authority tells only of what was verified: it is shown a credential's proof before the first interest that needs it, and
   on a new connection all that the wishes of this moment need.
8. An authority that refuses a proof has another key than the one that made it (its database was put back without it): all of
   them are forgotten, and with them everything that was wanted. Whoever calls next is verified anew.
9. Of a key's list only what differs is told, of a key whose snapshot has come on this connection. It goes on from the list that
   is known, or from a later one: who is not named is the same in both. Without that list nothing is applied, and the connection
   is made anew, for its snapshots are whole.
10. What is forgotten is unusable at once, and what still comes of it is not applied, even when it is wanted again meanwhile: it
    is known again only by a new snapshot.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consentry_core.protocol.follow import (
    NAMES_AT_ONCE,
    Acknowledgement,
    Credential,
    Facts,
    Farewell,
    Forget,
    FromGuard,
    Hello,
    Interest,
    Lease,
    Proofs,
    Renewal,
    Revision,
)
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import BootTime
from consentry_guard.follow.known import Known, reaches
from consentry_guard.follow.leases import Heard, Leases
from consentry_rule import CustomerId, Instant, PartnerId, Token

NAMES_PER_INTEREST = NAMES_AT_ONCE
"""The most names in one message: no more than the authority takes in one."""


class HistoryWentBack(Exception):
    """The authority has forgotten changes that were applied here."""


class ListMissing(Exception):
    """The authority told what differs of a list that is not known here: everything is to be learned anew."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a message really changed, and what to say to it.

    `credentials` come with their former facts; `relisted`, by key, are the customers about whom a difference of its list said
    something. `answered` are names that are known from now on. `reply` says what has been applied: it is true already, because
    every write is checked against what is in use.
    """

    credentials: tuple[tuple[str, MarkedKey | Token | None], ...] = ()
    standings: tuple[tuple[PartnerId, CustomerId], ...] = ()
    answered: tuple[str, ...] = ()
    reply: tuple[FromGuard, ...] = ()
    relisted: Mapping[str, frozenset[CustomerId]] = field(default_factory=dict)


class Follower:
    """Everything that a guard knows of the authority's state."""

    def __init__(self, incarnation: str, service: str) -> None:
        self._hello = Hello(incarnation, service)
        self._wanted: dict[str, None] = {}  # a set that keeps its order
        # By credential; some hundred bytes each, and no more of them than credentials that were ever used here.
        self._proofs: dict[str, bytes] = {}
        self._in_use = Known()
        self._incoming: Known | None = None  # of a connection whose first lease does not count yet
        self._connected = False
        self._interests: dict[int, tuple[str, ...]] = {}
        self._last_interest = 0
        self._first_interests = 0  # those up to this number were said when the connection was made
        # Wanted since, and by which interest, of which nothing has come yet: what does come may be of a wish before it.
        self._unheard: dict[str, int] = {}
        # Standings that a connection whose first lease does not count yet has told, and that were others in use.
        self._early: dict[tuple[PartnerId, CustomerId], None] = {}
        self._candidate: Heard | None = None
        self._leases = Leases()
        self._least: Revision | None = None  # what was in use when the connection was made
        self._left = False

    # Connection

    def connected(self, now: BootTime, wall: Instant) -> list[FromGuard]:
        """A connection was made: what to say first."""
        self._connected, self._incoming = True, Known()
        self._least = self._in_use.revision
        self._candidate = None
        self._interests.clear()
        self._unheard.clear()
        self._last_interest = 0
        first = self._interest_in(tuple(self._wanted)) or [self._interest(())]
        self._first_interests = self._last_interest
        return [self._hello, *self._proofs_of(self._proofs_needed()), *first, *self.renewal(now, wall)]

    def renewal(self, now: BootTime, wall: Instant) -> list[FromGuard]:
        """It is time for the next lease: what to say. The two clocks are read in the same step."""
        self._leases.asked(now, wall)
        return [Renewal(now)]

    def disconnected(self) -> None:
        """The connection was lost. What is known stays, for as long as the lease does."""
        self._connected = False

    def verified(self, credential: str, proof: bytes) -> None:
        """The authority has verified a secret of this credential, so it tells of it, and of its partner's customers."""
        self._proofs[credential] = proof

    def is_verified(self, credential: str) -> bool:
        """Whether the authority can be shown that a secret of this credential was verified."""
        return credential in self._proofs

    def disowned(self) -> None:
        """The authority, just gone, has refused what it was shown: nothing counts as verified, and nothing is followed."""
        self._proofs.clear()
        self.forget(tuple(self._wanted))

    def want(self, wanted: Iterable[str]) -> list[FromGuard]:
        """Follow these names from now on: what to say."""
        new = tuple(dict.fromkeys(name for name in wanted if name not in self._wanted))
        self._wanted.update(dict.fromkeys(new))
        if not self._connected:
            return []
        interests = self._interest_in(new)
        for interest in interests:
            self._unheard |= dict.fromkeys(interest.names, interest.number)
        return [*self._proofs_of(name for name in new if name in self._proofs), *interests]

    def _proofs_needed(self) -> Iterable[str]:
        """The credentials that are wanted and, for standings that are, one of each partner."""
        one_of_each = {_partner_of(credential): credential for credential in self._proofs}
        return dict.fromkeys((*one_of_each.values(), *(name for name in self._wanted if name in self._proofs)))

    def _proofs_of(self, credentials: Iterable[str]) -> list[Proofs]:
        said = [(credential, self._proofs[credential]) for credential in credentials]
        pieces = range(0, len(said), NAMES_PER_INTEREST)
        return [Proofs(tuple(said[start : start + NAMES_PER_INTEREST])) for start in pieces]

    def forget(self, forgotten: Iterable[str]) -> list[FromGuard]:
        """Follow these names no longer: what to say. What is known of them is unusable from now on."""
        gone = tuple(name for name in dict.fromkeys(forgotten) if name in self._wanted)
        for name in gone:
            del self._wanted[name]
            self._unheard.pop(name, None)
            for known in (self._in_use, self._incoming):
                if known is not None:
                    known.forget(name, self._is_told)
        if gone:
            # An answer that is still on its way answers for what is still wanted, and no longer for these.
            self._interests = {
                number: tuple(name for name in wanted if name in self._wanted) for number, wanted in self._interests.items()
            }
        if not self._connected:
            return []
        pieces = range(0, len(gone), NAMES_PER_INTEREST)
        return [Forget(gone[start : start + NAMES_PER_INTEREST]) for start in pieces]

    def farewell(self) -> list[FromGuard]:
        """Give the lease back: nothing is served any more. What to say."""
        self._left, self._candidate = True, None
        self._leases.give_up()
        return [Farewell()] if self._connected else []

    def received(self, message: Lease | Facts, now: BootTime, wall: Instant) -> Applied:
        """The authority said something: apply it, in one step.

        HistoryWentBack when it has forgotten what it said before; ListMissing when it goes on from what it did not say. Nothing
        has been applied then, and nothing is acknowledged.
        """
        if isinstance(message, Lease):
            self._refuse_if_older(message.revision)
            heard = self._leases.heard(message, now, wall)
            # One that was on its way when the lease was given back: nobody waits for this incarnation any more.
            if heard.is_of_use and not self._left:
                self._candidate = heard
            return self._adopt()
        told = self._in_use if self._incoming is None else self._incoming
        if not told.takes(message.revision):
            return Applied()  # older than what this connection has told: nothing of it is news, and it answers nothing
        self._hear(message.interest)
        credentials = [credential for credential in message.credentials if self._is_told(credential.name)]
        standings = [standing for standing in message.standings if self._wants(standing)]
        in_use = self._with_lists(self._in_use, credentials) if self._in_use.takes(message.revision) else []
        incoming = [] if self._incoming is None else self._with_lists(self._incoming, credentials)
        changed, differing = Applied(), self._changes(in_use, standings)
        if self._in_use.takes(message.revision):
            changed = differing
            self._in_use.apply(in_use, standings)
        if self._incoming is not None:
            self._incoming.apply(incoming, standings)
            self._early |= dict.fromkeys(differing.standings)
        answered, reply = self._complete(message)
        adopted = self._adopt()
        return Applied(
            changed.credentials + adopted.credentials,
            changed.standings + adopted.standings,
            answered + adopted.answered,
            reply + adopted.reply,
            {
                each.name: each.difference.customers
                for each in credentials
                if each.difference is not None and not adopted.credentials
            },
        )

    def _with_lists(self, known: Known, credentials: Iterable[Credential]) -> list[Credential]:
        """These with whole lists. What has not been answered is not known there, so a difference of it is passed over."""
        found: list[Credential] = []
        for credential in credentials:
            whole = known.whole(credential)
            if whole is not None:
                found.append(whole)
            elif credential.name in known.answered:
                raise ListMissing(f"what differs of the list of {credential.name} goes on from one that was not told")
        return found

    def _refuse_if_older(self, head: Revision) -> None:
        least = self._least
        if least is not None and head.epoch == least.epoch and head.number < least.number:
            raise HistoryWentBack(
                f"the authority's history ends at {head}, and {least} was applied here: its database is an older copy; run "
                "`consentry restored` on it"
            )

    def _changes(self, credentials: Iterable[Credential], standings: Iterable[MarkedStanding]) -> Applied:
        """What of these facts differs from what is in use; what is told again is no news."""
        in_use = self._in_use
        return Applied(
            tuple(
                (credential.name, in_use.credentials.get(credential.name))
                for credential in credentials
                if in_use.credentials.get(credential.name) != credential.facts
            ),
            tuple(
                (standing.partner, standing.customer)
                for standing in standings
                if in_use.standing(standing.partner, standing.customer) != standing
            ),
        )

    def _complete(self, message: Facts) -> tuple[tuple[str, ...], tuple[FromGuard, ...]]:
        """A change or a snapshot has been told whole: what is known by it, and what to acknowledge."""
        if message.more:
            return (), ()
        told = self._in_use if self._incoming is None else self._incoming
        if message.interest == 0:
            told.revision = message.revision
            return (), () if self._incoming is not None else (Acknowledgement(message.revision),)
        answered = self._interests.pop(message.interest, ())
        told.answered.update(answered)
        # What is learned on a connection is in use only once its first lease counts.
        return () if self._incoming is not None else answered, ()

    def _hear(self, interest: int) -> None:
        """What comes from now on comes of this interest, or of a change after it."""
        if self._unheard:
            for name in self._interests.get(interest, ()):
                if self._unheard.get(name) == interest:
                    del self._unheard[name]

    def _wants(self, standing: MarkedStanding) -> bool:
        return self._is_told(names.PARTNER.format(standing.partner)) or self._is_told(
            names.CONSENT.format(standing.customer, standing.partner)
        )

    def _is_told(self, name: str) -> bool:
        return name in self._wanted and name not in self._unheard

    def _interest_in(self, wanted: tuple[str, ...]) -> list[Interest]:
        pieces = range(0, len(wanted), NAMES_PER_INTEREST)
        return [self._interest(wanted[start : start + NAMES_PER_INTEREST]) for start in pieces]

    def _interest(self, wanted: tuple[str, ...]) -> Interest:
        self._last_interest += 1
        self._interests[self._last_interest] = wanted
        return Interest(self._last_interest, wanted)

    def _adopt(self) -> Applied:
        """Let the candidate lease count, if everything that it stands on has been applied."""
        candidate = self._candidate
        told = self._in_use if self._incoming is None else self._incoming
        if candidate is None or not reaches(told.revision, candidate.lease.revision) or self._first_are_owed():
            return Applied()
        self._leases.use(candidate)
        self._candidate = None
        if self._incoming is None:
            return Applied()
        former, self._in_use, self._incoming = self._in_use, self._incoming, None
        reply = () if self._in_use.revision is None else (Acknowledgement(self._in_use.revision),)
        # What changed on this connection is told again: only now does what is in use show all that came before it. All that it
        # told was compared as it came, so that this step is short, however many customers there are.
        changed, self._early = self._early, {}
        for partner, customers in former.standings.items():
            for customer in customers.keys() - self._in_use.standings.get(partner, {}).keys():
                changed[partner, customer] = None
        return Applied(
            tuple((name, facts) for name, facts in former.credentials.items() if self.credential(name) != facts),
            tuple(changed),
            tuple(self._in_use.answered),
            reply,
        )

    def _first_are_owed(self) -> bool:
        return next(iter(self._interests), self._first_interests + 1) <= self._first_interests  # the oldest comes first

    # Lease and time

    def lease_ends(self) -> BootTime | None:
        """Until when the lease is usable, on this machine's clock; None when there is none."""
        return self._leases.end()

    def may_serve(self, now: BootTime, wall: Instant) -> bool:
        """Whether there is a usable lease."""
        return self._leases.is_usable(now, wall)

    def has_parted(self, now: BootTime, wall: Instant) -> bool:
        """See `Leases.has_parted`: a new lease is wanted at once."""
        return self._leases.has_parted(now, wall)

    def serving_at(self, now: BootTime, wall: Instant) -> Instant | None:
        """See `Leases.serving_at`."""
        return self._leases.serving_at(now, wall)

    def authority_now(self, now: BootTime) -> Instant:
        """See `Leases.authority_now`."""
        return self._leases.authority_now(now)

    def has_applied(self, revision: Revision) -> bool:
        """Whether what is in use shows everything up to this revision."""
        return reaches(self._in_use.revision, revision)

    def revision(self) -> Revision | None:
        """Up to where what is in use shows everything. A reconnect moves it only once all has been learned anew."""
        return self._in_use.revision

    # What is known

    def knows(self, name: str) -> bool:
        """Whether the facts about this name have been answered, and are in use."""
        return name in self._in_use.answered

    def credential(self, name: str) -> MarkedKey | Token | None:
        """The credential's facts; None when it is deleted, never was, or is not known."""
        return self._in_use.credentials.get(name)

    def standing(self, partner: PartnerId, customer: CustomerId) -> MarkedStanding | None:
        """The customer's standing towards the partner, if it is known."""
        return self._in_use.standing(partner, customer)

    def standings_of(self, partner: PartnerId) -> Mapping[CustomerId, MarkedStanding]:
        """All standings towards a partner that are known. Not to be kept: it is what is in use at this moment."""
        return self._in_use.standings.get(partner, {})


def _partner_of(credential: str) -> str:
    return names.KEY.parse(credential, "credential")[0] if names.KEY.matches(credential) else ""
