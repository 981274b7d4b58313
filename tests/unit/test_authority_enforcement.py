"""Barriers where they meet the database: what happens while a read is under way."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.ports import View
from consentry_authority.enforcement.barriers import Member, PointState, Speaker
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.limits import Newcomers
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.runner import EnforcementRunner
from consentry_authority.storage.enforcement.records import SqlEnforcementRecords
from consentry_authority.storage.store import SqlStore
from consentry_core.protocol.follow import Farewell, FromAuthority, Hello, Renewal, Revision
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
