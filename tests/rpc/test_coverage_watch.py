"""WatchCoverage: what is told to who comes back, and to who waits while others are busy."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consentry.authority.v1 import coverage_pb2
from consentry_core.rpc.client import bearer
from support.authority import RunningAuthority, running_authority
from support.clocks import FakeClock

PATIENCE = 10.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    """An authority with partner acme and its valid customer north."""
    async with running_authority(tmp_path, clock=clock) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def until(call: Any, event: str) -> list[coverage_pb2.WatchCoverageResponse]:
    """What is told, up to and with the first event of this kind."""
    told: list[coverage_pb2.WatchCoverageResponse] = []
    while not (told and told[-1].WhichOneof("event") == event):
        told.append(await asyncio.wait_for(call.read(), PATIENCE))
    return told


def watch(authority: RunningAuthority, secret: str, after: str = "") -> Any:
    request = coverage_pb2.WatchCoverageRequest(after_revision=after)
    return authority.coverage.WatchCoverage(request, metadata=bearer(secret))


async def test_heartbeats_come_however_much_happens_to_others(authority: RunningAuthority, clock: FakeClock) -> None:
    """And with them a revision to come back after that lies behind all of it."""
    key = await authority.key("acme")
    call = watch(authority, key.secret)
    synced = (await until(call, "synced"))[-1]
    await authority.partner("other")
    await authority.customer("stranger")
    clock.advance(10)
    await authority.connect("other", "stranger")
    clock.advance(10)
    await authority.consent("stranger", "other")
    (heartbeat,) = await until(call, "heartbeat")
    assert heartbeat.revision != synced.revision
    call.cancel()


async def test_who_comes_back_hears_nothing_of_a_customer_that_had_left_before(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    """Whether it still is there, and what it buys, is none of its former partner's business."""
    await authority.valid_customer("south", "acme")
    key = await authority.key("acme")
    await authority.disconnect("acme", "south")
    clock.advance(1)
    await authority.revoke("north", "acme")
    call = watch(authority, key.secret)
    after = (await until(call, "synced"))[-1].revision
    call.cancel()
    clock.advance(1)
    await authority.unsubscribe("south")
    await authority.consent("north", "acme")
    again = watch(authority, key.secret, after)
    told = await until(again, "synced")
    assert [event.covered.customer for event in told[:-1]] == ["customers/north"]
    again.cancel()
