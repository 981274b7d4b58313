"""Barriers where they meet the database: what happens while a read is under way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from consentry_authority.commands.revoke_consent import revoke_consent
from consentry_authority.enforcement.barriers import PointState, Speaker
from consentry_authority.enforcing import Enforcing
from consentry_authority.storage import enforcement as rows
from consentry_authority.storage.store import Store
from consentry_core.follow import BOUND_SECONDS
from support.clocks import FakeClock
from support.stores import ACME, AUDIT_KEYS, NORTH, open_store

_T = TypeVar("_T")


class HeldReads(Store):
    """A real store; an answer that was read arrives when the test lets it."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        super().__init__(store._database, clock, AUDIT_KEYS)
        self.was_read = asyncio.Event()
        self.arrives = asyncio.Event()

    async def read_aside(self, question: Callable[[sa.Connection], _T]) -> _T:
        """See `Store.read_aside`."""
        answer = await super().read_aside(question)
        self.was_read.set()
        await self.arrives.wait()
        return answer


async def test_a_farewell_while_a_barrier_reads_its_members_is_not_missed(tmp_path: Path) -> None:
    """It was a member when the members were read. What it will never say again must not be waited for until the bound."""
    with open_store(tmp_path) as under_test:
        under_test.partner(ACME)
        under_test.valid_customer(NORTH, ACME)
        store = HeldReads(under_test.store, under_test.clock)
        enforcing = Enforcing(store, under_test.clock)
        leaver = Speaker("leaving-0123456789", "devices", "tokens/devices")
        await enforcing.granting(leaver)
        committed = under_test.do(lambda transaction: revoke_consent(transaction, NORTH, ACME))
        enforcing.committed(committed)
        await store.was_read.wait()
        leaving = asyncio.create_task(enforcing.left(leaver))
        while await under_test.store.read_aside(rows.members):
            pass
        store.arrives.set()
        await leaving
        receipt = await enforcing.enforce(committed, None)
        assert [point.state for point in receipt.points] == [PointState.LEFT]
        await enforcing.stop()


async def test_a_barrier_counts_from_its_commit_however_late_the_event_loop_hears_of_it(tmp_path: Path) -> None:
    """The bound is one on the time since the commit: what a busy event loop adds is not added to it."""
    with open_store(tmp_path) as under_test:
        under_test.partner(ACME)
        under_test.valid_customer(NORTH, ACME)
        store, clock = under_test.store, under_test.clock
        enforcing = Enforcing(store, clock)
        await enforcing.granting(Speaker("silent-0123456789", "devices", "tokens/devices"))
        at = clock.boot()
        store.on_commit(lambda _: clock.advance(BOUND_SECONDS))  # it was busy for so long
        store.on_commit(enforcing.committed)
        committed = await store.write(lambda transaction: revoke_consent(transaction, NORTH, ACME))
        assert committed.since == at
        async with asyncio.timeout(1):
            receipt = await enforcing.enforce(committed, None)
        assert [point.state for point in receipt.points] == [PointState.EXPIRED]
        await enforcing.stop()
