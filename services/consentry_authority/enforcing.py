"""Barriers under way: where the authority's side of enforcement meets the database, the clock and those who wait."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import MOST_POINTS, Barrier, Barriers, Ended, Member, Receipt, Speaker
from consentry_authority.enforcement.limits import MEMBERS_PER_TOKEN, Fleets, Newcomers, Renewals
from consentry_authority.keeping import drop, keep_receipts
from consentry_authority.membership import Membership
from consentry_authority.storage import enforcement as rows
from consentry_authority.storage.facts import SqlFacts
from consentry_authority.storage.store import Committed, Store
from consentry_core.clock import SECOND, BootTime, Clock
from consentry_core.errors import Unavailable
from consentry_core.follow import BOUND_SECONDS, Revision
from consentry_rule import Instant

_POINTS_OF_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class PointStatus:
    """An enforcement point as operators see it. `lease_age` in nanoseconds; None when this authority granted it none."""

    member: Member
    connected: bool
    lease_age: int | None
    owed: tuple[Revision, ...]


class Enforcing:
    """The members and barriers of this authority. `members`: how many a token may have at once."""

    def __init__(
        self, store: Store, clock: Clock, *, members: int = MEMBERS_PER_TOKEN, newcomers: Newcomers | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self.fleets = Fleets(members)
        self._membership = Membership(store, clock, self.fleets, newcomers or Newcomers(members))
        self._barriers = Barriers()
        # By number, from the commit until the receipt is written.
        self._begun: dict[int, asyncio.Task[Barrier]] = {}
        self._ended: dict[int, Barrier] = {}
        self._kept: dict[int, asyncio.Event] = {}
        self._streams: dict[str, Callable[[], None]] = {}  # by incarnation: how to end its stream
        self._renewals = Renewals()
        self._applied: dict[str, Revision] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was pending when the authority went down, and hold it to the same bound from now on."""
        pending, members, head = await self._store.read_aside(_pending)
        for number, commit_time in pending:
            self._raise_barrier(Revision(head.epoch, number), commit_time, members, self._clock.boot())
        self._looking = asyncio.create_task(self._look_for_silent_ones())

    async def stop(self) -> None:
        """Stop waiting; what is pending is taken up at the next start."""
        if self._looking is not None:
            self._looking.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._begun.values(), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._membership.stop()

    # Members

    async def connected(self, speaker: Speaker, end: Callable[[], None]) -> Callable[[], None]:
        """A stream of a member was opened, which `end` ends. Returns what to call once it is over.

        Everything else that is said on the stream is said for this member, so nobody else's token can say it: PermissionDenied.
        ResourceExhausted when the token has too many. A member has one stream: one that it has here already, of a connection
        that nobody knows to be dead yet, is ended.
        """
        await self._membership.claim(speaker)
        incarnation = speaker.incarnation
        former = self._streams.get(incarnation)
        if former is None:
            self.fleets.join(speaker.token)
        self._streams[incarnation] = end
        if former is not None:
            former()
        return partial(self._disconnected, speaker, end)

    def _disconnected(self, speaker: Speaker, end: Callable[[], None]) -> None:
        """A stream of a member has ended. It may hold a lease all the same."""
        incarnation = speaker.incarnation
        if self._streams.get(incarnation) is not end:
            return  # another one has taken its place
        del self._streams[incarnation]
        self.fleets.part(speaker.token)
        if self._renewals.last(incarnation) is None:
            self._applied.pop(incarnation, None)

    def lease_wait(self, incarnation: str) -> float:
        """For how many seconds a member has to wait before it is granted its next lease."""
        return self._renewals.wait(incarnation, self._clock.boot()) / SECOND

    async def granting(self, speaker: Speaker) -> None:
        """A lease is about to be granted: write the member's row first. ResourceExhausted when the token has too many."""
        self._renewals.granted(speaker.incarnation, self._clock.boot())
        await self._membership.grant(speaker, self._applied.get(speaker.incarnation))

    def acknowledged(self, incarnation: str, applied: Revision) -> None:
        """A member has applied everything up to a revision."""
        self._applied[incarnation] = applied
        self._end(self._barriers.acknowledged(incarnation, applied, wall=self._clock.now()))

    async def left(self, speaker: Speaker) -> None:
        """A member has given its lease back."""
        await self._membership.leave(speaker)
        self._applied.pop(speaker.incarnation, None)
        if self._begun:  # one that was just reading its members may have read this one, and would wait for it in vain
            await asyncio.wait(self._begun.values())
        self._end(self._barriers.left(speaker.incarnation, wall=self._clock.now()))

    async def _look_for_silent_ones(self) -> None:
        """Members that have gone without a farewell would hold up the next barrier: see to it that they are dropped before."""
        while True:
            await asyncio.sleep(BOUND_SECONDS)
            try:
                members = await self._store.read_aside(rows.members)
            except Unavailable:
                continue
            silent = (member for member in members if member.incarnation not in self._streams)
            self._barriers.watch(silent, now=self._clock.boot())
            self._set_timer()

    async def points(self) -> Sequence[PointStatus]:
        """All members, by incarnation."""
        members = await self._store.read_aside(rows.members)
        now = self._clock.boot()
        return [
            PointStatus(
                member,
                member.incarnation in self._streams,
                _since(self._renewals.last(member.incarnation), now),
                tuple(self._barriers.owed(member.incarnation)),
            )
            for member in (self._newest(member) for member in members)
        ]

    def _newest(self, member: Member) -> Member:
        applied = self._applied.get(member.incarnation, member.applied)
        return Member(member.incarnation, member.service, member.join_time, member.leases, applied)

    # Barriers

    def committed(self, committed: Committed[Any]) -> None:
        """A change was committed: begin to enforce it, whether its caller waits or has gone."""
        if committed.narrowing:
            self._begin_once(committed.revision, committed.commit_time, committed.since)

    async def enforce(self, committed: Committed[Any], patience: float | None) -> Receipt:
        """The receipt of a change: waits for it to be enforced, at most `patience` seconds.

        A call that changed nothing gets that of the change that has brought about what it found. A change that took nothing
        away denies nothing that was not denied everywhere before it: it is enforced from its commit on.
        """
        receipt = await self._enforced(committed.revision, patience) if committed.narrowing else None
        return receipt or Receipt(committed.revision, committed.commit_time, committed.commit_time)

    async def last(self, epoch: str, subjects: Sequence[str]) -> Receipt | None:
        """The receipt, as it is now, of the last change that took something away from these subjects; None when none did."""
        number = await self._store.read_aside(lambda connection: rows.last_number(connection, subjects))
        if number is None:
            return None
        return await self._enforced(Revision(epoch, number), 0)

    async def _enforced(self, revision: Revision, patience: float | None) -> Receipt | None:
        """A change's receipt, waited for; None for one that took nothing away."""
        barrier = await self._barrier(revision.number)
        if barrier is None:
            found = await self._store.read_aside(lambda connection: rows.receipt(connection, revision))
            if found is None or found[0].enforce_time is not None:
                return None if found is None else found[0]
            # Pending, and not begun here: a reader of the database may see a commit before we are told of it.
            barrier = await asyncio.shield(self._begin_once(revision, found[0].commit_time))
        await self._wait(barrier, patience)
        return self._progress(barrier)

    async def receipt(self, revision: Revision) -> tuple[Receipt, str] | None:
        """A change's receipt as it is now, and whose change it was; None for one that is not on record."""
        receipt = await self._enforced(revision, 0)
        found = await self._store.read_aside(
            lambda connection: rows.receipt(connection, revision) or rows.change(connection, revision)
        )
        if receipt is None or found is None or found[0].enforce_time is not None:
            return found
        return receipt, found[1]

    async def receipts(self, epoch: str, numbers: Sequence[int]) -> Mapping[int, Receipt]:
        """The receipts of those of these changes that took something away, as they were last kept; few points of each."""
        most = min(_POINTS_OF_A_PAGE // max(len(numbers), 1), MOST_POINTS)
        found = await self._store.read_aside(lambda connection: rows.receipts(connection, epoch, numbers, most_points=most))
        return {number: receipt for number, (receipt, _) in found.items()}

    def _progress(self, barrier: Barrier) -> Receipt:
        """How far a barrier is. Pending until its receipt is kept: what was answered must not un-happen in a crash."""
        receipt = barrier.receipt()
        return replace(receipt, enforce_time=None) if barrier.revision.number in self._kept else receipt

    async def _barrier(self, number: int) -> Barrier | None:
        begun = self._begun.get(number)
        if begun is not None:  # committed, but its members may not have been read yet
            return await asyncio.shield(begun)
        return self._barriers.open(number) or self._ended.get(number)

    def _begin_once(self, revision: Revision, commit_time: Instant, since: BootTime | None = None) -> asyncio.Task[Barrier]:
        begun = self._begun.get(revision.number)
        if begun is None:
            begun = self._begun[revision.number] = asyncio.create_task(self._begin(revision, commit_time, since))
            begun.add_done_callback(partial(self._begin_failed, revision.number))
        return begun

    def _begin_failed(self, number: int, begun: asyncio.Task[Barrier]) -> None:
        if begun.cancelled() or begun.exception() is not None:
            del self._begun[number]  # whoever asks next tries again

    async def _begin(self, revision: Revision, commit_time: Instant, since: BootTime | None) -> Barrier:
        if since is None:
            since = self._clock.boot()
        # Read after the commit: whoever is not among them reads a head that includes it.
        members = [self._newest(member) for member in await self._store.read_aside(rows.members)]
        return self._raise_barrier(revision, commit_time, members, since)

    def _raise_barrier(self, revision: Revision, commit_time: Instant, members: Sequence[Member], since: BootTime) -> Barrier:
        self._kept[revision.number] = asyncio.Event()
        now, wall = self._clock.boot(), self._clock.now()
        barrier, ended = self._barriers.begin(revision, commit_time, members, committed=since, now=now, wall=wall)
        self._end(ended)
        self._set_timer()
        return barrier

    async def _wait(self, barrier: Barrier, patience: float | None) -> None:
        """Wait until the barrier has been enforced and its receipt is written: what was answered can be had again."""
        kept = self._kept.get(barrier.revision.number)
        if kept is None or patience == 0:
            return
        try:
            async with asyncio.timeout(patience):
                await kept.wait()
        except TimeoutError:
            return

    def _end(self, ended: Ended) -> None:
        for barrier in ended.barriers:
            self._ended[barrier.revision.number] = barrier
        for member in ended.expired:
            if member.incarnation not in self._streams:
                self._applied.pop(member.incarnation, None)
        if ended.barriers or ended.expired:
            task = asyncio.create_task(self._keep(ended))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _keep(self, ended: Ended) -> None:
        await keep_receipts(self._store, ended.barriers, self._is_kept)
        await drop(self._store, ended.expired)

    def _is_kept(self, barrier: Barrier) -> None:
        number = barrier.revision.number
        self._begun.pop(number, None)
        del self._ended[number]
        self._kept.pop(number).set()

    # Time

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._barriers.next_tick()
        if due is not None:
            wait = max(due - self._clock.boot(), 0) / SECOND
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._end(self._barriers.tick(now=self._clock.boot(), wall=self._clock.now()))
        self._set_timer()


def _since(granted: BootTime | None, now: BootTime) -> int | None:
    return None if granted is None else now - granted


def _pending(connection: sa.Connection) -> tuple[Iterable[tuple[int, Any]], Sequence[Member], Revision]:
    return rows.pending(connection), rows.members(connection), SqlFacts(connection).head()
