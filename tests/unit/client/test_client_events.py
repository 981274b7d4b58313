"""Messages become events; readings are unpacked when they are asked for."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import coverage_pb2, data_class_pb2
from consentry.devices.v1 import alarms_pb2, feed_pb2, gap_pb2, inventory_pb2, telemetry_pb2
from consentry_client import (
    AlarmChange,
    CoverageEvent,
    CoverageHeartbeat,
    CoverageSynced,
    Covered,
    CustomerAdded,
    CustomerRemoved,
    DataClass,
    DeviceReadings,
    Event,
    Gap,
    Heartbeat,
    InventoryChange,
    Reading,
    Synced,
    Telemetry,
    Uncovered,
)
from consentry_client.coverage import coverage_event_of, coverage_message_of
from consentry_client.events import event_of, message_of
from consentry_client.readings import reading_of
from consentry_client.requests import timestamp

W = feed_pb2.WatchResponse
DEVICE = "customers/north/devices/ups-1"
T0 = 1_700_000_000_123_456_789


def device_telemetry() -> telemetry_pb2.DeviceTelemetry:
    return telemetry_pb2.DeviceTelemetry(
        device=DEVICE,
        reading_count=3,
        min_time_unix_nano=T0,
        max_time_unix_nano=T0 + 2,
        historical=True,
        block=telemetry_pb2.TelemetryBlock(
            sensors=["load", "status"],
            sensor_indexes=[0, 0],
            times_unix_nano=[T0, T0 + 1],
            values=[41.5, 42.0],
            texts=[telemetry_pb2.TelemetryBlock.Text(sensor_index=1, time_unix_nano=T0 + 2, text="on line")],
        ),
    )


def test_rows_carry_whole_names_numbers_first() -> None:
    assert list(DeviceReadings(device_telemetry()).readings()) == [
        Reading(DEVICE, f"{DEVICE}/sensors/load", T0, 41.5),
        Reading(DEVICE, f"{DEVICE}/sensors/load", T0 + 1, 42.0),
        Reading(DEVICE, f"{DEVICE}/sensors/status", T0 + 2, "on line"),
    ]


def test_columns_are_what_came_and_numpy_takes_them() -> None:
    columns = DeviceReadings(device_telemetry()).columns()
    assert np.asarray(columns.values).tolist() == [41.5, 42.0]
    assert np.asarray(columns.times_unix_nano).tolist() == [T0, T0 + 1]
    assert [columns.sensors[index] for index in columns.sensor_indexes] == ["load", "load"]
    assert columns.texts == (("status", T0 + 2, "on line"),)


def test_columns_of_unequal_length_are_not_cut_to_the_shortest() -> None:
    message = device_telemetry()
    message.block.values.append(1.0)
    with pytest.raises(ValueError, match="zip"):
        list(DeviceReadings(message).readings())


def test_device_readings_say_whose_they_are() -> None:
    readings = DeviceReadings(device_telemetry())
    assert (readings.customer, readings.device, len(readings), readings.historical) == ("customers/north", DEVICE, 3, True)
    assert repr(readings) == f"DeviceReadings('{DEVICE}', 3 readings)"


def test_a_reading_has_its_time_to_the_nanosecond_and_as_a_datetime() -> None:
    reading = reading_of(
        telemetry_pb2.Reading(device=DEVICE, sensor="s", time=Timestamp(seconds=1, nanos=2_003_004), text="on line")
    )
    assert reading.time_unix_nano == 1_002_003_004
    assert reading.time == datetime(1970, 1, 1, 0, 0, 1, 2003, UTC)
    assert reading.value == "on line"
    assert reading_of(telemetry_pb2.Reading(value=0.0)).value == 0.0


def test_every_kind_of_message_of_the_feed_has_an_event() -> None:
    alarm_event = alarms_pb2.AlarmEvent(number=2, alarm=alarms_pb2.Alarm(label="Power Failure"))
    inventory = inventory_pb2.InventoryChange(time=Timestamp(seconds=1), devices=[inventory_pb2.Device(name="d")])
    added = W.CustomerAdded(
        customer="customers/north", data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY, data_class_pb2.DATA_CLASS_ALARMS]
    )
    removed = W.CustomerRemoved(customer="customers/north", reason="CONSENT_REVOKED")
    gap = gap_pb2.Gap(
        customer="customers/north",
        cause=gap_pb2.Gap.CAUSE_GATEWAY_LOST,
        data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY],
        start_time=Timestamp(seconds=1),
        end_time=Timestamp(seconds=2, nanos=3),
        gateway="gw",
    )
    told = Gap("c", "customers/north", "GATEWAY_LOST", frozenset({DataClass.TELEMETRY}), 10**9, 2 * 10**9 + 3, "gw")
    events: dict[bytes, Event] = {
        W(cursor="c", telemetry=W.Telemetry(devices=[device_telemetry()], folded_count=7)).SerializeToString(): Telemetry(
            "c", (DeviceReadings(device_telemetry()),), 7
        ),
        W(cursor="c", inventory_change=inventory).SerializeToString(): InventoryChange("c", inventory),
        W(cursor="c", alarm_change=alarm_event).SerializeToString(): AlarmChange("c", alarm_event),
        W(cursor="c", customer_added=added).SerializeToString(): CustomerAdded(
            "c", "customers/north", frozenset({DataClass.ALARMS, DataClass.TELEMETRY})
        ),
        W(cursor="c", customer_removed=removed).SerializeToString(): CustomerRemoved("c", "customers/north", "CONSENT_REVOKED"),
        W(cursor="c", synced=W.Synced()).SerializeToString(): Synced("c"),
        W(cursor="c", heartbeat=W.Heartbeat(time=Timestamp(seconds=1))).SerializeToString(): Heartbeat("c", 10**9),
        W(cursor="c", gap=gap).SerializeToString(): told,
    }
    assert {wire: event_of(W.FromString(wire)) for wire in events} == events
    assert len(events) == len(W.DESCRIPTOR.oneofs_by_name["event"].fields)
    assert [message_of(event) for event in events.values()] == [W.FromString(wire) for wire in events]


def test_a_gap_says_from_when_to_when_if_it_is_known() -> None:
    gap = Gap("c", "customers/north", "NOT_KEPT", end_time_unix_nano=1_500_000_000)
    assert (gap.start_time, gap.end_time) == (None, datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC))
    assert event_of(message_of(gap)) == gap


def test_what_is_deleted_is_told_by_name() -> None:
    change = inventory_pb2.InventoryChange(
        deleted_devices=["customers/north/devices/d"], deleted_locations=["customers/north/locations/l"]
    )
    assert InventoryChange("c", change).deleted == ("customers/north/locations/l", "customers/north/devices/d")


def test_every_kind_of_message_of_the_coverage_has_an_event() -> None:
    response = coverage_pb2.WatchCoverageResponse
    covered = response.Covered(customer="customers/north", data_classes=[data_class_pb2.DATA_CLASS_INVENTORY])
    uncovered = response.Uncovered(customer="customers/north", reason="CONSENT_REVOKED")
    messages = [
        response(revision="r", covered=covered),
        response(revision="r", uncovered=uncovered),
        response(revision="r", synced=response.Synced()),
        response(revision="r", heartbeat=response.Heartbeat(time=Timestamp(seconds=5, nanos=7))),
    ]
    events: list[CoverageEvent] = [
        Covered("r", "customers/north", frozenset({DataClass.INVENTORY})),
        Uncovered("r", "customers/north", "CONSENT_REVOKED"),
        CoverageSynced("r"),
        CoverageHeartbeat("r", 5_000_000_007),
    ]
    assert [coverage_event_of(message) for message in messages] == events
    assert [coverage_message_of(event) for event in events] == messages
    assert len(events) == len(response.DESCRIPTOR.oneofs_by_name["event"].fields)


def test_what_a_newer_service_says_is_passed_over() -> None:
    assert event_of(W(cursor="c")) is None
    added = W.CustomerAdded(customer="customers/north")
    added.MergeFromString(b"\x12\x02\x01\x63")  # data_classes: inventory, and number 99
    event = event_of(W(cursor="c", customer_added=added))
    assert event == CustomerAdded("c", "customers/north", frozenset({DataClass.INVENTORY}))
    gap = gap_pb2.Gap()
    gap.MergeFromString(b"\x10\x63")  # cause number 99
    assert event_of(W(cursor="c", gap=gap)) == Gap("c", "", "UNSPECIFIED")


def test_times_need_a_zone_and_are_exact() -> None:
    assert timestamp(T0) == Timestamp(seconds=T0 // 10**9, nanos=T0 % 10**9)
    two_hours_east = timezone(timedelta(hours=2))
    assert timestamp(datetime(1970, 1, 1, 2, 0, 1, tzinfo=two_hours_east)) == Timestamp(seconds=1)
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2024, 1, 1))  # noqa: DTZ001 - that is the point
