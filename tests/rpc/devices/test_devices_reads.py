"""Inventory, alarms and telemetry on a real server, at every decision of the rule."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2,
    telemetry_pb2_grpc,
)
from consentry_core.protocol.marks import MarkedKey
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_rule import DataClass, Instant, KeyKind, PartnerId
from support.clocks import START, FakeClock
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, Frame, alarm, inventory, publish, readings

NORTH = "customers/north"
UPS = f"{NORTH}/devices/ups"


@pytest.fixture
def gate() -> RuleGate:
    gate = RuleGate(FakeClock())
    gate.consent("north")
    return gate


@pytest.fixture
async def service(tmp_path: Path, gate: RuleGate) -> AsyncIterator[RunningDevices]:
    async with running_devices(tmp_path, gate) as service:
        yield service


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the reason that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), error_info(raised.value).reason


async def history(service: RunningDevices, start: int, end: int | None, **only: Any) -> list[telemetry_pb2.DeviceTelemetry]:
    """The answer of QueryHistory."""
    request = telemetry_pb2.QueryHistoryRequest(parent=NORTH, start_time=to_timestamp(Instant(start)), **only)
    if end is not None:
        request.end_time.CopyFrom(to_timestamp(Instant(end)))
    call = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory(request, metadata=KEY)
    return [telemetry async for response in call for telemetry in response.telemetry]


def rows(telemetry: Iterable[telemetry_pb2.DeviceTelemetry]) -> list[tuple[str, str, int, float]]:
    """The numbers of blocks as rows: device, sensor, seconds after START, value."""
    return [
        (each.device.rpartition("/")[2], each.block.sensors[index], (time - START) // SECOND, value)
        for each in telemetry
        for index, time, value in zip(each.block.sensor_indexes, each.block.times_unix_nano, each.block.values, strict=True)
    ]


# Inventory


async def test_lists_are_ordered_by_name_in_pages(service: RunningDevices, gate: RuleGate) -> None:
    told = inventory(devices=("ups", "ups-2", "ups.3", "pdu", "a"), sensors=("load", "charge"))
    told.locations.add(name=f"{NORTH}/locations/site", kind=inventory_pb2.Location.KIND_SITE)
    told.locations.add(name=f"{NORTH}/locations/room", kind=inventory_pb2.Location.KIND_ROOM, parent=f"{NORTH}/locations/site")
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=told))
    stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    locations = await stub.ListLocations(inventory_pb2.ListLocationsRequest(parent=NORTH), metadata=KEY)
    assert [location.name for location in locations.locations] == [f"{NORTH}/locations/room", f"{NORTH}/locations/site"]
    assert locations.locations[0].parent == f"{NORTH}/locations/site"
    assert not locations.next_page_token
    for size in (1, 2, 4, 5, 100, 5000):
        names: list[str] = []
        token = ""
        while True:
            devices = await stub.ListDevices(
                inventory_pb2.ListDevicesRequest(parent=NORTH, page_size=size, page_token=token), metadata=KEY
            )
            assert len(devices.devices) <= size
            names += [device.name for device in devices.devices]
            token = devices.next_page_token
            if not token:
                break
        assert names == sorted(device.name for device in told.devices)
    sensors = await stub.ListSensors(inventory_pb2.ListSensorsRequest(parent=NORTH), metadata=KEY)
    assert [sensor.name for sensor in sensors.sensors] == sorted(sensor.name for sensor in told.sensors)
    of_one = await stub.ListSensors(inventory_pb2.ListSensorsRequest(parent=UPS, page_size=1), metadata=KEY)
    assert [sensor.name for sensor in of_one.sensors] == [f"{UPS}/sensors/charge"]
    rest = await stub.ListSensors(inventory_pb2.ListSensorsRequest(parent=UPS, page_token=of_one.next_page_token), metadata=KEY)
    assert [sensor.name for sensor in rest.sensors] == [f"{UPS}/sensors/load"]


async def test_a_device_comes_with_what_it_is_part_of(service: RunningDevices, gate: RuleGate) -> None:
    told = inventory(devices=("pdu", "bank", "outlet"))
    told.devices[1].parent = told.devices[0].name
    told.devices[2].parent = told.devices[1].name
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=told))
    stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    found = await stub.GetDevice(inventory_pb2.GetDeviceRequest(name=told.devices[2].name), metadata=KEY)
    assert found.device.name == told.devices[2].name
    assert [device.name for device in found.ancestors] == [told.devices[1].name, told.devices[0].name]
    missing = stub.GetDevice(inventory_pb2.GetDeviceRequest(name=f"{NORTH}/devices/none"), metadata=KEY)
    assert await refused(missing) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_page_sizes_and_tokens_that_make_no_sense_are_refused(service: RunningDevices, gate: RuleGate) -> None:
    gate.consent("south")
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=inventory(devices=("a", "b"))))
    stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
    request = inventory_pb2.ListDevicesRequest(parent=NORTH, page_size=1)
    token = (await stub.ListDevices(request, metadata=KEY)).next_page_token
    assert token
    foreign = (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    sensors = inventory_pb2.ListSensorsRequest(parent=NORTH, page_token=token)
    assert await refused(stub.ListSensors(sensors, metadata=KEY)) == foreign
    elsewhere = inventory_pb2.ListDevicesRequest(parent="customers/south", page_token=token)
    assert await refused(stub.ListDevices(elsewhere, metadata=KEY)) == foreign
    damaged = inventory_pb2.ListDevicesRequest(parent=NORTH, page_token=token[:-2])
    assert await refused(stub.ListDevices(damaged, metadata=KEY)) == foreign
    gate.credentials["another"] = MarkedKey(KeyKind.ALL_CUSTOMERS, PartnerId("globex"))
    gate.consent("north", partner=PartnerId("globex"))
    request.page_token = token
    assert await refused(stub.ListDevices(request, metadata=bearer("another"))) == foreign
    negative = inventory_pb2.ListDevicesRequest(parent=NORTH, page_size=-1)
    assert await refused(stub.ListDevices(negative, metadata=KEY)) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_SIZE_INVALID")


async def test_page_tokens_outlive_a_restart(tmp_path: Path, gate: RuleGate) -> None:
    request = inventory_pb2.ListDevicesRequest(parent=NORTH, page_size=1)
    async with running_devices(tmp_path, gate) as service:
        await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=inventory(devices=("a", "b"))))
        stub = inventory_pb2_grpc.InventoryServiceStub(service.channel)
        request.page_token = (await stub.ListDevices(request, metadata=KEY)).next_page_token
    async with running_devices(tmp_path, gate) as service:
        page = await inventory_pb2_grpc.InventoryServiceStub(service.channel).ListDevices(request, metadata=KEY)
        assert [device.name for device in page.devices] == [f"{NORTH}/devices/b"]


# Who may


def _questions(channel: grpc.aio.Channel, metadata: Any, customer: str = NORTH) -> dict[str, tuple[DataClass, Any]]:
    """One call of each method, and the data class that it needs."""
    of_inventory = inventory_pb2_grpc.InventoryServiceStub(channel)
    of_alarms = alarms_pb2_grpc.AlarmServiceStub(channel)
    of_telemetry = telemetry_pb2_grpc.TelemetryServiceStub(channel)
    start = to_timestamp(START)
    asked = {"metadata": metadata}
    inventory_class, alarms, telemetry = DataClass.INVENTORY, DataClass.ALARMS, DataClass.TELEMETRY
    by_name = inventory_pb2.GetDeviceRequest(name=f"{customer}/devices/ups")
    return {
        "ListLocations": (
            inventory_class,
            of_inventory.ListLocations(inventory_pb2.ListLocationsRequest(parent=customer), **asked),
        ),
        "ListDevices": (inventory_class, of_inventory.ListDevices(inventory_pb2.ListDevicesRequest(parent=customer), **asked)),
        "GetDevice": (inventory_class, of_inventory.GetDevice(by_name, **asked)),
        "ListSensors": (inventory_class, of_inventory.ListSensors(inventory_pb2.ListSensorsRequest(parent=customer), **asked)),
        "ListAlarms": (alarms, of_alarms.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=customer), **asked)),
        "GetAlarm": (alarms, of_alarms.GetAlarm(alarms_pb2.GetAlarmRequest(name=f"{customer}/alarms/power"), **asked)),
        "ListAlarmEvents": (
            alarms,
            of_alarms.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=f"{customer}/alarms/power"), **asked),
        ),
        "QueryLatest": (telemetry, of_telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=customer), **asked)),
        "QueryHistory": (
            telemetry,
            of_telemetry.QueryHistory(telemetry_pb2.QueryHistoryRequest(parent=customer, start_time=start), **asked).read(),
        ),
    }


async def _filled(service: RunningDevices, gate: RuleGate) -> None:
    frame = readings(1, START, 1.0, 2.0)
    frame.alarms.append(alarm(START))
    await publish(service.channel, gate.gateway("north"), frame)


async def test_every_method_answers_only_with_consent_to_its_data_class(service: RunningDevices, gate: RuleGate) -> None:
    await _filled(service, gate)
    for consented in DataClass:
        gate.consent("north", consented)
        for data_class, call in _questions(service.channel, KEY).values():
            if data_class is consented:
                await call
            else:
                assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "DATA_CLASS_NOT_CONSENTED")


async def test_nothing_is_answered_after_a_revocation(service: RunningDevices, gate: RuleGate) -> None:
    await _filled(service, gate)
    gate.revoke("north")
    for _, call in _questions(service.channel, KEY).values():
        assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REVOKED")


async def test_a_customer_that_is_not_there_is_answered_like_one_that_is_not_covered(
    service: RunningDevices, gate: RuleGate
) -> None:
    await publish(service.channel, gate.gateway("south"), readings(1, START, 1.0, customer="south"))
    for customer in ("customers/south", "customers/nobody"):
        for _, call in _questions(service.channel, KEY, customer).values():
            assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_COVERED")


async def test_gateways_and_strangers_read_nothing(service: RunningDevices, gate: RuleGate) -> None:
    for _, call in _questions(service.channel, gate.gateway("north")).values():
        assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
    for _, call in _questions(service.channel, bearer("guessed")).values():
        assert await refused(call) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    for _, call in _questions(service.channel, ()).values():
        assert await refused(call) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


async def test_names_with_wrong_syntax_are_refused_before_anything_is_decided(service: RunningDevices) -> None:
    for customer in ("", "customers/", "customers/UP", "partners/north", "customers/north/devices/ups/sensors", "north"):
        for _, call in _questions(service.channel, KEY, customer).values():
            assert await refused(call) == (grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID")


async def test_a_malformed_request_is_refused(service: RunningDevices) -> None:
    ask: Any = service.channel.unary_unary("/consentry.devices.v1.TelemetryService/QueryLatest")
    assert await refused(ask(b"\x0a\xff", metadata=KEY)) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")


# Alarms


async def test_an_alarms_life_is_told_step_by_step(service: RunningDevices, gate: RuleGate) -> None:
    at = [START + index * SECOND for index in range(10)]
    told = [
        alarm(at[0]),
        alarm(at[0]),
        alarm(at[0], label="Power Failure (battery)"),
        alarm(at[0], at[2], label="Power Failure Cleared"),
        alarm(at[3]),
        alarm(at[4], at[5]),
        alarm(at[0]),
    ]
    frames = [Frame(number=index + 1, inventory=inventory(), alarms=[one]) for index, one in enumerate(told)]
    await publish(service.channel, gate.gateway("north"), *frames)
    stub = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    page = await stub.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/power"), metadata=KEY)
    kind = alarms_pb2.AlarmEvent.Kind
    seen = [(event.number, kind.Name(event.kind).removeprefix("KIND_"), event.alarm.label) for event in page.alarm_events]
    assert seen == [
        (1, "ACTIVATED", "Power Failure"),
        (2, "CHANGED", "Power Failure (battery)"),
        (3, "CLEARED", "Power Failure Cleared"),
        (4, "REACTIVATED", "Power Failure"),
        (5, "REACTIVATED", "Power Failure"),
        (6, "CLEARED", "Power Failure"),
    ]
    newest = (await stub.GetAlarm(alarms_pb2.GetAlarmRequest(name=f"{NORTH}/alarms/power"), metadata=KEY)).alarm
    assert newest == page.alarm_events[-1].alarm
    assert newest.reactivation_count == 2
    first = await stub.ListAlarmEvents(
        alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/power", page_size=4), metadata=KEY
    )
    rest = await stub.ListAlarmEvents(
        alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/power", page_token=first.next_page_token), metadata=KEY
    )
    assert [*first.alarm_events, *rest.alarm_events] == list(page.alarm_events)


async def test_only_active_alarms_if_asked(service: RunningDevices, gate: RuleGate) -> None:
    told = [alarm(START, id="lasting"), alarm(START, START, id="over")]
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=inventory(), alarms=told))
    stub = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    every = await stub.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=NORTH), metadata=KEY)
    active = await stub.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=NORTH, active_only=True), metadata=KEY)
    assert [each.name.rpartition("/")[2] for each in every.alarms] == ["lasting", "over"]
    assert [each.name.rpartition("/")[2] for each in active.alarms] == ["lasting"]


async def test_alarms_from_before_the_consent_opens_are_not_there(service: RunningDevices, gate: RuleGate) -> None:
    opens = START - 50 * SECOND
    old = [alarm(START - 100 * SECOND, id=f"old-{index:03}") for index in range(30)]
    across = alarm(START - 100 * SECOND, START - 10 * SECOND, id="across")
    told = [across, *old, alarm(START - 40 * SECOND, id="power"), alarm(START - 30 * SECOND, id="zuletzt")]
    await publish(service.channel, gate.gateway("north"), Frame(number=1, inventory=inventory(), alarms=told))
    gate.consent("north", start=opens)
    stub = alarms_pb2_grpc.AlarmServiceStub(service.channel)
    names: list[str] = []
    token = ""
    while True:
        request = alarms_pb2.ListAlarmsRequest(parent=NORTH, page_size=2, page_token=token)
        page = await stub.ListAlarms(request, metadata=KEY)
        names += [each.name.rpartition("/")[2] for each in page.alarms]
        token = page.next_page_token
        if not token:
            break
    assert names == ["across", "power", "zuletzt"]
    events = await stub.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=f"{NORTH}/alarms/across"), metadata=KEY)
    assert [event.number for event in events.alarm_events] == [2]
    hidden = f"{NORTH}/alarms/old-001"
    not_found = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert await refused(stub.GetAlarm(alarms_pb2.GetAlarmRequest(name=hidden), metadata=KEY)) == not_found
    assert await refused(stub.ListAlarmEvents(alarms_pb2.ListAlarmEventsRequest(parent=hidden), metadata=KEY)) == not_found


# Telemetry


async def test_latest_is_the_newest_reading_of_each_sensor_whenever_it_came(service: RunningDevices, gate: RuleGate) -> None:
    text = readings(4, START)
    text.telemetry[0].block.CopyFrom(
        telemetry_pb2.TelemetryBlock(
            sensors=["status"], texts=[telemetry_pb2.TelemetryBlock.Text(time_unix_nano=START, text="on battery")]
        )
    )
    text.inventory.CopyFrom(inventory(sensors=("status",)))
    await publish(
        service.channel,
        gate.gateway("north"),
        readings(1, START, 1.0, 2.0, 3.0),
        readings(2, START - 100 * SECOND, 9.0),
        readings(3, START, 5.0, device="pdu"),
        text,
    )
    stub = telemetry_pb2_grpc.TelemetryServiceStub(service.channel)

    async def ask(**only: Any) -> list[tuple[str, Any]]:
        answer = await stub.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=NORTH, **only), metadata=KEY)
        return [
            (reading.sensor.removeprefix(f"{NORTH}/devices/"), getattr(reading, reading.WhichOneof("reading") or ""))
            for reading in answer.readings
        ]

    everything = [("pdu/sensors/load", 5.0), ("ups/sensors/load", 3.0), ("ups/sensors/status", "on battery")]
    assert await ask() == everything
    assert await ask(devices=[UPS]) == everything[1:]
    assert await ask(sensors=[f"{UPS}/sensors/load"]) == everything[1:2]
    assert await ask(devices=[f"{NORTH}/devices/pdu"], sensors=[f"{UPS}/sensors/load"]) == []
    assert await ask(devices=[f"{NORTH}/devices/none"]) == []
    gate.consent("north", start=START + SECOND)
    assert await ask() == everything[1:2]


async def test_history_is_cut_to_what_is_asked(service: RunningDevices, gate: RuleGate) -> None:
    await publish(
        service.channel,
        gate.gateway("north"),
        readings(1, START - 100 * SECOND, *range(10)),
        readings(2, START - 50 * SECOND, *range(10), sensor="charge"),
        readings(3, START - 200 * SECOND, *range(5)),
        readings(4, START - 100 * SECOND, *range(10), device="pdu"),
    )
    start, end = START - 96 * SECOND, START - 48 * SECOND
    found = rows(await history(service, start, end, devices=[UPS]))
    assert found == [
        *(("ups", "load", second - 100, float(second)) for second in range(4, 10)),
        ("ups", "charge", -50, 0.0),
        ("ups", "charge", -49, 1.0),
    ]
    found = rows(await history(service, start, end, sensors=[f"{UPS}/sensors/charge", f"{NORTH}/devices/pdu/sensors/load"]))
    assert [row[:2] for row in found] == [("pdu", "load")] * 6 + [("ups", "charge")] * 2
    everything = await history(service, START - 1000 * SECOND, None)
    assert [each.device for each in everything] == [f"{NORTH}/devices/pdu", UPS, UPS, UPS]
    assert [each.min_time_unix_nano for each in everything[1:]] == sorted(each.min_time_unix_nano for each in everything[1:])
    assert sum(each.reading_count for each in everything) == 35
    assert await history(service, start, start) == []


async def test_a_block_that_is_wholly_inside_is_handed_on_as_it_is_stored(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 10 * SECOND, 1.0, 2.0))
    stored = (await service.devices.store.log.read_after(1, 1, max_bytes=10**6))[0].payload
    (found,) = await history(service, START - 20 * SECOND, None)
    assert found.SerializeToString() == stored


async def test_history_begins_where_the_consent_opens(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 10 * SECOND, *range(10)))
    gate.consent("north", start=START - 3 * SECOND)
    found = rows(await history(service, START - 1000 * SECOND, START + SECOND))
    assert [second for _, _, second, _ in found] == [-3, -2, -1]


async def test_long_history_comes_in_messages_of_bounded_size(service: RunningDevices, gate: RuleGate) -> None:
    values = np.arange(10_000, dtype=float)
    frames = [readings(number, START - number * 20_000 * SECOND, *values) for number in range(1, 21)]
    await publish(service.channel, gate.gateway("north"), *frames)
    request = telemetry_pb2.QueryHistoryRequest(parent=NORTH, start_time=to_timestamp(Instant(START - 10**6 * SECOND)))
    call = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory(request, metadata=KEY)
    responses = [response async for response in call]
    assert len(responses) > 5
    assert max(response.ByteSize() for response in responses) < 1024 * 1024
    found = [each for response in responses for each in response.telemetry]
    assert [each.min_time_unix_nano for each in found] == sorted(
        frame.telemetry[0].block.times_unix_nano[0] for frame in frames
    )


async def test_a_revocation_ends_history_that_is_being_read(service: RunningDevices, gate: RuleGate) -> None:
    values = np.arange(100_000, dtype=float)
    frames = [readings(number, START - 200_000 * SECOND, *values) for number in range(1, 11)]
    await publish(service.channel, gate.gateway("north"), *frames)
    request = telemetry_pb2.QueryHistoryRequest(parent=NORTH, start_time=to_timestamp(Instant(START - 10**6 * SECOND)))
    call = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory(request, metadata=KEY)
    assert isinstance(await call.read(), telemetry_pb2.QueryHistoryResponse)
    gate.revoke("north")

    async def rest() -> None:
        while await call.read() is not grpc.aio.EOF:
            pass

    assert await refused(asyncio.wait_for(rest(), 10)) == (grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REVOKED")


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        ({}, "TIME_MISSING"),
        ({"start_time": to_timestamp(START), "end_time": to_timestamp(Instant(START - 1))}, "TIME_INVALID"),
        ({"start_time": to_timestamp(START), "devices": ["customers/south/devices/ups"]}, "NAME_INVALID"),
        ({"start_time": to_timestamp(START), "sensors": [UPS]}, "NAME_INVALID"),
        ({"start_time": to_timestamp(START), "devices": [UPS] * 1001}, "TOO_MANY"),
    ],
)
async def test_a_question_for_history_that_makes_no_sense_is_refused(
    service: RunningDevices, only: dict[str, Any], reason: str
) -> None:
    request = telemetry_pb2.QueryHistoryRequest(parent=NORTH, **only)
    call = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory(request, metadata=KEY)
    assert await refused(call.read()) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
