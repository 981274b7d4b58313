"""The authority's side of enforcement, without I/O: members, acknowledgements, barriers.

A change that takes access away is a barrier. It is enforced

1. when every member that is read *after* the commit has acknowledged the change or given its lease back, or
2. at the latest T(1+rho)+epsilon after the commit on this replica's own clock, whatever the members do.

Why 2 holds, and why nothing needs to be remembered for it: a lease names the committed head, which is read after the member's
row was written, and is usable only once that head has been applied, for T from when it was asked for. So a lease that is usable
later than T after a commit was granted after it, and its holder has applied it. Why 1 holds: a member that is not read after
the commit writes its row after it, and then reads a head that includes it.

No stored time is ever compared between machines: a member's row counts its leases, and a row whose count has not changed for
the length of a barrier, from when it was read, has no usable lease. That holds with no barrier too: whoever has gone silently
is dropped so (`watch`), and holds up no barrier that begins later.
"""

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from consentry_core.protocol.follow import BOUND_SECONDS, SLACK_SECONDS, Revision
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.encoding import base32
from consentry_rule import Instant

BOUND = round(BOUND_SECONDS * SECOND)

# How long a barrier waits for who does not answer: a quarter of the slack less than the bound, so that the waiter's own timer
# and answer come within it. (5.112 s were measured where 5.105 s are promised.)
_PATIENCE = BOUND - round(SLACK_SECONDS / 4 * SECOND)


MOST_POINTS = 100
"""So many enforcement points a receipt tells of one by one, those that did not acknowledge first; the others are counted."""

_NAME_BYTES = 10


class PointState(Enum):
    """How a change came to be enforced at one enforcement point; the values are kept in receipts."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    LEFT = "left"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something: an incarnation, which service it calls itself, and with which token, by name, it came."""

    incarnation: str
    service: str
    token: str


@dataclass(frozen=True, slots=True)
class Member:
    """An incarnation that was granted leases, as its row says. `leases` counts them."""

    incarnation: str
    service: str
    join_time: Instant
    leases: int
    applied: Revision | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """What one enforcement point did about one change."""

    incarnation: str
    service: str
    state: PointState = PointState.PENDING
    acknowledge_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far one change has been enforced. `enforce_time` None: not yet.

    `points` are some of them, at most `MOST_POINTS`; of all, there are so many, and so many of those have acknowledged.
    """

    revision: Revision
    commit_time: Instant
    enforce_time: Instant | None = None
    points: tuple[Point, ...] = ()
    point_count: int = 0
    acknowledged_count: int = 0


@dataclass(slots=True)
class Barrier:
    """One change on its way to being enforced. It `ends` whatever the members do; who was silent is dropped at `drops`."""

    revision: Revision
    commit_time: Instant
    ends: BootTime
    drops: BootTime
    points: dict[str, Point]
    waiting: dict[str, Member] = field(default_factory=dict)
    """Those whose acknowledgement is waited for, as they were read."""
    acknowledged: int = 0
    enforce_time: Instant | None = None

    def receipt(self) -> Receipt:
        """How far it is."""
        told = heapq.nsmallest(
            MOST_POINTS, self.points.values(), key=lambda point: (point.state is PointState.ACKNOWLEDGED, point.incarnation)
        )
        count = len(self.points)
        return Receipt(self.revision, self.commit_time, self.enforce_time, tuple(told), count, self.acknowledged)


@dataclass(frozen=True, slots=True)
class Ended:
    """Barriers that have just been enforced, and members that have no lease any more if they are still as they were read."""

    barriers: tuple[Barrier, ...] = ()
    expired: tuple[Member, ...] = ()


class Barriers:
    """The barriers of one replica that are under way. Every method takes the time and returns what has ended by it."""

    def __init__(self) -> None:
        self._open: dict[int, Barrier] = {}
        self._silent: list[tuple[BootTime, Member]] = []  # waited for to the end, and from when on they can be dropped

    def begin(
        self,
        revision: Revision,
        commit_time: Instant,
        members: Iterable[Member],
        *,
        committed: BootTime,
        now: BootTime,
        wall: Instant,
    ) -> tuple[Barrier, Ended]:
        """A change was committed, and then its members were read: `committed` is a moment between the two, `now` is after both.

        Reading can take long, and a member can be granted a lease meanwhile. The barrier need not wait for that one's end, for
        it names a head that includes the change; but the member's row must not be dropped before.
        """
        barrier = Barrier(revision, commit_time, BootTime(committed + _PATIENCE), BootTime(now + _PATIENCE), {})
        for member in members:
            barrier.points[member.incarnation] = Point(member.incarnation, member.service)
            barrier.waiting[member.incarnation] = member
        self._open[revision.number] = barrier
        for member in members:
            if member.applied is not None:
                self._acknowledge(barrier, member.incarnation, member.applied, wall)
        return barrier, self._ended(wall)

    def acknowledged(self, incarnation: str, applied: Revision, *, wall: Instant) -> Ended:
        """A member has applied everything up to a revision."""
        for barrier in self._open.values():
            self._acknowledge(barrier, incarnation, applied, wall)
        return self._ended(wall)

    def left(self, incarnation: str, *, wall: Instant) -> Ended:
        """A member has given its lease back."""
        for barrier in self._open.values():
            self._settle(barrier, incarnation, PointState.LEFT, None)
        return self._ended(wall)

    def watch(self, members: Iterable[Member], *, now: BootTime) -> None:
        """These were read just now, and nobody has a stream of theirs: dropped if they are granted nothing from now on."""
        watched = {_as_read(member) for _, member in self._silent}
        self._silent += [(BootTime(now + _PATIENCE), member) for member in members if _as_read(member) not in watched]

    def tick(self, *, now: BootTime, wall: Instant) -> Ended:
        """Time has passed."""
        for barrier in self._open.values():
            if now < barrier.ends:
                continue
            for incarnation, member in tuple(barrier.waiting.items()):
                self._silent.append((barrier.drops, member))
                self._settle(barrier, incarnation, PointState.EXPIRED, None)
        expired = {_as_read(member): member for drops, member in self._silent if now >= drops}
        self._silent = [(drops, member) for drops, member in self._silent if now < drops]
        return Ended(self._ended(wall).barriers, tuple(expired.values()))

    def next_tick(self) -> BootTime | None:
        """When `tick` is due, whatever happens."""
        ends = [barrier.ends for barrier in self._open.values()]
        return min(ends + [drops for drops, _ in self._silent], default=None)

    def owed(self, incarnation: str) -> Sequence[Revision]:
        """The changes that wait for a member's acknowledgement."""
        return [barrier.revision for barrier in self._open.values() if incarnation in barrier.waiting]

    def open(self, number: int) -> Barrier | None:
        """The barrier of a change, while it is under way."""
        return self._open.get(number)

    def _acknowledge(self, barrier: Barrier, incarnation: str, applied: Revision, wall: Instant) -> None:
        if applied.epoch == barrier.revision.epoch and applied.number >= barrier.revision.number:
            self._settle(barrier, incarnation, PointState.ACKNOWLEDGED, wall)

    @staticmethod
    def _settle(barrier: Barrier, incarnation: str, state: PointState, time: Instant | None) -> None:
        if barrier.waiting.pop(incarnation, None) is not None:
            point = barrier.points[incarnation]
            barrier.points[incarnation] = Point(point.incarnation, point.service, state, time)
            barrier.acknowledged += state is PointState.ACKNOWLEDGED

    def _ended(self, wall: Instant) -> Ended:
        ended = [barrier for barrier in self._open.values() if not barrier.waiting]
        for barrier in ended:
            barrier.enforce_time = wall
            del self._open[barrier.revision.number]
        return Ended(tuple(ended))


def _as_read(member: Member) -> tuple[str, Instant, int]:
    """What a row must still be like for its member to have been granted nothing."""
    return member.incarnation, member.join_time, member.leases


def point_name(incarnation: str) -> str:
    """The resource name of an enforcement point.

    Told to whoever may see a receipt, so it is made of the incarnation's own name and does not tell that: a service that knew
    another's could say hello with it, and acknowledge or leave in its place.
    """
    digest = hashlib.sha256(b"consentry enforcement point " + incarnation.encode()).digest()
    return f"enforcementPoints/{base32(digest[:_NAME_BYTES])}"
