"""Barriers under way: where the authority's side of enforcement meets the database, the clock and those who wait."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Barrier, Barriers, Ended, Member, Receipt, Speaker
from consentry_authority.storage import accesses
from consentry_authority.storage import enforcement as rows
from consentry_authority.storage.facts import SqlFacts
from consentry_authority.storage.store import Committed, Store
from consentry_core.clock import SECOND, BootTime, Clock
from consentry_core.follow import Revision
from consentry_rule import Instant

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PointStatus:
    """An enforcement point as operators see it. `lease_age` in nanoseconds; None when this authority granted it none."""

    member: Member
    connected: bool
    lease_age: int | None
    owed: tuple[Revision, ...]


class Enforcing:
    """The members and barriers of this authority."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._barriers = Barriers()
        # By number, from the commit until the receipt is written.
        self._begun: dict[int, asyncio.Task[Barrier]] = {}
        self._ended: dict[int, Barrier] = {}
        self._kept: dict[int, asyncio.Event] = {}
        self._streams: dict[str, int] = {}
        self._granted: dict[str, BootTime] = {}
        self._applied: dict[str, Revision] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take up what was pending when the authority went down, and hold it to the same bound from now on."""
        pending, members, head = await self._store.read_aside(_pending)
        for number, commit_time in pending:
            self._raise_barrier(Revision(head.epoch, number), commit_time, members, self._clock.boot())

    async def stop(self) -> None:
        """Stop waiting; what is pending is taken up at the next start."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._begun.values(), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Members

    async def connected(self, speaker: Speaker) -> None:
        """A stream of a member was opened. PermissionDenied when the member is another token's.

        Everything else that is said on the stream is said for this member, so nobody else's token can say it.
        """
        wall = self._clock.now()
        await self._store.write_aside(lambda connection: accesses.claim(connection, speaker, wall), urgent=True)
        self._streams[speaker.incarnation] = self._streams.get(speaker.incarnation, 0) + 1

    def disconnected(self, incarnation: str) -> None:
        """A stream of a member has ended. It may hold a lease all the same."""
        self._streams[incarnation] -= 1
        if self._streams[incarnation] == 0:
            del self._streams[incarnation]

    async def granting(self, speaker: Speaker) -> None:
        """A lease is about to be granted: write the member's row first."""
        applied, wall = self._applied.get(speaker.incarnation), self._clock.now()
        await self._store.write_aside(lambda connection: rows.grant(connection, speaker, applied, wall), urgent=True)
        self._granted[speaker.incarnation] = self._clock.boot()

    def acknowledged(self, incarnation: str, applied: Revision) -> None:
        """A member has applied everything up to a revision."""
        self._applied[incarnation] = applied
        self._end(self._barriers.acknowledged(incarnation, applied, wall=self._clock.now()))

    async def left(self, incarnation: str) -> None:
        """A member has given its lease back."""
        wall = self._clock.now()
        await self._store.write_aside(lambda connection: rows.leave(connection, incarnation, wall), urgent=True)
        self._applied.pop(incarnation, None)
        self._granted.pop(incarnation, None)
        if self._begun:  # one that was just reading its members may have read this one, and would wait for it in vain
            await asyncio.wait(self._begun.values())
        self._end(self._barriers.left(incarnation, wall=self._clock.now()))

    async def points(self) -> Sequence[PointStatus]:
        """All members, by incarnation."""
        members = await self._store.read_aside(rows.members)
        now = self._clock.boot()
        return [
            PointStatus(
                member,
                member.incarnation in self._streams,
                now - self._granted[member.incarnation] if member.incarnation in self._granted else None,
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
            self._begin_once(committed.revision, committed.commit_time)

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
        """The receipts of those of these changes that took something away, as they were last kept."""
        found = await self._store.read_aside(lambda connection: rows.receipts(connection, epoch, numbers))
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

    def _begin_once(self, revision: Revision, commit_time: Instant) -> asyncio.Task[Barrier]:
        begun = self._begun.get(revision.number)
        if begun is None:
            begun = self._begun[revision.number] = asyncio.create_task(self._begin(revision, commit_time))
            begun.add_done_callback(partial(self._begin_failed, revision.number))
        return begun

    def _begin_failed(self, number: int, begun: asyncio.Task[Barrier]) -> None:
        if begun.cancelled() or begun.exception() is not None:
            del self._begun[number]  # whoever asks next tries again

    async def _begin(self, revision: Revision, commit_time: Instant) -> Barrier:
        # Read after the commit: whoever is not among them reads a head that includes it.
        since = self._clock.boot()
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
        if ended.barriers or ended.expired:
            for member in ended.expired:
                _log.warning("enforcement point did not acknowledge; its lease has ended incarnation=%s", member.incarnation)
                self._applied.pop(member.incarnation, None)
            self._keep(ended)

    def _keep(self, ended: Ended) -> None:
        def write(connection: sa.Connection) -> None:
            rows.close_receipts(connection, ended.barriers)
            rows.expire(connection, ended.expired)

        async def keep() -> None:
            try:
                await self._store.write_aside(write, urgent=True)
            except Exception:  # noqa: BLE001 - the change is enforced; its receipt is written after the next start
                _log.exception("receipts could not be kept")
                for barrier in ended.barriers:
                    barrier.enforce_time = None  # until then it is pending
            for barrier in ended.barriers:
                number = barrier.revision.number
                self._begun.pop(number, None)
                del self._ended[number]
                self._kept.pop(number).set()

        task = asyncio.create_task(keep())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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


def _pending(connection: sa.Connection) -> tuple[Iterable[tuple[int, Any]], Sequence[Member], Revision]:
    return rows.pending(connection), rows.members(connection), SqlFacts(connection).head()
