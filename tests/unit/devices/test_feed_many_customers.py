"""Readers over very many customers: nothing that they do is one long step of the event loop, and what they hold is bounded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consentry_core.values.errors import ResourceExhausted
from consentry_devices.rpc.shares import Share, Shares
from consentry_devices.rpc.watch import shared
from consentry_rule import CustomerId, DataClass, Decision, Instant
from support.devices import RuleCall
from support.watched_feed import LIVE, WatchedFeed, watched_memory

CUSTOMERS = 1_500
_A_PIECE = 40  # asked, by the clock of this test


class Steps:
    """How often coverage was asked in each step of the event loop."""

    def __init__(self) -> None:
        self.asked = 0
        self.most = 0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            before = self.asked
            await asyncio.sleep(0)
            self.most = max(self.most, self.asked - before)


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_memory(tmp_path) as opened:
        for number in range(CUSTOMERS - 2):  # beside north and south
            opened.gate.consent(f"c{number:05}")
        yield opened


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Time passes by what is asked."""
    counted, decide = Steps(), RuleCall.decide

    def counting(call: RuleCall, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        counted.asked += 1
        return decide(call, customer, data_class, data_time)

    monkeypatch.setattr(RuleCall, "decide", counting)
    monkeypatch.setattr("time.perf_counter_ns", lambda: counted.asked * 2_000_000 // _A_PIECE)
    return counted


async def _read_all(feed: WatchedFeed, readers: int, **fields: Any) -> list[str]:
    watching = [feed.watch(**fields) for _ in range(readers)]
    await asyncio.gather(*(asyncio.wait_for(each.until("synced"), 60) for each in watching))
    return [each.cursor for each in watching]


async def test_no_start_is_one_long_step(feed: WatchedFeed, steps: Steps) -> None:
    """Nor is a return with a cursor, nor news of all customers, nor what several do at the same time."""
    ticking = asyncio.create_task(steps.watch())
    cursors = await _read_all(feed, 3, live=LIVE)
    watching = [feed.watch(after_cursor=cursor) for cursor in cursors]
    await asyncio.gather(*(asyncio.wait_for(each.until("synced"), 60) for each in watching))
    for number in range(CUSTOMERS - 2):
        feed.gate.revoke(f"c{number:05}")
    await asyncio.gather(*(asyncio.wait_for(each.until("customer_removed"), 60) for each in watching))
    ticking.cancel()
    assert steps.asked > 3 * 2 * CUSTOMERS
    assert steps.most < 3 * _A_PIECE, "in one step of the loop"


async def test_what_changes_while_a_start_is_decided_is_told(feed: WatchedFeed, steps: Steps) -> None:
    """Whoever was decided already, and whoever was not; and whoever comes back is told nothing twice."""
    watching = feed.watch(live=LIVE)
    reading = asyncio.create_task(watching.until("synced"))
    while steps.asked < CUSTOMERS:  # noqa: ASYNC110 - half-way, counted in what was asked
        await asyncio.sleep(0)
    feed.gate.revoke("c00000")
    feed.gate.revoke("south")
    await asyncio.wait_for(reading, 60)
    added = [each.customer_added.customer for each in watching.received if each.HasField("customer_added")]
    removed = [each.customer_removed.customer for each in watching.received if each.HasField("customer_removed")]
    assert len(added) == CUSTOMERS - 2, "c00000 was decided, and not covered any more when it was to be told"
    assert removed == []
    assert (await feed.pull(watching.cursor)).events() == ["synced"]


async def test_a_key_watches_so_many_customers_with_all_its_streams(feed: WatchedFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_CUSTOMERS_PER_KEY", 2 * CUSTOMERS)
    feed.restart()
    watching = [feed.watch(live=LIVE) for _ in range(3)]
    for each in watching[:2]:
        await each.until("synced")
    with pytest.raises(ResourceExhausted) as refused:
        await watching[2].until("synced")
    assert refused.value.reason == "OPEN_CALLS_TOO_LARGE"
    await watching[0].end()
    again = feed.watch(live=LIVE)
    await again.until("synced")
    feed.gate.consent("one-more")
    with pytest.raises(ResourceExhausted):
        await again.until("customer_added")


def test_nobody_is_kept_out_by_what_others_hold() -> None:
    shares = Shares("things", per_lane=60, in_all=100, least=10)
    shares.take("a", 60)
    with Share(shares, "b") as share:
        share.hold(40)
        with pytest.raises(ResourceExhausted):
            share.hold(41)
        shares.take("c", 10)
        with pytest.raises(ResourceExhausted):
            shares.take("c", 1)
    shares.take("c", 30)
