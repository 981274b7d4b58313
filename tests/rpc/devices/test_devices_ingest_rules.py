"""Taking in, on a real server: once for ever, one stream a gateway, losses as gaps, and quotas that slow down."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc, gap_pb2, gateway_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.errors import error_info
from consentry_devices.app import DevicesSettings, start
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.log.group import REMEMBERED_FRAMES
from consentry_rule import Instant
from support.clocks import START, FakeClock
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, Frame, publish, publishing, readings


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> RuleGate:
    gate = RuleGate(clock)
    gate.consent("north")
    return gate


async def logged(service: RunningDevices) -> list[Entry]:
    """Everything in the log."""
    return list(await service.devices.store.log.read_after(0, 10_000, max_bytes=10**9))


def loss(number: int, start: int, end: int) -> Frame:
    times = (to_timestamp(Instant(START + second * SECOND)) for second in (start, end))
    return Frame(number=number, loss=gateway_pb2.PublishRequest.Loss(start_time=next(times), end_time=next(times)))


async def test_a_frame_is_stored_once_however_much_later_it_is_sent_again(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    frames = [readings(number, START, float(number), tell=number == 1) for number in range(1, REMEMBERED_FRAMES + 101)]
    async with running_devices(tmp_path, gate) as service:
        await publish(service.channel, gate.gateway("north"), *frames)
        before = await logged(service)
    clock.advance(21 * 86_400)
    async with running_devices(tmp_path, gate) as service, publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == len(frames)
        await stream.send(*frames[:50], readings(len(frames) + 1, START, 0.0))
        await stream.until(len(frames) + 1)
        assert (await logged(service))[: len(before)] == before
        assert len(await logged(service)) == len(before) + 1


async def test_other_content_is_refused_where_the_former_is_known(tmp_path: Path, gate: RuleGate) -> None:
    frames = [readings(number, START, float(number), tell=number == 1) for number in range(1, REMEMBERED_FRAMES + 11)]
    async with running_devices(tmp_path, gate) as service:
        await publish(service.channel, gate.gateway("north"), *frames)
        before = await logged(service)
        for number in (11, len(frames)):
            async with publishing(service.channel, gate.gateway("north")) as stream:
                await stream.send(readings(number, START, -1.0))
                assert error_info(await stream.error()).reason == "FRAME_CONFLICT"
        async with publishing(service.channel, gate.gateway("north")) as stream:
            await stream.send(readings(10, START, -1.0))  # too long ago to tell
            await stream.acknowledged()
            assert await stream.acknowledged() == len(frames)
        assert await logged(service) == before


async def test_a_new_stream_is_told_what_the_former_still_had_in_flight(
    tmp_path: Path, gate: RuleGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former stands with a frame at the appender's door: the newer one's first answer counts that frame."""
    async with running_devices(tmp_path, gate) as service:
        log = service.devices.store.log
        submit, arrived, go_on = log.submit, asyncio.Event(), asyncio.Event()

        async def slow(*of: object) -> asyncio.Future[int]:
            arrived.set()
            await go_on.wait()
            return await submit(*of)  # type: ignore[arg-type]

        async with publishing(service.channel, gate.gateway("north")) as former:
            assert await former.acknowledged() == 0
            monkeypatch.setattr(log, "submit", slow)
            await former.send(readings(1, START, 1.0), readings(2, START, 2.0))
            await arrived.wait()
            async with publishing(service.channel, gate.gateway("north")) as newer:
                assert error_info(await former.error()).reason == "STREAM_REPLACED"
                monkeypatch.setattr(log, "submit", submit)
                go_on.set()
                first = await newer.acknowledged()
                await newer.send(readings(first + 1, START, 3.0))
                await newer.until(first + 1)
        numbers = [entry for entry in await logged(service) if entry.kind is Kind.TELEMETRY]
        assert len(numbers) == first + 1


async def test_a_loss_is_a_gap_for_whoever_reads(tmp_path: Path, gate: RuleGate) -> None:
    async with running_devices(tmp_path, gate) as service:
        watch: Any = feed_pb2_grpc.FeedServiceStub(service.channel).Watch(
            feed_pb2.WatchRequest(live=feed_pb2.WatchRequest.Live()), metadata=KEY
        )
        while (await watch.read()).WhichOneof("event") != "synced":
            pass
        await publish(service.channel, gate.gateway("north"), loss(1, -500, -100), readings(2, START, 1.0))
        gap, _, telemetry = [await asyncio.wait_for(watch.read(), 10) for _ in range(3)]
        watch.cancel()
        assert gap.gap == gap_pb2.Gap(
            customer="customers/north",
            cause=gap_pb2.Gap.CAUSE_GATEWAY_LOST,
            data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY],
            start_time=to_timestamp(Instant(START - 500 * SECOND)),
            end_time=to_timestamp(Instant(START - 100 * SECOND + 1)),
            gateway="gw",
        )
        assert telemetry.WhichOneof("event") == "telemetry"
        (entry,) = [entry for entry in await logged(service) if entry.kind is Kind.GAP]
        assert (entry.min_time, entry.max_time) == (START - 500 * SECOND, START - 100 * SECOND)
        resumed: Any = feed_pb2_grpc.FeedServiceStub(service.channel).Watch(
            feed_pb2.WatchRequest(after_cursor=gap.cursor, stop_when_synced=True), metadata=KEY
        )
        assert [message.WhichOneof("event") async for message in resumed] == ["inventory_change", "telemetry", "synced"]


@pytest.mark.parametrize(
    "told",
    [loss(1, 10, 9), loss(1, 0, 301), Frame(number=1, loss=gateway_pb2.PublishRequest.Loss()), loss(1, -(10**9), 0)],
)
async def test_a_loss_at_no_sane_time_is_refused(tmp_path: Path, gate: RuleGate, told: Frame) -> None:
    async with running_devices(tmp_path, gate) as service, publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(told)
        error = await stream.error()
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TIME_INVALID")
        assert await logged(service) == []


async def test_whoever_exceeds_the_quota_is_read_later(tmp_path: Path, gate: RuleGate, clock: FakeClock) -> None:
    settings = DevicesSettings(listen="127.0.0.1:0", data_dir=tmp_path, gateway_readings=100, backlog_readings=100)
    devices = await start(settings, clock=clock, gate=gate)
    channel = open_channel(devices.address)
    try:
        async with publishing(channel, gate.gateway("north")) as stream:
            many = [readings(number, START, *[1.0] * 50, tell=number == 1) for number in range(1, 42)]
            late = readings(42, START, 1.0, tell=False)
            late.historical = True
            await stream.send(*many, late)
            await stream.until(21)  # ten seconds' worth, and the frame that overdraws
            reading = asyncio.create_task(stream.until(42))
            done, _ = await asyncio.wait([reading], timeout=0.2)
            assert not done
            while not reading.done():
                clock.advance(0.5)
                await asyncio.wait([reading], timeout=0.02)
            await reading
            assert clock.now() - START >= 9 * SECOND
    finally:
        await channel.close()
        await devices.stop()
