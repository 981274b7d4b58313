"""Barriers where they meet the database: what happens while a read is under way."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.ports import Commit, View
from consentry_authority.enforcement.barriers import Member, PointState, Speaker
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.limits import Newcomers
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.runner import EnforcementRunner
from consentry_authority.storage.enforcement.records import SqlEnforcementRecords
from consentry_authority.storage.store import SqlStore
from consentry_core.protocol.follow import BOUND_SECONDS, Farewell, FromAuthority, Hello, Renewal, Revision
from consentry_core.values.clock import BootTime
from support.stores import ACME, NORTH, open_store


class HeldReads(SqlEnforcementRecords):
    """Real records; the members that were read arrive when the test lets them."""

    def __init__(self, store: SqlStore) -> None:
        super().__init__(store)
        self.was_read = asyncio.Event()
        self.arrives = asyncio.Event()

    async def members(self) -> Sequence[Member]:
        """See `EnforcementRecords.members`."""
        answer = await super().members()
        self.was_read.set()
        await self.arrives.wait()
        return answer


class _Stream:
    """A stream of a guard that has said hello."""

    def __init__(self) -> None:
        self.following = Following()
        self.speaker = Speaker("leaving-0123456789", "devices", "tokens/devices")
        self.following.received(Hello(self.speaker.incarnation, self.speaker.service))

    def concerned(self, subjects: frozenset[str]) -> bool:
        """See `Stream.concerned`."""
        return True

    def read(self, view: View, *, committed: Revision | None, grant: bool) -> Sequence[FromAuthority]:
        """See `Stream.read`."""
        return self.following.turn(view, committed=committed, grant=grant)

    def wake_in(self, duration: int) -> None:
        """See `Stream.wake_in`."""

    def replaced(self) -> None:
        """See `Stream.replaced`."""


async def test_a_farewell_while_a_barrier_reads_its_members_is_not_missed(tmp_path: Path) -> None:
    """It was a member when the members were read. What it will never say again must not be waited for until the bound."""
    with open_store(tmp_path) as under_test:
        under_test.partner(ACME)
        under_test.valid_customer(NORTH, ACME)
        records, leaver = HeldReads(under_test.store), _Stream()
        enforcement = EnforcementRunner(under_test.store, records, under_test.clock, News(), Newcomers(200), members=200)
        leaver.following.received(Renewal(BootTime(1)))
        await enforcement.turn(leaver)
        committed = under_test.do(lambda transaction: revoke_consent(transaction, NORTH, ACME))
        enforcement.coordinator.committed(committed)
        await records.was_read.wait()
        leaving = asyncio.create_task(enforcement.taken(leaver, Farewell()))
        while await SqlEnforcementRecords(under_test.store).members():
            pass
        records.arrives.set()
        await leaving
        receipt = await enforcement.enforce(committed, None)
        assert [point.state for point in receipt.points] == [PointState.LEFT]
        await enforcement.stop()


class _BusyFor:
    """A listener that takes a while on the event loop."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait

    def committed(self, _: Commit) -> None:
        self._wait()

    def missed(self) -> None:
        pass


async def test_a_barrier_counts_from_its_commit_however_late_the_event_loop_hears_of_it(tmp_path: Path) -> None:
    """The bound is one on the time since the commit: what a busy event loop adds is not added to it."""
    with open_store(tmp_path) as under_test:
        under_test.partner(ACME)
        under_test.valid_customer(NORTH, ACME)
        store, clock = under_test.store, under_test.clock
        records, silent = SqlEnforcementRecords(store), _Stream()
        enforcement = EnforcementRunner(store, records, clock, News(), Newcomers(200), members=200)
        silent.following.received(Renewal(BootTime(1)))
        await enforcement.turn(silent)
        at = clock.boot()
        under_test.storage.commits.subscribe(_BusyFor(lambda: clock.advance(BOUND_SECONDS)))
        under_test.storage.commits.subscribe(enforcement.coordinator)
        committed = await store.write(lambda transaction: revoke_consent(transaction, NORTH, ACME))
        assert committed.since == at
        async with asyncio.timeout(1):
            receipt = await enforcement.enforce(committed, None)
        assert [point.state for point in receipt.points] == [PointState.EXPIRED]
        await enforcement.stop()
