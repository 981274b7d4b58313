"""What holds at every moment: the promises, held against the history."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consentry_authority.enforcement.barriers import BOUND
from consentry_core.protocol.follow import (
    CLOCK_DRIFT,
    LEASE_SECONDS,
    Acknowledgement,
    Facts,
    FromAuthority,
    FromGuard,
    Lease,
    Revision,
)
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import SECOND, BootTime
from consentry_guard.follow.leases import CLOCK_ERROR
from consentry_rule import Instant, Token
from model.database import Committed
from model.guard import GuardProcess
from model.history import Fact, History, Read
from model.machines import Machine

if TYPE_CHECKING:
    from model.authority import Replica, Stream
    from model.world import World

_CLOCK_ERROR = round(LEASE_SECONDS * SECOND * CLOCK_DRIFT) + 10
"""How late an end may take effect: the drift of two clocks over the longest life of a lease, and rounding."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class _Granted:
    """A lease as it was granted: by which clock the authority's time is to be counted on."""

    lease: Lease
    history: History
    machine: Machine
    granted: BootTime

    def time(self) -> Instant:
        """The authority's time, by its clocks as they were when it granted this, as long as it lasts."""
        return Instant(self.lease.authority_time + min(self.machine.boot() - self.granted, self.lease.duration))


class Checks:
    """Watches the world from outside, with true knowledge of everything."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._granted: dict[GuardProcess, list[_Granted]] = {}
        self._acknowledged: dict[GuardProcess, Revision] = {}
        self._latest: dict[GuardProcess, Instant] = {}
        self._highest: dict[GuardProcess, Instant] = {}
        self._waits: dict[tuple[Replica, int], BootTime] = {}
        self._enforced: set[tuple[str, int]] = set()
        self.writes = 0

    # What happens

    def granted(self, stream: "Stream", lease: Lease) -> None:
        """A lease was granted."""
        history = self._world.database.histories[lease.revision.epoch]
        replica = next(r for r in self._world.replicas if r is not None and stream in r.streams)
        self._granted.setdefault(stream.connection.process, []).append(
            _Granted(lease, history, replica.machine, replica.clock.boot())
        )

    def started(self, replica: "Replica") -> None:
        """A replica takes up what is pending, and is to hold it to the bound from now on."""
        for number, _ in self._world.database.pending():
            self._waits[replica, number] = replica.clock.boot()

    def committed(self, replica: "Replica", committed: Committed) -> None:
        """A change was committed through a replica."""
        if committed.narrowing:
            self._waits[replica, committed.revision.number] = replica.clock.boot()

    def crashed(self, replica: "Replica") -> None:
        """It waits for nothing any more."""
        self._waits = {key: since for key, since in self._waits.items() if key[0] is not replica}

    def disturbed(self, replica: "Replica") -> None:
        """A replica was stopped, or its database is slow: nothing can be asked of it before it runs again."""
        self.crashed(replica)

    def answered(self, replica: "Replica") -> None:
        """Changes were answered ENFORCED."""
        while replica.answered:
            revision = replica.answered.pop()
            self._enforced.add((revision.epoch, revision.number))
            history = self._world.database.histories[revision.epoch]
            history.enforced = max(history.enforced, revision.number)
            self._waits.pop((replica, revision.number), None)
        while replica.found:
            found = replica.found.pop()
            found.history.found[found.subject] = max(found.history.found.get(found.subject, 0), found.began)

    def applied(self, process: GuardProcess, message: FromAuthority, said: list[FromGuard]) -> None:
        """A guard has applied a message: what it knows is what was so."""
        for reply in said:
            if isinstance(reply, Acknowledgement):
                self._acknowledged[process] = reply.revision
        revision, acknowledged = process.follower.revision(), self._acknowledged.get(process)
        if acknowledged is not None and (revision is None or revision.epoch == acknowledged.epoch):
            self._known(process, acknowledged, "acknowledged, and not applied")
        if revision is not None and isinstance(message, Facts) and not message.more and said:
            self._known(process, revision, "applied, and not so", exactly=True)
        self._writes_of(process)

    # What holds

    def check(self) -> None:
        """Everything, now."""
        for process in self._world.guards:
            if not process.paused:
                self._writes_of(process)
        self._bounds()
        self._receipts()

    def healed(self) -> None:
        """A moment after everything works again every guard serves, and knows what is so."""
        for process in self._world.guards:
            if not process.follower.may_serve(process.clock.boot(), process.clock.wall()):
                raise Violation(f"{process.incarnation} does not come back")
            self._known(process, self._world.database.head(), "not caught up", exactly=True)

    def settled(self) -> None:
        """After the bound nothing is pending."""
        if self._world.database.pending():
            raise Violation(f"P2: pending after the bound: {self._world.database.pending()}")

    def _writes_of(self, process: GuardProcess) -> None:
        """P1, P3 and P4: no write begins but under a usable lease, and as some state allows.

        None that is older than what was enforced, or than what the lease stands on.
        """
        now = process.clock.boot()
        granted = self._granted.get(process, [])
        usable = [one for one in granted if now < one.lease.stamp + one.lease.duration and not process.left]
        self._granted[process] = usable
        moment = self._moment(process, granted)
        for read in self._world.reads if usable else self._world.reads[-5:]:
            if not process.begins(read):
                continue
            self.writes += 1
            if not usable:
                raise Violation(f"P3: {process.incarnation} begins to write {read} without a lease")
            if not any(self._may(one, read, moment) for one in usable):
                raise Violation(f"P1: {process.incarnation} begins to write {read}")

    def _moment(self, process: GuardProcess, granted: list[_Granted]) -> Instant:
        """The earliest that the authority's time may be taken for by a guard. It never steps back.

        Nor may it be taken for much later than it is: then an end would come before its instant. Of a guard that serves nothing
        nothing is asked: no end has been seen there.
        """
        if not process.follower.may_serve(process.clock.boot(), process.clock.wall()):
            return Instant(self._latest.get(process, Instant(0)) - _CLOCK_ERROR)
        ends = process.follower.lease_ends()
        times = [one.time() for one in granted if one.lease.stamp + one.lease.duration == ends]
        latest = self._latest[process] = max(self._latest.get(process, Instant(0)), min(times, default=Instant(0)))
        highest = self._highest[process] = max(self._highest.get(process, Instant(0)), max(times, default=Instant(0)))
        taken = process.follower.authority_now(process.clock.boot())
        if times and taken > highest + CLOCK_ERROR + _CLOCK_ERROR:
            raise Violation(f"P4: {process.incarnation} takes the time for {(taken - highest) / SECOND} s later than it is")
        return Instant(latest - _CLOCK_ERROR)

    def _may(self, granted: _Granted, read: Read, moment: Instant) -> bool:
        history, present = granted.history, self._world.database.history
        if not history.may(max(granted.lease.revision.number, history.enforced), read, moment):
            return False
        if not present.may_as_found(history, granted.lease.revision.number, read, moment):
            return False
        return history is present or not present.enforced or present.may(present.enforced, read, moment)

    def _bounds(self) -> None:
        """P2."""
        for (replica, number), since in self._waits.items():
            if replica.paused or replica.slow:
                continue
            if replica.clock.boot() > since + BOUND:
                raise Violation(f"P2: change {number} is not enforced after {(replica.clock.boot() - since) / SECOND} s")

    def _receipts(self) -> None:
        """ENFORCED never un-happens."""
        epoch = self._world.database.history.epoch
        for enforced_epoch, number in self._enforced:
            if enforced_epoch != epoch:
                continue
            for replica in self._world.running():
                if replica.receipt(number) is None:
                    raise Violation(f"change {number} was ENFORCED, and is pending")

    def _known(self, process: GuardProcess, revision: Revision, complaint: str, *, exactly: bool = False) -> None:
        """Everything that the guard knows is as it was at a revision, or later."""
        history, follower = self._world.database.histories[revision.epoch], process.follower
        for subject in history.subjects():
            known: Fact
            if names.CONSENT.matches(subject):
                customer, partner = names.CONSENT.parse(subject, "subject")
                if not (follower.knows(subject) or follower.knows(names.PARTNER.format(partner))):
                    continue
                known = follower.standing(partner, customer)  # type: ignore[arg-type]
            else:
                if not follower.knows(subject):
                    continue
                known = _without_marks(follower.credential(subject))
            versions = [history.at(subject, revision.number)] if exactly else history.since(subject, revision.number)
            if known not in versions and not (_empty(known) and any(_empty(version) for version in versions)):
                raise Violation(f"{complaint} at {revision}: {process.incarnation} takes {subject} for {known}, not {versions}")


def _without_marks(credential: MarkedKey | Token | None) -> MarkedKey | Token | None:
    """What the history has of a key: its list, and not by which changes the list became so, which decides nothing."""
    if not isinstance(credential, MarkedKey):
        return credential
    return replace(credential, listed_numbers={}, unlisted=(), list_number=0)


def _empty(fact: Fact) -> bool:
    return fact is None or (isinstance(fact, MarkedStanding) and fact.consent is None and not fact.connected and not fact.demo)
