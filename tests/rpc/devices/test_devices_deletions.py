"""Inventory that goes: what is refused, what goes with what, and what stays readable."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    feed_pb2,
    feed_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2,
    telemetry_pb2_grpc,
)
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.errors import error_info
from consentry_rule import Instant
from support.clocks import START, FakeClock
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, Frame, alarm, inventory, publish, publishing, readings

NORTH = "customers/north"
UPS, PART = f"{NORTH}/devices/ups", f"{NORTH}/devices/frame"
ROOM, HALL = f"{NORTH}/locations/room", f"{NORTH}/locations/hall"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> RuleGate:
    gate = RuleGate(clock)
    gate.consent("north")
    return gate


@pytest.fixture
async def service(tmp_path: Path, gate: RuleGate) -> AsyncIterator[RunningDevices]:
    """A hall with a room, in which stands a UPS with a part; both are measured."""
    async with running_devices(tmp_path, gate) as service:
        await publish(service.channel, gate.gateway("north"), *site())
        yield service


def site() -> list[Frame]:
    told = inventory(devices=("ups", "frame"), sensors=("load", "heat"))
    told.locations.add(name=HALL, kind=inventory_pb2.Location.KIND_ROOM)
    told.locations.add(name=ROOM, kind=inventory_pb2.Location.KIND_ROOM, parent=HALL)
    told.devices[0].location = ROOM
    told.devices[1].parent = UPS
    return [
        Frame(number=1, inventory=told, alarms=[alarm(START), alarm(START, id="heat", device="frame")]),
        readings(2, START, 1.0, tell=False),
        readings(3, START, 2.0, sensor="heat", tell=False),
        readings(4, START, 3.0, device="frame", tell=False),
    ]


def deleting(
    number: int = 5, *, locations: tuple[str, ...] = (), devices: tuple[str, ...] = (), sensors: tuple[str, ...] = ()
) -> Frame:
    change = inventory_pb2.InventoryChange(deleted_locations=locations, deleted_devices=devices, deleted_sensors=sensors)
    return Frame(number=number, inventory=change)


async def snapshot(service: RunningDevices) -> list[feed_pb2.WatchResponse]:
    """All that a reader is told who begins now."""
    call = feed_pb2_grpc.FeedServiceStub(service.channel).Watch(feed_pb2.WatchRequest(stop_when_synced=True), metadata=KEY)
    return [message async for message in call]


async def told_after(service: RunningDevices, cursor: str) -> list[feed_pb2.WatchResponse]:
    request = feed_pb2.WatchRequest(after_cursor=cursor, stop_when_synced=True)
    call = feed_pb2_grpc.FeedServiceStub(service.channel).Watch(request, metadata=KEY)
    return [message async for message in call if message.WhichOneof("event") != "synced"]


async def devices_of(service: RunningDevices) -> list[str]:
    stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    listed = await stub.ListDevices(inventory_pb2.ListDevicesRequest(parent=NORTH), metadata=KEY)
    return [device.name for device in listed.devices]


async def test_a_deleted_device_goes_everywhere_and_its_past_stays(
    service: RunningDevices, gate: RuleGate, clock: FakeClock
) -> None:
    cursor = (await snapshot(service))[-1].cursor
    clock.advance(60)
    await publish(service.channel, gate.gateway("north"), deleting(devices=(PART,)))
    cleared, change = await told_after(service, cursor)
    assert cleared.alarm_change.kind == alarms_pb2.AlarmEvent.KIND_CLEARED
    assert cleared.alarm_change.alarm.name == f"{NORTH}/alarms/heat"
    assert cleared.alarm_change.alarm.clear_time.ToNanoseconds() == START + 60 * SECOND
    assert cleared.alarm_change.number == 2
    assert change.inventory_change == inventory_pb2.InventoryChange(
        time=to_timestamp(Instant(START + 60 * SECOND)),
        deleted_devices=[PART],
        deleted_sensors=[f"{PART}/sensors/heat", f"{PART}/sensors/load"],
    )

    assert await devices_of(service) == [UPS]
    inventory_stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await inventory_stub.GetDevice(inventory_pb2.GetDeviceRequest(name=PART), metadata=KEY)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    sensors = await inventory_stub.ListSensors(inventory_pb2.ListSensorsRequest(parent=NORTH), metadata=KEY)
    assert [sensor.name for sensor in sensors.sensors] == [f"{UPS}/sensors/heat", f"{UPS}/sensors/load"]
    now = await snapshot(service)
    assert [device.name for message in now for device in message.inventory_change.devices] == [UPS]
    assert {device.device for message in now for device in message.telemetry.devices} == {UPS}

    telemetry = telemetry_pb2_grpc.TelemetryServiceStub(service.channel)
    latest = await telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=NORTH), metadata=KEY)
    assert [reading.value for reading in latest.readings] == [2.0, 1.0]
    history = telemetry_pb2.QueryHistoryRequest(parent=NORTH, devices=[PART], start_time=to_timestamp(START))
    found = [block async for answer in telemetry.QueryHistory(history, metadata=KEY) for block in answer.telemetry]
    assert [list(block.block.values) for block in found] == [[3.0]]

    alarms = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    active = await alarms.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=NORTH, active_only=True), metadata=KEY)
    assert [one.name for one in active.alarms] == [f"{NORTH}/alarms/power"]
    events = await alarms.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/heat"), metadata=KEY)
    assert [event.kind for event in events.alarm_events] == [1, 3]


async def test_everything_can_go_in_one_frame_and_come_back_in_the_next(service: RunningDevices, gate: RuleGate) -> None:
    await publish(
        service.channel, gate.gateway("north"), deleting(locations=(HALL, ROOM), devices=(UPS, PART)), readings(6, START, 9.0)
    )
    assert await devices_of(service) == [UPS]
    now = await snapshot(service)
    assert not [location for message in now for location in message.inventory_change.locations]
    assert [list(device.block.values) for message in now for device in message.telemetry.devices] == [[9.0]]
    await publish(service.channel, gate.gateway("north"), Frame(number=7, alarms=[alarm(START), alarm(START + SECOND)]))
    stub = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    events = await stub.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/power"), metadata=KEY)
    assert [event.kind for event in events.alarm_events] == [1, 3, 4]


async def test_a_sensor_can_go_alone(service: RunningDevices, gate: RuleGate) -> None:
    cursor = (await snapshot(service))[-1].cursor
    await publish(service.channel, gate.gateway("north"), deleting(sensors=(f"{UPS}/sensors/heat",)))
    (change,) = await told_after(service, cursor)
    assert list(change.inventory_change.deleted_sensors) == [f"{UPS}/sensors/heat"]
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(readings(6, START, 1.0, sensor="heat", tell=False))
        assert error_info(await stream.error()).reason == "UNKNOWN_REFERENCE"


async def test_what_is_not_there_is_gone_already(service: RunningDevices, gate: RuleGate) -> None:
    cursor = (await snapshot(service))[-1].cursor
    unknown = deleting(locations=(f"{HALL}-2",), devices=(f"{UPS}-2",), sensors=(f"{UPS}/sensors/x", f"{UPS}-2/sensors/x"))
    await publish(service.channel, gate.gateway("north"), unknown)
    assert await told_after(service, cursor) == []


_ROOM_2 = inventory_pb2.InventoryChange(deleted_locations=[ROOM, HALL])
_ROOM_2.devices.add(name=UPS, location=f"{NORTH}/locations/other")
_ROOM_2.locations.add(name=f"{NORTH}/locations/other", kind=inventory_pb2.Location.KIND_ROOM)


async def test_what_moves_out_in_the_same_frame_holds_nothing_back(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), Frame(number=5, inventory=_ROOM_2))
    stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    listed = await stub.ListLocations(inventory_pb2.ListLocationsRequest(parent=NORTH), metadata=KEY)
    assert [location.name for location in listed.locations] == [f"{NORTH}/locations/other"]


def _told_and(frame: Frame, *sensors: str) -> Frame:
    frame.inventory.MergeFrom(inventory(sensors=sensors))
    return frame


REFUSED = {
    "a device with a part": (deleting(devices=(UPS,)), "NOT_EMPTY", "frame.inventory.deleted_devices[0]"),
    "a location with a device": (deleting(locations=(ROOM,)), "NOT_EMPTY", "frame.inventory.deleted_locations[0]"),
    "a location with a location": (deleting(locations=(HALL,)), "NOT_EMPTY", "frame.inventory.deleted_locations[0]"),
    "told and deleted": (_told_and(deleting(devices=(PART, UPS))), "TOLD_AND_DELETED", "frame.inventory.deleted_devices[1]"),
    "a sensor told and deleted": (
        _told_and(deleting(sensors=(f"{UPS}/sensors/load",)), "load"),
        "TOLD_AND_DELETED",
        "frame.inventory.deleted_sensors[0]",
    ),
    "a sensor told of what is deleted": (
        _told_and(deleting(devices=(PART, UPS)), "new"),
        "TOLD_AND_DELETED",
        "frame.inventory.deleted_devices[1]",
    ),
    "a bad name": (deleting(devices=("devices/ups",)), "NAME_INVALID", "frame.inventory.deleted_devices[0]"),
    "too many": (deleting(devices=(UPS,) * 20_001), "TOO_MANY", "frame.inventory"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_deleted_is_refused_and_nothing_goes(service: RunningDevices, gate: RuleGate, case: str) -> None:
    frame, reason, field = REFUSED[case]
    cursor = (await snapshot(service))[-1].cursor
    async with publishing(service.channel, gate.gateway("north")) as stream:
        await stream.send(frame)
        error = await stream.error()
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert field in (error.details() or "")
    assert await told_after(service, cursor) == []
    assert await devices_of(service) == [PART, UPS]


async def test_readings_and_alarms_of_what_goes_in_the_same_frame_are_refused(service: RunningDevices, gate: RuleGate) -> None:
    for told in (readings(5, START, 1.0, device="frame", tell=False), Frame(number=5, alarms=[alarm(START, device="frame")])):
        told.inventory.CopyFrom(deleting(devices=(PART,)).inventory)
        async with publishing(service.channel, gate.gateway("north")) as stream:
            await stream.send(told)
            assert error_info(await stream.error()).reason == "UNKNOWN_REFERENCE"
    assert await devices_of(service) == [PART, UPS]


async def test_another_customers_things_cannot_be_deleted(service: RunningDevices, gate: RuleGate) -> None:
    async with publishing(service.channel, gate.gateway("south")) as stream:
        await stream.send(deleting(1, devices=(UPS,)))
        error = await stream.error()
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.PERMISSION_DENIED, "FOREIGN_CUSTOMER")
    assert await devices_of(service) == [PART, UPS]


async def test_a_device_that_another_gateway_collects_from_stays_until_that_one_deletes_it_too(
    service: RunningDevices, gate: RuleGate
) -> None:
    async with publishing(service.channel, gate.gateway("north"), gateway="gw2") as stream:
        await stream.send(readings(1, START, 1.0, device="frame", tell=False))
        await stream.until(1)
    cursor = (await snapshot(service))[-1].cursor
    await publish(service.channel, gate.gateway("north"), deleting(devices=(PART,), sensors=(f"{PART}/sensors/load",)))
    (change,) = await told_after(service, cursor)
    assert [list(device.gateways) for device in change.inventory_change.devices] == [["gw2"]]
    assert not change.inventory_change.deleted_devices
    async with publishing(service.channel, gate.gateway("north"), gateway="gw2") as stream:
        await stream.send(readings(2, START, 1.0, device="frame", tell=False), deleting(3, devices=(PART,)))
        await stream.until(3)
    assert await devices_of(service) == [UPS]


async def test_deletions_survive_a_restart(tmp_path: Path, gate: RuleGate) -> None:
    async with running_devices(tmp_path, gate) as service:
        await publish(service.channel, gate.gateway("north"), *site(), deleting(devices=(PART,)))
    async with running_devices(tmp_path, gate) as service:
        assert await devices_of(service) == [UPS]
        await publish(service.channel, gate.gateway("north"), deleting(6, devices=(UPS,)))
        assert await devices_of(service) == []
