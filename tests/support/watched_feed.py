"""The feed's servicer on a real store, its streams pulled by hand.

What a test does between two messages happens while the first of them is being written. Facts about coverage are the test's own.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_core.rpc.server.open_call import current_call
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.inventory import InventoryChange
from consentry_devices.log.appender import AppendedLog
from consentry_devices.log.memory import MemorySnapshots, MemoryStore
from consentry_devices.log.ring import Ring
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.rpc.watch.feed import FeedServicer
from consentry_devices.rpc.watch.shared import Feed
from consentry_devices.storage.store import open_store
from consentry_guard.calls.call import Call
from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass
from support.clocks import FakeClock
from support.device_frames import NORTH, NOW, SOUTH, device, frame, sensor, stream, telemetry
from support.devices import ACME, RuleCall, RuleGate

Request = feed_pb2.WatchRequest
LIVE = Request.Live()
_CURSOR_KEY = secrets.token_bytes(32)


class Opened:
    """What the gate knows of a call that is under way, as far as a watch needs it."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller

    def end(self, error: Exception) -> None:
        """A watch narrows by itself."""
        raise AssertionError(f"a watch narrows by itself: {error}")


class WatchedFeed:
    """The feed, and the facts that it is told. `restart` forgets what is in memory."""

    def __init__(self, log: AppendedLog, state: Any, gate: RuleGate, clock: FakeClock, folder: Path) -> None:
        self.log = log
        self.state = state
        self.gate = gate
        self.clock = clock
        self._folder = folder
        self._numbers: dict[CustomerId, int] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self.restart()

    def restart(self) -> None:
        """Begin with an empty ring, so that whoever comes back reads from the log."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        ring = Ring(self.log.tail())
        self._unsubscribe = self.log.subscribe(ring.take)
        feed = Feed(self.log, self.state, ring, self.clock, self._folder)
        self._servicer = FeedServicer(feed, _CURSOR_KEY)

    async def publish(
        self,
        customer: CustomerId,
        *values: float,
        start: int = NOW,
        of: str = "ups",
        late: bool = False,
        alarms: Iterable[Alarm] = (),
    ) -> None:
        """Take in readings of one device's sensor, a second apart, and alarms."""
        number = self._numbers[customer] = self._numbers.get(customer, 0) + 1
        blocks = [telemetry(*values, customer=customer, start=start, of=of)] if values else []
        known = InventoryChange(NOW, (), (device(of),), (sensor(of),))
        told = frame(number, *blocks, inventory=known, alarms=tuple(alarms))
        await (await self.log.submit(stream(customer), replace(told, historical=late)))

    async def tell(self, customer: CustomerId, change: InventoryChange) -> None:
        """Take in an inventory."""
        number = self._numbers[customer] = self._numbers.get(customer, 0) + 1
        await (await self.log.submit(stream(customer), frame(number, inventory=change)))

    async def remove(self, entries: int) -> None:
        """Let retention take so many entries."""
        assert await self.log.remove_oldest(taken_before=None, max_entries=entries, max_bytes=10**9) == entries

    def watch(self, *, key: str = "the-key", guarded: Call | None = None, **fields: Any) -> "Watching":
        """One stream, opened when its first message is asked for. `guarded`: behind this call of a real guard's instead."""
        opened: Any = Opened(guarded or RuleCall(self.gate, key))
        if guarded is None:
            self.gate.calls[opened] = opened.caller
        current_call.set(opened)
        messages = self._servicer.Watch(Request(**fields), None)  # type: ignore[arg-type]
        return Watching(opened.caller, messages)

    async def pull(self, after: str, **fields: Any) -> "Watching":
        """Come back with a cursor, until everything has been told."""
        watching = self.watch(after_cursor=after, stop_when_synced=True, **fields)
        await watching.until("synced")
        return watching


class Watching:
    """One stream, and what came of it."""

    def __init__(self, call: RuleCall | Call, messages: AsyncIterator[bytes]) -> None:
        self._call = call
        self._messages = messages
        self.received: list[feed_pb2.WatchResponse] = []

    async def next(self) -> feed_pb2.WatchResponse:
        """The next message, if the check lets it pass."""
        message = await asyncio.wait_for(anext(self._messages), 5)
        self._call.check()
        self.received.append(feed_pb2.WatchResponse.FromString(message))
        return self.received[-1]

    async def end(self) -> None:
        """Go away."""
        await self._messages.aclose()  # type: ignore[attr-defined]

    async def until(self, event: str) -> feed_pb2.WatchResponse:
        """Read on until an event of this kind."""
        while (await self.next()).WhichOneof("event") != event:
            pass
        return self.received[-1]

    @property
    def cursor(self) -> str:
        """The last one."""
        return self.received[-1].cursor

    def events(self) -> list[str | None]:
        """The kinds received, in order."""
        return [response.WhichOneof("event") for response in self.received]

    def values(self, customer: CustomerId | None = None) -> list[float]:
        """The numbers received, in order, of one customer or of all."""
        devices = [device for response in self.received for device in response.telemetry.devices]
        return [
            value
            for device in devices
            if customer is None or device.device.startswith(f"customers/{customer}/")
            for value in device.block.values
        ]

    def folded(self) -> int:
        """How many readings were folded, as told."""
        return sum(response.telemetry.folded_count for response in self.received)

    def gaps(self) -> list[gap_pb2.Gap]:
        """The gaps."""
        return [response.gap for response in self.received if response.HasField("gap")]


@asynccontextmanager
async def watched_feed(folder: Path) -> AsyncIterator[WatchedFeed]:
    """The feed, with the customers north and south that are valid for acme."""
    clock = FakeClock()
    store = open_store(folder, encoder=WireEncoder(), clock=clock, random=secrets.token_bytes)
    yield WatchedFeed(store.log, store.state, _gate(clock), clock, folder)
    await store.close()


@asynccontextmanager
async def watched_memory(folder: Path) -> AsyncIterator[WatchedFeed]:
    """The same on a store in memory."""
    clock, store = FakeClock(), MemoryStore("store")
    log = store.open(WireEncoder(), secrets.token_bytes)
    yield WatchedFeed(log, MemorySnapshots(store), _gate(clock), clock, folder)
    await log.close()


def _gate(clock: FakeClock) -> RuleGate:
    gate = RuleGate(clock)
    gate.consent(NORTH)
    gate.consent(SOUTH)
    return gate


def change_consent(gate: RuleGate, customer: CustomerId, **fields: Any) -> None:
    """Change a consent that goes on."""
    standing = gate.standings[ACME, customer]
    assert standing.consent is not None
    gate.set(replace(standing, consent=replace(standing.consent, **fields)))


def consent_to(gate: RuleGate, customer: CustomerId, *classes: DataClass) -> None:
    """Change the classes that a consent includes; none: all."""
    change_consent(gate, customer, data_classes=frozenset(classes) or ALL_DATA_CLASSES)
