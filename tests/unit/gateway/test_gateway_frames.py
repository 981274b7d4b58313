"""From polls to frames: inventory first and when it changes, alarms that are owed, columns of equal length."""

from dataclasses import replace

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2
from consentry_devices.rpc.gateway.frames import to_frame
from consentry_gateway.outbox.memory import (
    ALARMS,
    DEVICES,
    remembered_alarms,
    remembered_devices,
    to_remember,
)
from consentry_gateway.publishing.frames import FrameWriter
from consentry_gateway.reading.alarms import Alarm, AlarmBook, AlarmId
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, Poll, Reading, Sensor, SensorId, Severity, Value
from consentry_rule import CustomerId
from support.gateway_frames import HALL, parsed, writer
from support.polls import UPS, at, poll, reading

NORTH = CustomerId("north")
READINGS: dict[str, Value] = {"ups.load": 42.5, "output.status": "online"}


def told(it: FrameWriter, what: Poll) -> list[gateway_pb2.PublishRequest.Frame]:
    frames = parsed(it.write(what, ()))
    it.told(what)
    return frames


def test_the_first_frame_of_an_agent_carries_its_inventory_and_later_ones_only_what_changed() -> None:
    it = writer()
    (first,) = told(it, poll(0, READINGS))
    assert [device.name for device in first.inventory.devices] == ["customers/north/devices/ups"]
    assert [sensor.name for sensor in first.inventory.sensors] == [
        "customers/north/devices/ups/sensors/ups.load", "customers/north/devices/ups/sensors/output.status",
    ]  # fmt: skip
    (second,) = told(it, poll(5, READINGS))
    assert not second.HasField("inventory")
    (third,) = told(it, poll(10, READINGS, device=replace(UPS, display_name="Renamed")))
    assert [device.display_name for device in third.inventory.devices] == ["Renamed"]
    assert not third.inventory.sensors


def test_an_agent_with_odd_texts_is_told_of_all_the_same() -> None:
    """The service refuses what a terminal would obey; a visible mark stands in its place."""
    odd = "odd\x1b[2J\u202e\n"
    device = replace(UPS, display_name=odd, model_name=odd, serial_number=odd)
    sensor = Sensor(device.id, SensorId("load"), odd, odd, odd)
    raised = Alarm(AlarmId("odd"), device.id, odd, odd, Severity.WARNING, at(0))
    what = Poll(at(0), device, True, (device,), (Reading(sensor, at(0), odd), Reading(replace(sensor, unit="V"), at(0), 1.0)))
    it = FrameWriter(NORTH, [replace(HALL, display_name=odd)])
    frames = parsed([*it.write_locations(), *it.write(what, [raised])])
    for number, frame in enumerate(frames, 1):
        frame.number = number
        to_frame(frame, NORTH, at(1))
    mark = "odd\ufffd[2J\ufffd\ufffd"
    assert frames[0].inventory.locations[0].display_name == mark
    (told,) = frames[1].inventory.devices
    assert (told.display_name, told.model_name, told.serial_number) == (mark, mark, mark)
    assert (frames[1].alarms[0].label, frames[1].telemetry[0].block.texts[0].text) == (mark, mark)


def test_locations_are_told_once_and_first() -> None:
    it = writer()
    (frame,) = parsed(it.write_locations())
    assert frame.inventory.locations[0] == inventory_pb2.Location(
        name="customers/north/locations/hall", display_name="Hall", kind=inventory_pb2.Location.KIND_ROOM
    )
    assert it.write_locations()
    it.told_locations()
    assert it.write_locations() == []


def test_parts_come_after_what_they_are_part_of() -> None:
    part = Device(DeviceId("ups-frame-1"), "Frame", DeviceType.BATTERY_FRAME, parent=UPS.id, location=HALL.id)
    (frame,) = told(writer(), Poll(at(0), UPS, True, (UPS, part)))
    names = [device.name for device in frame.inventory.devices]
    assert names == ["customers/north/devices/ups", "customers/north/devices/ups-frame-1"]
    assert frame.inventory.devices[1].parent == names[0]
    assert frame.inventory.devices[1].location == "customers/north/locations/hall"


def test_numbers_are_columns_and_texts_stand_beside_them() -> None:
    (frame,) = told(writer(), poll(7, READINGS | {"battery.charge": 99.0}))
    block = frame.telemetry[0].block
    assert list(block.sensors) == ["ups.load", "output.status", "battery.charge"]
    assert [(block.sensors[i], value) for i, value in zip(block.sensor_indexes, block.values, strict=True)] == [
        ("ups.load", 42.5), ("battery.charge", 99.0),
    ]  # fmt: skip
    assert list(block.times_unix_nano) == [at(7), at(7)]
    assert [(block.sensors[text.sensor_index], text.text) for text in block.texts] == [("output.status", "online")]


def test_many_readings_are_several_frames() -> None:
    many = Poll(at(0), UPS, True, (UPS,), tuple(reading(f"m{number}", 1.0) for number in range(45_000)))
    frames = told(writer(), many)
    assert [len(frame.telemetry[0].block.values) for frame in frames] == [20_000, 20_000, 5_000]
    assert all(frame.ByteSize() < 4 * 1024 * 1024 for frame in frames)


def test_a_frame_that_was_never_taken_over_is_owed() -> None:
    it, book = writer(), AlarmBook()
    failing = poll(0, {"output.status": "on battery"})
    it.write(failing, book.observe(failing))
    (frame,) = parsed(it.write(poll(5), book.observe(poll(5))))
    assert [alarm.label for alarm in frame.alarms] == ["Power Failure"]
    assert frame.inventory.devices


def test_after_a_refusal_everything_about_that_agent_is_told_again() -> None:
    it, other = writer(), replace(UPS, id=DeviceId("other"))
    told(it, poll(0, READINGS))
    told(it, poll(0, READINGS, device=other))
    it.refused("ups")
    assert told(it, poll(5, READINGS))[0].HasField("inventory")
    assert not told(it, poll(5, READINGS, device=other))[0].HasField("inventory")


def test_an_alarm_goes_over_the_wire_as_it_is() -> None:
    it, book = writer(), AlarmBook()
    failing = poll(3, {"output.status": "on battery"})
    (frame,) = parsed(it.write(failing, book.observe(failing)))
    (alarm,) = frame.alarms
    assert (alarm.name, alarm.device) == ("customers/north/alarms/ups.power-failure", "customers/north/devices/ups")
    assert alarm.severity == alarms_pb2.Alarm.SEVERITY_CRITICAL
    assert alarm.activate_time.ToNanoseconds() == at(3)
    assert not alarm.HasField("clear_time")


def test_what_is_remembered_comes_back_as_it_was() -> None:
    failing = poll(3, {"output.status": "on battery"}, device=replace(UPS, location=HALL.id))
    raised = AlarmBook().observe(failing)
    values = to_remember(failing, raised, {})
    assert remembered_alarms([values[f"{ALARMS}{raised[0].id}"] or ""]) == [(UPS.id, raised[0])]
    assert remembered_devices([values[f"{DEVICES}ups"] or ""]) == [failing.device]
    assert to_remember(failing, (), {UPS.id: failing.device}) == {}
