"""`Watch` message by message: what a test does between two messages happens while the first of them is being written."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentry.devices.v1 import feed_pb2
from consentry_core.rpc.gate import current_call
from consentry_devices.feed.ring import Ring
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.rpc.feed import FeedServicer
from consentry_devices.rpc.shared import Feed as SharedFeed
from consentry_devices.storage.store import open_store
from consentry_rule import CustomerId, DataClass
from support.clocks import FakeClock
from support.device_frames import NORTH, NOW, SOUTH, frame, stream, telemetry
from support.devices import ACME, RuleCall, RuleGate

LIVE = feed_pb2.WatchRequest.Live()


class Opened:
    """What the gate knows of a call that is under way, as far as a watch needs it."""

    def __init__(self, gate: RuleGate) -> None:
        self.caller = RuleCall(gate, "the-key")

    def end(self, error: Exception) -> None:
        raise AssertionError(f"a watch narrows by itself: {error}")


class Feed:
    """The feed's servicer on a real store, and the facts that it is told."""

    def __init__(self, servicer: FeedServicer, gate: RuleGate, submit: Any) -> None:
        self.gate = gate
        self._servicer = servicer
        self._submit = submit
        self._numbers: dict[CustomerId, int] = {}

    async def publish(self, customer: CustomerId, *values: float, start: int = NOW) -> None:
        number = self._numbers[customer] = self._numbers.get(customer, 0) + 1
        block = telemetry(*values, customer=customer, start=start)
        await (await self._submit(stream(customer), frame(number, block)))

    def watch(self, **fields: Any) -> "Watching":
        opened: Any = Opened(self.gate)
        self.gate.calls[opened] = opened.caller
        current_call.set(opened)
        return Watching(opened.caller, self._servicer.Watch(feed_pb2.WatchRequest(**fields), None))  # type: ignore[arg-type]


class Watching:
    """One stream, pulled by hand."""

    def __init__(self, call: RuleCall, messages: AsyncIterator[bytes]) -> None:
        self._call = call
        self._messages = messages
        self.received: list[feed_pb2.WatchResponse] = []

    async def next(self) -> feed_pb2.WatchResponse:
        """The next message, if the check lets it pass."""
        message = await asyncio.wait_for(anext(self._messages), 5)
        self._call.check()
        self.received.append(feed_pb2.WatchResponse.FromString(message))
        return self.received[-1]

    async def until(self, event: str) -> feed_pb2.WatchResponse:
        while (await self.next()).WhichOneof("event") != event:
            pass
        return self.received[-1]

    def events(self) -> list[str | None]:
        return [response.WhichOneof("event") for response in self.received]

    def values(self, customer: CustomerId | None = None) -> list[float]:
        devices = [device for response in self.received for device in response.telemetry.devices]
        return [
            value
            for device in devices
            if customer is None or device.device.startswith(f"customers/{customer}/")
            for value in device.block.values
        ]


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[Feed]:
    clock = FakeClock()
    store = open_store(tmp_path, encoder=WireEncoder(), clock=clock, random=secrets.token_bytes)
    ring = Ring(store.log.tail())
    store.log.subscribe(ring.take)
    gate = RuleGate(clock)
    gate.consent(NORTH)
    gate.consent(SOUTH)
    yield Feed(
        FeedServicer(SharedFeed(store.log, store.state, ring, clock, tmp_path), store.cursor_key), gate, store.log.submit
    )
    await store.close()


def change_consent(gate: RuleGate, customer: CustomerId, **fields: Any) -> None:
    """Change a consent that goes on."""
    standing = gate.standings[ACME, customer]
    assert standing.consent is not None
    gate.set(replace(standing, consent=replace(standing.consent, **fields)))


async def test_a_snapshot_opens_no_more_than_the_consent_does_when_each_piece_is_written(feed: Feed) -> None:
    """Withdrawn and granted anew, from later on, while a piece is being written."""
    await feed.publish(NORTH, 1.0, 2.0)
    watching = feed.watch(customers=[f"customers/{NORTH}"])
    await watching.until("inventory_change")
    feed.gate.revoke(NORTH)
    feed.gate.consent(NORTH, start=NOW + 10**12)
    await watching.until("synced")
    assert watching.values() == []


async def test_a_class_that_was_closed_for_a_moment_of_the_snapshot_is_told_whole(feed: Feed) -> None:
    for customer in (NORTH, SOUTH):
        await feed.publish(customer, 1.0)
    watching = feed.watch()
    await watching.until("inventory_change")
    change_consent(feed.gate, NORTH, data_classes=frozenset({DataClass.INVENTORY}))
    assert (await watching.next()).customer_added.customer == f"customers/{SOUTH}"
    change_consent(feed.gate, NORTH, data_classes=frozenset())
    await watching.until("synced")
    assert watching.values(NORTH) == [1.0]
    assert watching.values(SOUTH) == [1.0]


async def test_what_the_snapshot_told_of_one_class_is_not_told_again_because_another_was_closed(feed: Feed) -> None:
    watching = feed.watch()
    await watching.until("customer_added")  # its place in the log is taken, and what comes now is in the snapshot
    await feed.publish(NORTH, 1.0)
    await watching.until("inventory_change")
    change_consent(feed.gate, NORTH, data_classes=frozenset({DataClass.INVENTORY}))
    await watching.until("synced")
    assert watching.events() == ["customer_added", "inventory_change", "customer_added", "customer_added", "synced"]
    assert [list(response.customer_added.data_classes) for response in watching.received][2:4] == [[1, 2, 3], [1]]


async def test_a_live_start_that_was_cut_off_loses_nothing(feed: Feed) -> None:
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


async def test_heartbeats_come_however_much_happens_to_others(feed: Feed) -> None:
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
