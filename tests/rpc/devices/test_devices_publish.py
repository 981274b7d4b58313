"""GatewayService on a real server: what is taken in, what is refused, and that nothing is stored of what is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2, inventory_pb2_grpc, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.errors import error_info
from consentry_devices.log.entries import Entry, Kind
from consentry_rule import CustomerId, Instant
from support.clocks import START, FakeClock
from support.devices import RuleGate, RunningDevices, running_devices
from support.gateways import EPOCH, SECOND, Frame, Publishing, alarm, block, inventory, publish, publishing, readings
from support.snapshots import snapshot_of

NORTH = CustomerId("north")
Request = gateway_pb2.PublishRequest


@pytest.fixture
def gate() -> RuleGate:
    return RuleGate(FakeClock())


@pytest.fixture
async def service(tmp_path: Path, gate: RuleGate) -> AsyncIterator[RunningDevices]:
    async with running_devices(tmp_path, gate) as service:
        yield service


async def logged(service: RunningDevices) -> list[Entry]:
    """Everything in the log."""
    return list(await service.devices.store.log.read_after(0, 10_000, max_bytes=10**9))


def check_error(error: grpc.aio.AioRpcError, code: grpc.StatusCode, reason: str, frame: int | None = None) -> None:
    info = error_info(error)
    assert (error.code(), info.reason) == (code, reason)
    assert info.metadata.get("frame_number") == (None if frame is None else str(frame))


async def test_frames_are_acknowledged_once_committed_and_a_new_stream_says_where_to_go_on(
    service: RunningDevices, gate: RuleGate
) -> None:
    credential = gate.gateway("north")
    async with publishing(service.channel, credential) as stream:
        assert await stream.acknowledged() == 0
        await stream.send(readings(1, START, 1.0, 2.0))
        assert await stream.acknowledged() == 1
        assert [entry.kind for entry in await logged(service)] == [Kind.INVENTORY, Kind.TELEMETRY]
        await stream.send(*(readings(number, START, float(number)) for number in range(2, 60)))
        await stream.until(59)
        await stream.call.done_writing()
        with pytest.raises(EOFError):
            await stream.acknowledged()
        assert await stream.call.code() is grpc.StatusCode.OK
    async with publishing(service.channel, credential) as stream:
        assert await stream.acknowledged() == 59


async def test_the_server_writes_what_stands_around_a_block(service: RunningDevices, gate: RuleGate) -> None:
    frame = readings(1, START, 1.0, 2.0, 3.0)
    frame.historical = True
    await publish(service.channel, gate.gateway("north"), frame)
    entry = (await logged(service))[-1]
    assert telemetry_pb2.DeviceTelemetry.FromString(entry.payload) == telemetry_pb2.DeviceTelemetry(
        device="customers/north/devices/ups",
        reading_count=3,
        min_time_unix_nano=START,
        max_time_unix_nano=START + 2 * SECOND,
        historical=True,
        block=block(START, 1.0, 2.0, 3.0),
    )
    assert (entry.min_time, entry.max_time, entry.historical) == (START, START + 2 * SECOND, True)


async def test_a_frame_that_comes_again_is_acknowledged_and_stored_once(service: RunningDevices, gate: RuleGate) -> None:
    frames = [readings(number, START, float(number)) for number in (1, 2, 3)]
    await publish(service.channel, gate.gateway("north"), *frames)
    before = await logged(service)
    async with publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == 3
        await stream.send(*frames)
        assert await stream.acknowledged() == 3
        await stream.send(readings(4, START, 4.0))
        await stream.until(4)
    assert (await logged(service))[:-1] == before


async def test_the_same_number_with_other_content_is_refused(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START, 1.0))
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(readings(1, START, 1.5))
        check_error(await stream.error(), grpc.StatusCode.INVALID_ARGUMENT, "FRAME_CONFLICT", 1)
    assert len(await logged(service)) == 2


async def test_a_hole_is_refused_with_the_number_that_is_expected(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(readings(1, START, 1.0), readings(3, START, 3.0))
        error = await stream.error()
    check_error(error, grpc.StatusCode.INVALID_ARGUMENT, "FRAME_OUT_OF_ORDER", 3)
    assert error_info(error).metadata["expected_number"] == "2"


async def test_a_new_epoch_begins_at_1_and_the_former_one_is_not_forgotten(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START, 1.0))
    await publish(service.channel, gate.gateway("north"), readings(1, START, 2.0), epoch="another-epoch-0123")
    async with publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == 1


async def test_what_comes_before_a_refused_frame_is_stored_and_acknowledged(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as stream:
        foreign = readings(4, START, 4.0, customer="south")
        await stream.send(*(readings(number, START, 1.0) for number in (1, 2, 3)), foreign, readings(5, START, 5.0))
        numbers, error = await stream.until_error()
    assert numbers[-1] == 3
    check_error(error, grpc.StatusCode.PERMISSION_DENIED, "FOREIGN_CUSTOMER", 4)
    entries = await logged(service)
    assert {entry.customer for entry in entries} == {NORTH}
    assert len(entries) == 4


async def test_a_new_stream_of_the_same_gateway_ends_the_former(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as former:
        assert await former.acknowledged() == 0
        async with publishing(service.channel, gate.gateway("north"), gateway="other") as other:
            assert await other.acknowledged() == 0
            async with publishing(service.channel, gate.gateway("north")) as newer:
                assert await newer.acknowledged() == 0
                check_error(await former.error(), grpc.StatusCode.ABORTED, "STREAM_REPLACED")
                await newer.send(readings(1, START, 1.0))
                assert await newer.acknowledged() == 1
            await other.send(readings(1, START, 1.0))
            assert await other.acknowledged() == 1


async def test_gateways_of_two_customers_may_have_the_same_id(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as north:
        async with publishing(service.channel, gate.gateway("south")) as south:
            await south.send(readings(1, START, 1.0, customer="south"))
            await south.until(1)
        await north.send(readings(1, START, 1.0))
        await north.until(1)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Request(frame=readings(1, START, 1.0)), "HELLO_MISSING"),
        (Request(), "HELLO_MISSING"),
        (Request(hello=Request.Hello(gateway="GW!", epoch=EPOCH)), "NAME_INVALID"),
        (Request(hello=Request.Hello(gateway="gw", epoch="short")), "EPOCH_INVALID"),
        (Request(hello=Request.Hello(gateway="gw", epoch="x" * 1000)), "EPOCH_INVALID"),
    ],
)
async def test_a_stream_begins_with_a_hello(service: RunningDevices, gate: RuleGate, first: Request, reason: str) -> None:
    call: grpc.aio.StreamStreamCall[Any, Any] = service.channel.stream_stream(
        "/consentry.devices.v1.GatewayService/Publish", request_serializer=Request.SerializeToString
    )(iter([first]), metadata=gate.gateway("north"))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    check_error(raised.value, grpc.StatusCode.INVALID_ARGUMENT, reason)


def _block(**changes: object) -> Frame:
    frame = readings(1, START, 1.0, 2.0)
    told = frame.telemetry[0].block
    for field, value in changes.items():
        told.ClearField(field)  # type: ignore[arg-type]
        getattr(told, field).extend(value)
    return frame


def _told(**things: object) -> Frame:
    return Frame(number=1, inventory=inventory_pb2.InventoryChange(**things))  # type: ignore[arg-type]


_UPS = "customers/north/devices/ups"
_TEXT = telemetry_pb2.TelemetryBlock.Text


def _device(**fields: object) -> inventory_pb2.Device:
    return inventory_pb2.Device(name=_UPS, **fields)  # type: ignore[arg-type]


def _alarm(**fields: object) -> Frame:
    told = alarm(START)
    told.MergeFrom(alarms_pb2.Alarm(**fields))  # type: ignore[arg-type]
    if "severity" in fields:
        told.ClearField("severity")
    if "activate_time" in fields:
        told.ClearField("activate_time")
    return Frame(number=1, inventory=inventory(), alarms=[told])


REFUSED = {
    "number 0": (readings(0, START, 1.0), "FRAME_OUT_OF_ORDER"),
    "columns of unequal length": (_block(values=[1.0]), "COLUMNS_UNEQUAL"),
    "NaN": (_block(values=[1.0, float("nan")]), "VALUE_NOT_FINITE"),
    "infinity": (_block(values=[1.0, float("-inf")]), "VALUE_NOT_FINITE"),
    "far future": (_block(times_unix_nano=[START, START + 301 * SECOND]), "TIME_INVALID"),
    "farthest future": (_block(times_unix_nano=[START, 2**63 - 1]), "TIME_INVALID"),
    "far past": (_block(times_unix_nano=[START, -1]), "TIME_INVALID"),
    "text in the future": (_block(texts=[_TEXT(time_unix_nano=2**62, text="x")]), "TIME_INVALID"),
    "text too long": (_block(texts=[_TEXT(time_unix_nano=START, text="x" * 1001)]), "TEXT_TOO_LONG"),
    "text of no sensor": (_block(texts=[_TEXT(sensor_index=1, time_unix_nano=START)]), "SENSOR_INDEX_OUT_OF_RANGE"),
    "index of no sensor": (_block(sensor_indexes=[0, 1]), "SENSOR_INDEX_OUT_OF_RANGE"),
    "sensor twice": (_block(sensors=["load", "load"]), "SENSOR_TWICE"),
    "sensor with a bad id": (_block(sensors=["Load"]), "NAME_INVALID"),
    "unknown sensor": (_block(sensors=["other"]), "UNKNOWN_REFERENCE"),
    "empty block": (_block(values=[], sensor_indexes=[], times_unix_nano=[]), "BLOCK_EMPTY"),
    "too many readings": (readings(1, START - 200_000 * SECOND, *[1.0] * 100_001), "TOO_MANY"),
    "too many bytes": (
        _block(texts=[_TEXT(time_unix_nano=START, text="\N{SNOWMAN}" * 999) for _ in range(1_100)]),
        "TOO_MANY",
    ),
    "unknown device": (readings(1, START, 1.0, tell=False), "UNKNOWN_REFERENCE"),
    "bad device name": (readings(1, START, 1.0, device="UPS", tell=False), "NAME_INVALID"),
    "unknown parent": (_told(devices=[_device(parent=f"{_UPS}2")]), "UNKNOWN_REFERENCE"),
    "own parent": (_told(devices=[_device(), _device(parent=_UPS)]), "PARENT_INVALID"),
    "unknown location": (_told(devices=[_device(location="customers/north/locations/x")]), "UNKNOWN_REFERENCE"),
    "sensor of an unknown device": (_told(sensors=[inventory_pb2.Sensor(name=f"{_UPS}/sensors/load")]), "UNKNOWN_REFERENCE"),
    "unknown type": (_told(devices=[_device(type=99)]), "VALUE_UNKNOWN"),
    "name too long": (_told(devices=[_device(display_name="x" * 201)]), "TEXT_TOO_LONG"),
    "alarm of an unknown device": (Frame(number=1, alarms=[alarm(START)]), "UNKNOWN_REFERENCE"),
    "alarm without severity": (
        _alarm(severity=0),
        "VALUE_UNKNOWN",
    ),
    "alarm without a beginning": (_alarm(activate_time=Timestamp()), "TIME_INVALID"),
    "alarm that ends before it begins": (_alarm(clear_time=to_timestamp(Instant(START - 1))), "TIME_INVALID"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_frame_that_makes_no_sense_is_refused_and_nothing_of_it_is_stored(
    service: RunningDevices, gate: RuleGate, case: str
) -> None:
    frame, reason = REFUSED[case]
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(frame)
        check_error(await stream.error(), grpc.StatusCode.INVALID_ARGUMENT, reason, frame.number)
    assert await logged(service) == []
    snapshot = await snapshot_of(service.devices.store.state, NORTH)
    assert (snapshot.seq, snapshot.devices, snapshot.latest) == (0, [], [])


_THEIRS = "customers/south/devices/ups"


@pytest.mark.parametrize(
    "frame",
    [
        readings(1, START, 1.0, customer="south"),
        Frame(number=1, inventory=inventory("south")),
        Frame(number=1, inventory=inventory(), alarms=[alarm(START, customer="south")]),
        _told(devices=[inventory_pb2.Device(name=_UPS, parent=_THEIRS)]),
        _told(locations=[inventory_pb2.Location(name="customers/south/locations/x")]),
    ],
)
async def test_what_is_another_customers_is_refused(service: RunningDevices, gate: RuleGate, frame: Frame) -> None:
    await publish(service.channel, gate.gateway("south"), readings(1, START, 1.0, customer="south"))
    before = await logged(service)
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(frame)
        check_error(await stream.error(), grpc.StatusCode.PERMISSION_DENIED, "FOREIGN_CUSTOMER", 1)
    assert await logged(service) == before


async def test_a_frame_of_100_megabytes_is_refused_by_the_transport(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == 0
        frame = Frame(number=1)
        frame.inventory.locations.add(display_name="x" * 100_000_000)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call may end while it is being sent
            await stream.send(frame)
        assert await stream.call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await logged(service) == []
    await publish(service.channel, gate.gateway("north"), readings(1, START, 1.0))


async def test_a_malformed_message_is_refused_after_what_came_before_it_is_committed(
    service: RunningDevices, gate: RuleGate
) -> None:
    call: grpc.aio.StreamStreamCall[Any, Any] = service.channel.stream_stream(
        "/consentry.devices.v1.GatewayService/Publish", response_deserializer=gateway_pb2.PublishResponse.FromString
    )(metadata=gate.gateway("north"))
    await call.write(Request(hello=Request.Hello(gateway="gw", epoch=EPOCH)).SerializeToString())
    await call.write(Request(frame=readings(1, START, 1.0)).SerializeToString())
    await call.write(b"\x0a\xff")
    numbers, error = await Publishing(call).until_error()
    assert numbers[-1] == 1
    check_error(error, grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")
    assert len(await logged(service)) == 2


async def test_smuggled_bytes_are_not_stored(service: RunningDevices, gate: RuleGate) -> None:
    honest = block(START, 1.0, 2.0)
    first, second = block(START, 1.0), block(START + SECOND, 2.0)
    for piece in (first, second):
        piece.ClearField("sensors")
    split = (
        telemetry_pb2.TelemetryBlock(sensors=["load"]).SerializeToString()
        + first.SerializeToString()
        + second.SerializeToString()
    )
    unknown = honest.SerializeToString() + b"\xfa\x3f\x07payload"
    for number, smuggled in enumerate((split, unknown), start=1):
        raw = Request(frame=readings(number, START)).frame
        raw.telemetry[0].block.ParseFromString(smuggled)
        await publish(service.channel, gate.gateway("north"), raw)
        stored = telemetry_pb2.DeviceTelemetry.FromString((await logged(service))[-1].payload)
        assert stored.block.SerializeToString() == honest.SerializeToString()


async def test_only_real_changes_of_the_inventory_are_logged(service: RunningDevices, gate: RuleGate) -> None:
    told = inventory(devices=("ups", "pdu"))
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=told), Frame(number=2, inventory=told))
    assert len(await logged(service)) == 1
    told.devices[0].display_name = "Renamed"
    await publish(service.channel, gate.gateway("north"), Frame(number=3, inventory=told))
    changed = inventory_pb2.InventoryChange.FromString((await logged(service))[1].payload)
    assert [device.display_name for device in changed.devices] == ["Renamed"]
    assert list(changed.devices[0].gateways) == ["gw"]
    assert not changed.sensors
    assert changed.time.ToNanoseconds() == START


async def test_a_second_gateway_of_a_device_is_a_change(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START, 1.0))
    async with publishing(service.channel, gate.gateway("north"), gateway="gw2") as stream:
        await stream.send(readings(1, START, 1.0, tell=False))
        await stream.until(1)
    kinds = [entry.kind for entry in await logged(service)]
    assert kinds == [Kind.INVENTORY, Kind.TELEMETRY, Kind.INVENTORY, Kind.TELEMETRY]
    gate.consent("north")
    found = await inventory_pb2_grpc.InventoryServiceStub(service.channel).GetDevice(
        inventory_pb2.GetDeviceRequest(name=_UPS), metadata=(("authorization", "Bearer the-key"),)
    )
    assert list(found.device.gateways) == ["gw", "gw2"]


async def test_more_frames_than_the_window_holds_come_through(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == 0
        await stream.send(*(readings(number, START, float(number)) for number in range(1, 301)))
        await stream.until(300)
    assert len([entry for entry in await logged(service) if entry.kind is Kind.TELEMETRY]) == 300


async def test_a_key_cannot_publish(service: RunningDevices) -> None:
    async with publishing(service.channel, (("authorization", "Bearer the-key"),)) as stream:
        check_error(await stream.error(), grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")


async def _stop(service: RunningDevices, stream: Publishing) -> grpc.aio.AioRpcError:
    stopping = asyncio.create_task(service.devices.stop())
    error = await stream.error()
    await stopping
    return error


async def test_a_stream_ends_when_the_service_drains_and_what_it_sent_is_there_after_a_restart(
    tmp_path: Path, gate: RuleGate
) -> None:
    async with running_devices(tmp_path, gate) as service, publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(readings(1, START, 1.0))
        await stream.until(1)
        check_error(await _stop(service, stream), grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with running_devices(tmp_path, gate) as service, publishing(service.channel, gate.gateway("north")) as stream:
        assert await stream.acknowledged() == 1
        assert len(await logged(service)) == 2
