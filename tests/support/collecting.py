"""A gateway whose polls a test makes, the real service behind it, and what a reader of that is told."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from consentry.devices.v1 import alarms_pb2, alarms_pb2_grpc, feed_pb2, feed_pb2_grpc, gap_pb2
from consentry_core.values.clock import Following
from consentry_gateway.app import CollectSettings, Parts
from consentry_gateway.outbox.pipeline import Pipeline
from consentry_gateway.reading.model import Device, Poll, Value
from consentry_rule import CustomerId, Instant
from support.clocks import START, FakeClock
from support.devices import KEY, RunningDevices
from support.polls import UPS, reading

NORTH = CustomerId("north")


class Collecting:
    """A gateway whose polls a test makes."""

    def __init__(self, parts: Parts, clock: FakeClock) -> None:
        self.pipeline: Pipeline = parts.pipeline
        self._parts = parts
        self._clock = clock

    async def poll(self, device: Device = UPS, ahead: float = 0, **values: Value) -> None:
        """A poll now, by a clock that is so many seconds ahead. Underscores in names stand for dots."""
        now = Instant(self._clock.wall() + round(ahead * 10**9))
        found = [replace(reading(name.replace("_", "."), value, device=device), time=now) for name, value in values.items()]
        await self.pipeline.take(Poll(now, device, True, (device,), tuple(found)))

    async def acknowledged(self) -> None:
        """Wait until the service has everything."""
        async with asyncio.timeout(20):
            await self._parts.publisher.acknowledged()


@contextlib.asynccontextmanager
async def collecting(
    folder: Path, address: str, clock: FakeClock, agents: Sequence[Device] = (UPS,), *, run: bool = True, bytes_: int = 1 << 20
) -> AsyncIterator[Collecting]:
    """A gateway of north; without `run`, one that cannot reach the service."""
    settings = CollectSettings(
        devices=address, token="gateway-of-north", customer="customers/north", data_dir=folder, outbox_bytes=bytes_
    )
    parts = Parts(settings, NORTH, (), [agent.id for agent in agents], clock=Following(clock), random_bytes=os.urandom)
    task = asyncio.create_task(parts.publisher.run()) if run else None
    try:
        yield Collecting(parts, clock)
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await parts.channel.close()
        parts.publisher.close()


async def told(service: RunningDevices, after: str = "") -> list[feed_pb2.WatchResponse]:
    """All that a reader is told up to now, after a cursor."""
    request = feed_pb2.WatchRequest(stop_when_synced=True)
    if after:
        request.after_cursor = after
    call = feed_pb2_grpc.FeedServiceStub(service.channel).Watch(request, metadata=KEY)
    return [message async for message in call]


def devices(messages: Sequence[feed_pb2.WatchResponse]) -> set[str]:
    """The ids of the devices that are told of."""
    return {device.name.rpartition("/")[2] for message in messages for device in message.inventory_change.devices}


def gaps(messages: Sequence[feed_pb2.WatchResponse]) -> list[tuple[int, int]]:
    """What gateways lost, in seconds after the start of the clock; ends included."""
    found = [message.gap for message in messages if message.gap.cause == gap_pb2.Gap.CAUSE_GATEWAY_LOST]
    return [(second(gap.start_time.ToNanoseconds()), second(gap.end_time.ToNanoseconds() - 1)) for gap in found]


def second(time: int) -> int:
    """In seconds after the start of the clock."""
    return (time - START) // 10**9


def readings(messages: Sequence[feed_pb2.WatchResponse]) -> list[tuple[int, bool]]:
    """When they were measured, and whether they were sent late."""
    blocks = [device for message in messages for device in message.telemetry.devices]
    return sorted((second(time), block.historical) for block in blocks for time in block.block.times_unix_nano)


async def alarm_events(service: RunningDevices, alarm: str) -> list[alarms_pb2.AlarmEvent]:
    """What happened to an alarm."""
    stub = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    request = alarms_pb2.ListAlarmEventsRequest(parent=f"customers/north/alarms/{alarm}")
    return list((await stub.ListAlarmEvents(request, metadata=KEY)).alarm_events)
