"""The authority's process: carries out what the shipped `Coordinator` says, on a simulated database, one step at a time.

It has no order of its own: that is in the coordinator's flows. What they await yields here: between any two steps anything can
happen.
"""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, TypeAlias

from consentry_authority.commands.ports import View
from consentry_authority.enforcement.barriers import BOUND, Receipt, Speaker
from consentry_authority.enforcement.coordinator import Coordinator
from consentry_authority.enforcement.dating import Dating
from consentry_authority.enforcement.flows import (
    Action,
    DropMembers,
    Flow,
    KeepReceipts,
    ReadHead,
    ReadMembers,
    ReadPending,
    ReadReceipt,
    ReadTurn,
    WaitFor,
    WriteMember,
)
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.limits import MEMBERS_PER_TOKEN, Fleets
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.ports import Claim, Grant, Leave, Pending
from consentry_core.protocol.follow import Acknowledgement, Farewell, FromAuthority, FromGuard, Renewal, Revision
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import InvalidArgument
from consentry_rule import Instant
from model.database import Committed, Database, view
from model.history import Fact, History
from model.machines import Connection, Machine, ProcessClock

WAITS, STEPS = True, False
"""What a task yields: it waits for something; or it awaits something that takes no longer than it takes."""

Task: TypeAlias = Iterator[bool]
_RUNS = count(1)


@dataclass(frozen=True)
class Found:
    """What was so when somebody asked for it, and (in truth) since which change."""

    history: History
    subject: str
    began: int


class Stream:
    """The authority's end of one connection. See `enforcement.flows.Stream`."""

    def __init__(self) -> None:
        self.inbox: deque[FromGuard] = deque()
        self.asked = BootTime(0)
        """When the newest renewal was heard."""
        self.due: BootTime | None = None
        """When a lease that was asked for may be granted."""
        self.news = True
        self.closed = False
        self.over = False
        self.connection: Connection
        self.following: Following
        self.clock: ProcessClock

    @property
    def speaker(self) -> Speaker:
        hello = self.following.hello
        return Speaker("", "", "") if hello is None else Speaker(hello.incarnation, hello.service, "tokens/devices")

    def concerned(self, subjects: frozenset[str]) -> bool:
        return False

    def read(self, view: View, *, committed: Revision | None, grant: bool) -> Sequence[FromAuthority]:
        return list(self.following.turn(view, committed=committed, grant=grant))

    def wake_in(self, duration: int) -> None:
        self.due = BootTime(self.clock.boot() + duration)

    def replaced(self) -> None:
        self.over = self.news = True


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

    coordinator_class: type[Coordinator] = Coordinator
    following_class: type[Following] = Following

    def __init__(self, database: Database, machine: Machine, observer: Observer) -> None:
        self.database = database
        self.machine = machine
        self.clock = ProcessClock(machine)
        self.dated = Dating(self.clock, (2 * next(_RUNS)).to_bytes)
        self.news = News()
        self.coordinator = self.coordinator_class(self.clock, self.news, Fleets(MEMBERS_PER_TOKEN), self._start)
        self.next_look = BootTime(self.clock.boot() + BOUND)
        self.streams: list[Stream] = []
        self.tasks: list[Task] = []
        self.callers: list[Task] = []
        """Those who wait for a receipt; what they wait for happens in the tasks."""
        self.paused = False
        self.slow = False
        self.shows: int | None = None
        """The revision at which its reads stand still; None: it reads the primary."""
        self.observer = observer
        self.answered: list[Revision] = []
        """The changes that were answered ENFORCED, until somebody takes them."""
        self.found: list[Found] = []
        """What somebody who asked again found, and was answered ENFORCED about, likewise."""

    # Flows

    def carried(self, flow: Flow[Any]) -> Generator[bool, None, Any]:
        """Carry out what a flow says; what it returns."""
        try:
            action = next(flow)
            while True:
                result = None
                if isinstance(action, WaitFor):
                    while not action.milestone.reached:
                        yield WAITS
                else:
                    yield STEPS
                    result = self.perform(action)
                    yield STEPS
                action = flow.send(result)
        except StopIteration as over:
            return over.value

    def perform(self, action: Action) -> Any:
        """Do it to the database as it is now."""
        database = self.database
        match action:
            case WriteMember(Grant(speaker, applied, time)):
                database.grant(speaker.incarnation, speaker.service, applied, time)
            case WriteMember(Leave(speaker, _)):
                database.leave(speaker.incarnation)
            case WriteMember(Claim()):
                pass  # whose an incarnation is: nobody here says that it is another's
            case ReadMembers():
                return list(database.members.values())
            case ReadHead():
                return None if self.shows is None else database.head()
            case ReadTurn(stream, committed, grant):
                return stream.read(self.view(), committed=committed, grant=grant)
            case ReadPending():
                return Pending(database.pending(), list(database.members.values()), database.head())
            case ReadReceipt(revision):
                row = database.receipts.get(revision.number)
                return None if row is None else (Receipt(revision, row.commit_time, row.enforce_time), "")
            case KeepReceipts(barriers):
                database.close_receipts(barriers)
            case DropMembers(silent):
                return database.expire(silent)
            case WaitFor():
                raise AssertionError("nothing is done to the database")
        return None

    def view(self) -> View:
        """What this replica's reads show now."""
        history = self.database.history
        return view(history, history.head if self.shows is None else min(self.shows, history.head), self.clock.now())

    def _start(self, flow: Flow[None]) -> None:
        self.tasks.append(self.carried(flow))

    # Life

    def start(self) -> None:
        """It begins to run; somebody waits for each change that was pending."""
        pending = self.database.pending()
        for _ in self.carried(self.coordinator.resume()):
            pass
        for number, commit_time in pending:
            self.callers.append(self.call(Committed(Revision(self.database.head().epoch, number), commit_time, True)))

    def run(self) -> bool:
        """Let every task go on until it waits for something. Whether any did anything."""
        ran = False
        for task in tuple(self.tasks):
            while task in self.tasks and not self.step(task):
                ran = True
        return ran

    def step(self, task: Task) -> bool:
        """Let one task go on by one step. Whether it waits, or is over."""
        waits = _step(task, self.tasks)
        for caller in tuple(self.callers):
            while caller in self.callers and not _step(caller, self.callers):
                pass
        return waits

    # Streams

    def accept(self, stream: Stream) -> None:
        """A guard has opened a stream."""
        stream.clock, stream.following = self.clock, self.following_class()
        self.streams.append(stream)
        self.tasks.append(self.follow(stream))

    def follow(self, stream: Stream) -> Task:
        """Take what was said, and say what is to be said, by turns."""
        following = stream.following
        while not stream.over:
            while not stream.news:
                yield WAITS
            stream.news = False
            over = stream.closed
            try:
                while stream.inbox and not stream.over:
                    yield from self.take(stream, stream.inbox.popleft())
            except InvalidArgument:  # what it was told does not fit: the stream ends with that
                break
            if following.gone or stream.over:
                break
            if following.hello is not None:
                for said in (yield from self.carried(self.coordinator.turn(stream))):
                    message = self.dated(said, stream.asked)
                    stream.connection.down.append(message)
                    self.observer.granted(stream, message)
            if following.owes:
                stream.news = True
            elif over:
                break
        stream.connection.authority_there = False
        self.streams.remove(stream)
        if following.hello is not None:
            self.coordinator.closed(stream)

    def take(self, stream: Stream, message: FromGuard) -> Task:
        """A guard said something."""
        if isinstance(message, Renewal):
            stream.asked = self.clock.boot()
        stream.following.received(message)
        yield from self.carried(self.coordinator.taken(stream, message))
        if isinstance(message, Acknowledgement):
            self.observer.heard(self, stream.speaker.incarnation, message.revision)
        elif isinstance(message, Farewell):
            self.observer.heard(self, stream.speaker.incarnation, None)

    def hears(self, incarnation: str, applied: Revision | None) -> Task:
        """Another replica passes on what a member said to it, some time later."""
        yield STEPS
        self.coordinator.heard(incarnation, applied)

    # Changes

    def commit(self, changed: Mapping[str, Fact]) -> None:
        """Something is changed through this replica: commit it, tell of it, and wait for its receipt."""
        committed = self.database.commit(changed, self.clock.now())
        self.observer.committed(self, committed)
        self.coordinator.committed(committed)
        self.callers.append(self.call(committed))

    def call(self, change: Committed) -> Task:
        """Whoever has changed something waits for it to be enforced."""
        if change.narrowing:
            receipt = yield from self.carried(self.coordinator.enforce(change, None))
            if receipt.enforce_time is not None:
                self.answered.append(change.revision)

    def receipt(self, number: int) -> Instant | None:
        """When a change was enforced, as `GetEnforcement` would say now; None: it is pending."""
        return self.database.receipts[number].enforce_time  # pending until it is kept there, however far the barrier is

    def asked_again(self, subject: str, field: str) -> Task:
        """Somebody wants what is so already, and waits."""
        yield STEPS
        number, history = self.number_of(subject, field), self.database.history
        found = Found(history, subject, history.began(subject, field))
        yield STEPS
        if number is not None and number in self.database.receipts:
            change = Committed(Revision(history.epoch, number), self.database.receipts[number].commit_time, narrowing=True)
            receipt = yield from self.carried(self.coordinator.enforce(change, None))
            if receipt.enforce_time is None:
                return
        self.found.append(found)

    def number_of(self, subject: str, field: str) -> int | None:
        """Which change they are answered about."""
        return self.database.number_of(subject, field)

    # Time

    def look(self) -> Task:
        """It is time to look for silent members."""
        return self.carried(self.coordinator.look())

    def tick(self) -> None:
        """Time has passed."""
        self.coordinator.tick()

    def wake(self) -> None:
        """Something was committed, or there is something new to be seen."""
        for stream in self.streams:
            stream.news = True


def _step(task: Task, tasks: list[Task]) -> bool:
    try:
        return next(task)
    except StopIteration:
        tasks.remove(task)
        return WAITS


__all__ = ["Instant", "Replica", "Stream"]
