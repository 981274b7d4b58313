"""The authority's process: carries messages, members and barriers in the order in which `enforcing` and `rpc.enforcement` do.

What awaits there yields here: between any two steps anything can happen.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from consentry_authority.commands.ports import View
from consentry_authority.enforcement.barriers import BOUND, Barrier, Barriers, Ended, Member
from consentry_authority.enforcement.dating import Dating
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.limits import Renewals
from consentry_authority.enforcement.news import News
from consentry_core.protocol.follow import Acknowledgement, Farewell, FromAuthority, FromGuard, Hello, Renewal, Revision
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import InvalidArgument
from consentry_rule import Instant
from model.database import Committed, Database, view
from model.history import Fact, History
from model.machines import Connection, Machine, ProcessClock

WAITS, STEPS = True, False
"""What a task yields: it waits for news; or it awaits something that takes no longer than it takes."""

Task = Iterator[bool]
_RUNS = count(1)


@dataclass(frozen=True)
class Found:
    """What was so when somebody asked for it, and (in truth) since which change."""

    history: History
    subject: str
    began: int


class Stream:
    """The authority's end of one connection."""

    def __init__(self) -> None:
        self.inbox: deque[FromGuard] = deque()
        self.incarnation = ""
        self.asked = BootTime(0)
        """When the newest renewal was heard."""
        self.due: BootTime | None = None
        """When a lease that was asked for may be granted."""
        self.news = True
        self.closed = False
        self.connection: Connection


class Observer(Protocol):
    """Who is told what a replica does."""

    def granted(self, stream: Stream, message: FromAuthority) -> None:
        """Something was said on a stream: a lease, maybe."""

    def committed(self, replica: "Replica", committed: Committed) -> None:
        """Something was committed."""

    def heard(self, replica: "Replica", incarnation: str, applied: Revision | None) -> None:
        """A member has applied something, or (None) has left."""


class Replica:
    """One run of one authority process."""

    barriers_class: type[Barriers] = Barriers
    following_class: type[Following] = Following

    def __init__(self, database: Database, machine: Machine, observer: Observer) -> None:
        self.database = database
        self.machine = machine
        self.clock = ProcessClock(machine)
        self.dated = Dating(self.clock, (2 * next(_RUNS)).to_bytes)
        self.barriers = self.barriers_class()
        self.begun: set[int] = set()
        self.ended: dict[int, Barrier] = {}
        self.applied: dict[str, Revision] = {}
        self.news = News()
        self.renewals = Renewals()
        self.next_look = BootTime(self.clock.boot() + BOUND)
        self.streams: list[Stream] = []
        self.tasks: list[Task] = []
        self.paused = False
        self.slow = False
        self.shows: int | None = None
        """The revision at which its reads stand still; None: it reads the primary."""
        self.observer = observer
        self.answered: list[Revision] = []
        """The changes that were answered ENFORCED, until somebody takes them."""
        self.found: list[Found] = []
        """What somebody who asked again found, and was answered ENFORCED about, likewise."""

    # Life

    def start(self) -> None:
        """See `Enforcing.start`."""
        pending, members, head = self.database.pending(), list(self.database.members.values()), self.database.head()
        for number, commit_time in pending:
            self.raise_barrier(Revision(head.epoch, number), commit_time, members, self.clock.boot())

    def run(self) -> bool:
        """Let every task go on until it waits for news. Whether any did anything."""
        ran = False
        for task in tuple(self.tasks):
            while task in self.tasks and not self.step(task):
                ran = True
        return ran

    def step(self, task: Task) -> bool:
        """Let one task go on by one step. Whether it waits, or is over."""
        try:
            return next(task)
        except StopIteration:
            self.tasks.remove(task)
            return WAITS

    # A stream: `rpc.following`

    def accept(self, stream: Stream) -> None:
        """A guard has opened a stream."""
        self.streams.append(stream)
        self.tasks.append(self.follow(stream))

    def follow(self, stream: Stream) -> Task:
        """See `_Stream.answer`."""
        following = self.following_class()
        while True:
            while not stream.news:
                yield WAITS
            stream.news = False
            over = stream.closed
            try:
                while stream.inbox:
                    yield from self.take(stream, following, stream.inbox.popleft())
            except InvalidArgument:  # what it was told does not fit: the stream ends with that
                break
            if following.gone:
                break
            if following.hello is not None:
                yield from self.turn(stream, following)
            if following.owes:
                stream.news = True
            elif over:
                break
        stream.connection.authority_there = False
        self.streams.remove(stream)

    def turn(self, stream: Stream, following: Following) -> Task:
        """The member's row first, then the head that the lease names."""
        assert following.hello is not None
        grant = self.grants(stream, following)
        if not grant and not following.owes_snapshots:
            since = None if following.told is None else self.news.since(following.told)
            if since is not None and not following.concerned(since.subjects):
                stream.connection.down.extend(following.passed(since.head))
                return
        if grant:
            yield from self.granting(following.hello.incarnation, following.hello.service)
        committed = self.committed()
        yield STEPS
        for said in following.turn(self.view(), committed=committed, grant=grant):
            message = self.dated(said, stream.asked)
            stream.connection.down.append(message)
            self.observer.granted(stream, message)

    def grants(self, stream: Stream, following: Following) -> bool:
        """Whether the lease that is asked for is granted now; one that has to wait is looked at again when it is due."""
        if not following.asks_for_a_lease:
            return False
        now = self.clock.boot()
        wait = self.renewals.wait(stream.incarnation, now)
        stream.due = BootTime(now + wait) if wait else None
        return not wait

    def committed(self) -> Revision | None:
        """The head as the primary has it; None when that is what is read anyway."""
        return None if self.shows is None else self.database.head()

    def view(self) -> View:
        """What this replica's reads show now."""
        history = self.database.history
        return view(history, history.head if self.shows is None else min(self.shows, history.head), self.clock.now())

    def take(self, stream: Stream, following: Following, message: FromGuard) -> Task:
        """See `_Stream._taken`."""
        if isinstance(message, Renewal):
            stream.asked = self.clock.boot()
        following.received(message)
        assert following.hello is not None
        incarnation = following.hello.incarnation
        match message:
            case Hello():
                stream.incarnation = incarnation
            case Acknowledgement():
                self.acknowledged(incarnation, message.revision)
            case Farewell():
                yield STEPS
                self.database.leave(incarnation)
                yield STEPS
                self.applied.pop(incarnation, None)
                while self.begun:
                    yield WAITS
                self.end(self.barriers.left(incarnation, wall=self.clock.now()))
                self.observer.heard(self, incarnation, None)
            case _:
                pass

    # Members and barriers: `Enforcing`

    def granting(self, incarnation: str, service: str) -> Task:
        """See `Enforcing.granting`."""
        self.renewals.granted(incarnation, self.clock.boot())
        applied, wall = self.applied.get(incarnation), self.clock.now()
        yield STEPS
        self.database.grant(incarnation, service, applied, wall)
        yield STEPS

    def acknowledged(self, incarnation: str, applied: Revision) -> None:
        """See `Enforcing.acknowledged`."""
        self.applied[incarnation] = applied
        self.end(self.barriers.acknowledged(incarnation, applied, wall=self.clock.now()))
        self.observer.heard(self, incarnation, applied)

    def hears(self, incarnation: str, applied: Revision | None) -> Task:
        """Another replica passes on what a member said to it, some time later."""
        yield STEPS
        if applied is None:
            self.end(self.barriers.left(incarnation, wall=self.clock.now()))
        else:
            self.end(self.barriers.acknowledged(incarnation, applied, wall=self.clock.now()))

    def members(self) -> Sequence[Member]:
        """All members, with what this replica has heard from them."""
        return [self._newest(member) for member in self.database.members.values()]

    def _newest(self, member: Member) -> Member:
        applied = self.applied.get(member.incarnation, member.applied)
        return Member(member.incarnation, member.service, member.join_time, member.leases, applied)

    def commit(self, changed: Mapping[str, Fact]) -> None:
        """Something is changed through this replica: commit it, and see to it that it is enforced."""
        committed = self.database.commit(changed, self.clock.now())
        self.observer.committed(self, committed)
        if committed.narrowing:
            self.begun.add(committed.revision.number)
            self.tasks.append(self.begin(committed))

    def begin(self, committed: Committed) -> Task:
        """See `Enforcing._begin`."""
        since = self.clock.boot()
        yield STEPS
        members = self.members()
        yield STEPS
        self.begun.remove(committed.revision.number)
        self.raise_barrier(committed.revision, committed.commit_time, members, since)

    def raise_barrier(self, revision: Revision, commit_time: Instant, members: Sequence[Member], since: BootTime) -> None:
        """See `Enforcing._raise_barrier`."""
        now, wall = self.clock.boot(), self.clock.now()
        _, ended = self.barriers.begin(revision, commit_time, members, committed=since, now=now, wall=wall)
        self.end(ended)

    def end(self, ended: Ended) -> None:
        """See `Enforcing._end`."""
        for barrier in ended.barriers:
            self.ended[barrier.revision.number] = barrier
        if ended.barriers or ended.expired:
            for member in ended.expired:
                self.applied.pop(member.incarnation, None)
            self.tasks.append(self.keep(ended))

    def keep(self, ended: Ended) -> Task:
        """See `Enforcing._keep`."""
        yield STEPS
        self.database.close_receipts(ended.barriers)
        self.database.expire(ended.expired)
        yield STEPS
        for barrier in ended.barriers:
            del self.ended[barrier.revision.number]
            self.answered.append(barrier.revision)

    def receipt(self, number: int) -> Instant | None:
        """When a change was enforced, as `GetEnforcement` would say now; None: it is pending."""
        return self.database.receipts[number].enforce_time  # pending until it is kept there, however far the barrier is

    def asked_again(self, subject: str, field: str) -> Task:
        """Somebody wants what is so already, and waits. See `Store._run` and `Enforcing.enforce`."""
        yield STEPS
        number, history = self.number_of(subject, field), self.database.history
        found = Found(history, subject, history.began(subject, field))
        yield STEPS
        while number in self.database.receipts and self.receipt(number) is None:
            yield WAITS
        self.found.append(found)

    def number_of(self, subject: str, field: str) -> int | None:
        """Which change they are answered about."""
        return self.database.number_of(subject, field)

    def look(self) -> Task:
        """See `Enforcing._look_for_silent_ones`."""
        yield STEPS
        members = self.members()
        yield STEPS
        connected = {stream.incarnation for stream in self.streams}
        silent = [member for member in members if member.incarnation not in connected]
        self.barriers.watch(silent, now=self.clock.boot())

    def tick(self) -> None:
        """Time has passed."""
        self.end(self.barriers.tick(now=self.clock.boot(), wall=self.clock.now()))

    def wake(self) -> None:
        """Something was committed, or there is something new to be seen."""
        for stream in self.streams:
            stream.news = True


__all__ = ["Instant", "Replica", "Stream"]
