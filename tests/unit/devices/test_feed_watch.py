"""`Watch` message by message: what a test does between two messages happens while the first of them is being written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consentry.devices.v1 import feed_pb2
from consentry_rule import ALL_DATA_CLASSES, DataClass
from support.device_frames import NORTH, NOW, SOUTH
from support.watched_feed import LIVE, WatchedFeed, change_consent, watched_feed


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(tmp_path) as opened:
        yield opened


async def test_a_snapshot_opens_no_more_than_the_consent_does_when_each_piece_is_written(feed: WatchedFeed) -> None:
    """Withdrawn and granted anew, from later on, while a piece is being written."""
    await feed.publish(NORTH, 1.0, 2.0)
    watching = feed.watch(customers=[f"customers/{NORTH}"])
    await watching.until("inventory_change")
    feed.gate.revoke(NORTH)
    feed.gate.consent(NORTH, start=NOW + 10**12)
    await watching.until("synced")
    assert watching.values() == []


async def test_a_class_that_was_closed_for_a_moment_of_the_snapshot_is_told_whole(feed: WatchedFeed) -> None:
    for customer in (NORTH, SOUTH):
        await feed.publish(customer, 1.0)
    watching = feed.watch()
    await watching.until("inventory_change")
    change_consent(feed.gate, NORTH, data_classes=frozenset({DataClass.INVENTORY}))
    assert (await watching.next()).customer_added.customer == f"customers/{SOUTH}"
    change_consent(feed.gate, NORTH, data_classes=ALL_DATA_CLASSES)
    await watching.until("synced")
    assert watching.values(NORTH) == [1.0]
    assert watching.values(SOUTH) == [1.0]


async def test_what_the_snapshot_told_of_one_class_is_not_told_again_because_another_was_closed(feed: WatchedFeed) -> None:
    watching = feed.watch()
    await watching.until("customer_added")  # its place in the log is taken, and what comes now is in the snapshot
    await feed.publish(NORTH, 1.0)
    await watching.until("inventory_change")
    change_consent(feed.gate, NORTH, data_classes=frozenset({DataClass.INVENTORY}))
    await watching.until("synced")
    assert watching.events() == ["customer_added", "inventory_change", "customer_added", "customer_added", "synced"]
    assert [list(response.customer_added.data_classes) for response in watching.received][2:4] == [[1, 2, 3], [1]]


async def test_a_live_start_that_was_cut_off_loses_nothing(feed: WatchedFeed) -> None:
    """Between the customers that enter at the start, too."""
    live = feed.watch(live=LIVE)
    cursor = (await live.until("customer_added")).cursor
    await feed.publish(NORTH, 1.0)
    await feed.publish(NORTH, 2.0)
    await feed.publish(SOUTH, 3.0)
    again = feed.watch(after_cursor=cursor)
    await again.until("synced")
    assert again.values() == [1.0, 2.0, 3.0]
    assert [response.customer_added.customer for response in again.received if response.HasField("customer_added")] == [
        f"customers/{NORTH}",
        f"customers/{SOUTH}",
    ]


async def test_heartbeats_come_however_much_happens_to_others(feed: WatchedFeed) -> None:
    """And their cursor moves past it."""
    request = feed_pb2.WatchRequest(customers=[f"customers/{NORTH}"], live=LIVE)
    request.heartbeat_interval.FromSeconds(30)
    watching = feed.watch(**{field.name: value for field, value in request.ListFields()})
    await watching.until("synced")
    waiting = asyncio.create_task(watching.next())
    for value in (1.0, 2.0, 3.0):
        await feed.publish(SOUTH, value)
        feed.gate.clock.advance(11)  # type: ignore[attr-defined]
    await feed.publish(SOUTH, 4.0)
    heartbeat = await waiting
    assert heartbeat.HasField("heartbeat")
    assert heartbeat.cursor != watching.received[-2].cursor
