"""What happens, and in which order, between members, commits and barriers; without I/O.

It takes what a guard said, news of commits, and the time, and says what is to be done as `flows`. Three orders carry the
promises; each is in one place here, and the model breaks each of them to see that it notices:

1. A lease: the member's row is written, then the head is read that the lease names (`turn`).
2. A barrier: the change is committed, then the members are read that it waits for (`committed`, `_begin`).
3. An answer: the receipt is written, then somebody is told ENFORCED (`_enforced`, `_keep`): what was answered can be had again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from consentry_authority.commands.ports import Commit
from consentry_authority.enforcement.barriers import Barrier, Barriers, Ended, Member, PointStatus, Receipt
from consentry_authority.enforcement.flows import (
    Flow,
    Milestone,
    ReadHead,
    ReadMembers,
    ReadPending,
    ReadReceipt,
    ReadTurn,
    Stream,
    WaitFor,
    WriteMember,
)
from consentry_authority.enforcement.keeping import drop, keep_receipts
from consentry_authority.enforcement.limits import Fleets, Renewals
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.ports import Claim, Grant, Leave, Pending
from consentry_core.protocol.follow import Acknowledgement, Farewell, FromAuthority, FromGuard, Hello, Revision
from consentry_core.values.clock import BootTime, Clock
from consentry_rule import Instant


@dataclass(slots=True)
class _UnderWay:
    """A change that takes access away, until its receipt is written. `failed`: why its members could not be read."""

    revision: Revision
    commit_time: Instant
    barrier: Barrier | None = None
    failed: Exception | None = None
    begun: Milestone = field(default_factory=Milestone)
    kept: Milestone = field(default_factory=Milestone)

    def receipt(self) -> Receipt:
        """How far it is. Pending until its receipt is kept: what was answered must not un-happen in a crash."""
        if self.barrier is None:
            raise self.failed or AssertionError("asked for before it was begun")
        receipt = self.barrier.receipt()
        return receipt if self.kept.reached else replace(receipt, enforce_time=None)


class Coordinator:
    """The members and barriers of one authority process. `start` is called with what is to be done in the background."""

    def __init__(self, clock: Clock, news: News, fleets: Fleets, start: Callable[[Flow[None]], None]) -> None:
        self._clock = clock
        self._news = news
        self._fleets = fleets
        self._start = start
        self._barriers = Barriers()
        self._under_way: dict[int, _UnderWay] = {}
        self._streams: dict[str, Stream] = {}
        self._renewals = Renewals()
        self._applied: dict[str, Revision] = {}

    # Streams

    def taken(self, stream: Stream, message: FromGuard) -> Flow[None]:
        """A guard said something, which `stream.following` has taken.

        Everything that is said on a stream is said for the member that said hello, so nobody else's token can say it:
        PermissionDenied. ResourceExhausted when the token has too many members.
        """
        match message:
            case Hello():
                yield from self._connected(stream)
            case Acknowledgement():
                self._applied[stream.speaker.incarnation] = message.revision
                self.heard(stream.speaker.incarnation, message.revision)
            case Farewell():
                yield from self._left(stream)
            case _:
                pass

    def _connected(self, stream: Stream) -> Flow[None]:
        """A member has one stream: one that it has here already, of a connection that nobody knows to be dead yet, is ended."""
        yield WriteMember(Claim(stream.speaker, self._clock.now()))
        former = self._streams.get(stream.speaker.incarnation)
        if former is None:
            self._fleets.join(stream.speaker.token)
        self._streams[stream.speaker.incarnation] = stream
        if former is not None:
            former.replaced()

    def closed(self, stream: Stream) -> None:
        """A stream is over. Its member may hold a lease all the same."""
        incarnation = stream.speaker.incarnation
        if self._streams.get(incarnation) is not stream:
            return  # another one has taken its place
        del self._streams[incarnation]
        self._fleets.part(stream.speaker.token)
        if self._renewals.last(incarnation) is None:
            self._applied.pop(incarnation, None)

    def _left(self, stream: Stream) -> Flow[None]:
        yield WriteMember(Leave(stream.speaker, self._clock.now()))
        self._applied.pop(stream.speaker.incarnation, None)
        # One that was just reading its members may have read this one, and would wait for it in vain.
        for change in tuple(self._under_way.values()):
            yield WaitFor(change.begun)
        self.heard(stream.speaker.incarnation, None)

    def heard(self, incarnation: str, applied: Revision | None) -> None:
        """A member has applied everything up to a revision, or (None) has left: it said so here, or to another replica."""
        wall = self._clock.now()
        if applied is None:
            self._end(self._barriers.left(incarnation, wall=wall))
        else:
            self._end(self._barriers.acknowledged(incarnation, applied, wall=wall))

    def turn(self, stream: Stream) -> Flow[Sequence[FromAuthority]]:
        """What is to be said on a stream now."""
        following = stream.following
        grant = self._grants(stream)
        if not grant and not following.owes_snapshots:
            since = None if following.told is None else self._news.since(following.told)
            if since is not None and not following.concerned(since.subjects) and not stream.concerned(since.subjects):
                return following.passed(since.head)
        committed = None
        if grant:
            # The member's row first, then the head that the lease names: whoever commits in between finds it.
            yield from self._granting(stream)
            committed = yield ReadHead()
        said: Sequence[FromAuthority] = yield ReadTurn(stream, committed, grant)
        return said

    def _grants(self, stream: Stream) -> bool:
        """Whether the lease that is asked for is granted now; one that has to wait gets a turn when it is due."""
        if not stream.following.asks_for_a_lease:
            return False
        wait = self._renewals.wait(stream.speaker.incarnation, self._clock.boot())
        if wait:
            stream.wake_in(wait)
        return not wait

    def _granting(self, stream: Stream) -> Flow[None]:
        incarnation = stream.speaker.incarnation
        self._renewals.granted(incarnation, self._clock.boot())
        yield WriteMember(Grant(stream.speaker, self._applied.get(incarnation), self._clock.now()))

    # Members

    def look(self) -> Flow[None]:
        """Members that have gone without a farewell would hold up the next barrier: see to it that they are dropped before."""
        members: Sequence[Member] = yield ReadMembers()
        silent = [member for member in members if member.incarnation not in self._streams]
        self._barriers.watch(silent, now=self._clock.boot())

    def points(self) -> Flow[Sequence[PointStatus]]:
        """All members, by incarnation."""
        members = yield from self._members()
        now = self._clock.boot()
        return [
            PointStatus(
                member,
                member.incarnation in self._streams,
                None if (granted := self._renewals.last(member.incarnation)) is None else now - granted,
                tuple(self._barriers.owed(member.incarnation)),
            )
            for member in members
        ]

    def _members(self) -> Flow[Sequence[Member]]:
        members: Sequence[Member] = yield ReadMembers()
        return [self._newest(member) for member in members]

    def _newest(self, member: Member) -> Member:
        return replace(member, applied=self._applied.get(member.incarnation, member.applied))

    # Barriers

    def resume(self) -> Flow[None]:
        """Take up what was pending when the authority went down, and hold it to the same bound from now on."""
        pending: Pending = yield ReadPending()
        for number, commit_time in pending.changes:
            change = self._under_way[number] = _UnderWay(Revision(pending.head.epoch, number), commit_time)
            self._raise(change, pending.members, self._clock.boot())

    def committed(self, commit: Commit) -> None:
        """A change was committed: begin to enforce it, whether its caller waits or has gone."""
        if commit.narrowing:
            self._begin_once(commit.revision, commit.commit_time, commit.since)

    def missed(self) -> None:
        """Something may have been committed by another process: that one sees to it, and this one when it is asked."""

    def enforce(self, change: Commit, patience: float | None) -> Flow[Receipt]:
        """The receipt of a change: waits for it to be enforced, at most `patience` seconds.

        A call that changed nothing gets that of the change that has brought about what it found. A change that took nothing
        away denies nothing that was not denied everywhere before it: it is enforced from its commit on.
        """
        receipt = (yield from self.enforced(change.revision, patience)) if change.narrowing else None
        return receipt or Receipt(change.revision, change.commit_time, change.commit_time)

    def enforced(self, revision: Revision, patience: float | None) -> Flow[Receipt | None]:
        """A change's receipt, waited for; None for one that is not on record."""
        change = self._under_way.get(revision.number)
        if change is None:
            found: tuple[Receipt, str] | None = yield ReadReceipt(revision)
            if found is None or found[0].enforce_time is not None:
                return None if found is None else found[0]
            # Pending, and not begun here: a reader of the database may see a commit before we are told of it.
            change = self._begin_once(revision, found[0].commit_time)
        yield WaitFor(change.begun)
        if change.failed is None and patience != 0:
            yield WaitFor(change.kept, patience)
        return change.receipt()

    def _begin_once(self, revision: Revision, commit_time: Instant, since: BootTime | None = None) -> _UnderWay:
        change = self._under_way.get(revision.number)
        if change is None:
            change = self._under_way[revision.number] = _UnderWay(revision, commit_time)
            self._start(self._begin(change, self._clock.boot() if since is None else since))
        return change

    def _begin(self, change: _UnderWay, since: BootTime) -> Flow[None]:
        # Read after the commit: whoever is not among them reads a head that includes it.
        try:
            members = yield from self._members()
        except Exception as error:
            del self._under_way[change.revision.number]  # whoever asks next tries again
            change.failed = error
            change.begun.reach()
            raise
        self._raise(change, members, since)

    def _raise(self, change: _UnderWay, members: Sequence[Member], since: BootTime) -> None:
        now, wall = self._clock.boot(), self._clock.now()
        change.barrier, ended = self._barriers.begin(
            change.revision, change.commit_time, members, committed=since, now=now, wall=wall
        )
        change.begun.reach()
        self._end(ended)

    def _end(self, ended: Ended) -> None:
        for member in ended.expired:
            if member.incarnation not in self._streams:
                self._applied.pop(member.incarnation, None)
        if ended.barriers or ended.expired:
            self._start(self._keep(ended))

    def _keep(self, ended: Ended) -> Flow[None]:
        yield from keep_receipts(ended.barriers, self._kept)
        yield from drop(ended.expired)

    def _kept(self, barrier: Barrier) -> None:
        self._under_way.pop(barrier.revision.number).kept.reach()

    # Seen from outside

    @property
    def barriers_open(self) -> int:
        """How many changes are being enforced."""
        return len(self._under_way)

    @property
    def points_connected(self) -> int:
        """How many enforcement points have a stream here."""
        return len(self._streams)

    # Time

    def next_tick(self) -> BootTime | None:
        """When `tick` is due, whatever happens."""
        return self._barriers.next_tick()

    def tick(self) -> None:
        """Time has passed."""
        self._end(self._barriers.tick(now=self._clock.boot(), wall=self._clock.now()))
