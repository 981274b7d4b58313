"""From polls to frames: inventory first and when it changes, alarms that are owed, columns of equal length."""

from dataclasses import replace
from itertools import pairwise

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2
from consentry_gateway.alarms import AlarmBook
from consentry_gateway.holding import Holding
from consentry_gateway.memory import (
    ALARMS,
    DEVICES,
    LOST,
    PRESENT,
    remembered_alarms,
    remembered_devices,
    remembered_lost,
    remembered_present,
    to_remember,
)
from consentry_gateway.model import Device, DeviceId, DeviceType, Location, LocationId, LocationKind, Poll, Value
from consentry_gateway.outbox import Draft, OutboxFull, Span
from consentry_gateway.pipeline import Pipeline
from consentry_gateway.presence import FEWEST_ANSWERS, Places, Presence, Present
from consentry_gateway.rpc.frames import FrameWriter
from consentry_rule import CustomerId
from support.polls import UPS, at, poll, reading

HALL = Location(LocationId("hall"), "Hall", LocationKind.ROOM)
READINGS: dict[str, Value] = {"ups.load": 42.5, "output.status": "online"}


def writer() -> FrameWriter:
    return FrameWriter(CustomerId("north"), [HALL])


def parsed(drafts: list[Draft]) -> list[gateway_pb2.PublishRequest.Frame]:
    return [gateway_pb2.PublishRequest.Frame.FromString(draft.told + draft.readings) for draft in drafts]


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


def piped(shelf: "_Shelf", *, presence: Presence | None = None, known: tuple[Location, ...] = (HALL,)) -> Pipeline:
    """A pipeline whose agents file says UPS and HALL, and once said `known`."""
    places = Places([HALL], [place.id for place in known])
    alarms = remembered_alarms(shelf.recall(ALARMS))
    presence = presence or Presence([UPS.id])
    return Pipeline(writer(), shelf, presence=presence, places=places, holding=Holding(), alarms=alarms)


class _Shelf:
    """Takes frames over while there is room."""

    def __init__(self) -> None:
        self.room = True
        self.drafts: list[Draft] = []
        self.memory: dict[str, str] = {}

    async def put(self, drafts: list[Draft], remember: dict[str, str | None]) -> None:
        if not self.room:
            raise OutboxFull("no room")
        self.drafts = drafts
        self.memory = {key: value for key, value in (self.memory | remember).items() if value is not None}

    def recall(self, prefix: str) -> list[str]:
        return [value for key, value in sorted(self.memory.items()) if key.startswith(prefix)]


async def test_an_alarm_that_found_no_room_comes_with_the_next_frame_that_does() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(poll(0, {"output.status": "online"}))
    shelf.room = False
    await pipeline.take(poll(5, {"output.status": "on battery"}))
    shelf.room = True
    await pipeline.take(poll(10, {"output.status": "on battery"}))
    assert [alarm.label for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["Power Failure"]


def deleted(shelf: _Shelf) -> list[str]:
    """The ids of what the last frames say is gone."""
    changes = [frame.inventory for frame in parsed(shelf.drafts)]
    names = [name for change in changes for name in (*change.deleted_devices, *change.deleted_locations)]
    return [name.rpartition("/")[2] for name in names]


def about_ups(shelf: _Shelf) -> list[Draft]:
    return [draft for draft in shelf.drafts if draft.about == UPS.id]


BANK = Device(DeviceId("ups-bank-1"), "Bank", DeviceType.OUTLET_GROUP, parent=UPS.id)
OTHER = replace(UPS, id=DeviceId("other"))


def answer(seconds: float, *devices: Device) -> Poll:
    values: dict[str, Value] = {"output.status": "on battery"}
    readings = [reading(metric, value, seconds, device=device) for device in devices for metric, value in values.items()]
    return Poll(at(seconds), devices[0], True, devices, tuple(readings))


async def test_a_part_is_gone_once_its_agent_has_answered_without_it_for_a_day() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(answer(0, UPS, BANK))
    hours = range(1, 40)
    for hour in hours:
        await pipeline.take(answer(hour * 3600, UPS))
        assert deleted(shelf) == (["ups-bank-1"] if hour == 25 else [])
    alarms = [alarm.device for _, alarm in remembered_alarms(shelf.recall(ALARMS))]
    assert alarms == ["ups"]
    await pipeline.take(answer(50 * 3600, UPS, BANK))
    assert [device.name for frame in parsed(shelf.drafts) for device in frame.inventory.devices] == [
        "customers/north/devices/ups-bank-1"
    ]
    assert [alarm.device for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["customers/north/devices/ups-bank-1"]
    assert remembered_present(shelf.recall(PRESENT))[UPS.id].gone == set()


async def test_a_silent_agent_or_one_that_rarely_answers_says_nothing_of_its_parts() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(answer(0, UPS, BANK))
    for hour in range(1, 100):
        await pipeline.take(poll(hour * 3600, reachable=False))
    for day in range(5, 5 + FEWEST_ANSWERS - 1):
        await pipeline.take(answer(day * 86_400, UPS))
        assert deleted(shelf) == []


async def test_an_agent_that_is_in_the_file_no_more_takes_its_devices_along_once_all_others_are_told() -> None:
    shelf = _Shelf()
    hall_2 = Location(LocationId("hall-2"), "Hall 2", LocationKind.ROOM)
    await piped(shelf, presence=Presence([UPS.id, OTHER.id])).take(answer(0, UPS, BANK), answer(0, OTHER))
    for _ in range(2):  # said again at every start
        presence = Presence([OTHER.id], remembered_present(shelf.recall(PRESENT)))
        pipeline = piped(shelf, presence=presence, known=(HALL, hall_2))
        await pipeline.take(answer(5, OTHER))
        assert deleted(shelf) == []
        await pipeline.take(answer(10, OTHER))
        assert deleted(shelf) == ["ups", "ups-bank-1", "hall-2"]
        await pipeline.take(answer(15, OTHER))
        assert deleted(shelf) == []
    pipeline.forgotten()
    await pipeline.take(answer(20, OTHER))
    assert deleted(shelf) == []
    await pipeline.take(answer(25, OTHER))
    assert deleted(shelf) == ["ups", "ups-bank-1", "hall-2"]
    assert {alarm.device for _, alarm in remembered_alarms(shelf.recall(ALARMS))} == {"other"}


async def test_a_part_that_another_agent_speaks_for_now_is_not_gone() -> None:
    presence = Presence([OTHER.id], {UPS.id: Present({UPS.id, BANK.id}), OTHER.id: Present({OTHER.id, BANK.id})})
    shelf = _Shelf()
    pipeline = piped(shelf, presence=presence)
    await pipeline.take(answer(0, OTHER, BANK))
    await pipeline.take(answer(5, OTHER, BANK))
    assert deleted(shelf) == ["ups"]


async def test_an_agent_that_is_always_refused_waits_ever_longer_and_says_what_was_lost() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    tried = []
    for second in range(0, 2 * 86_400, 60):
        shelf.drafts = []
        await pipeline.take(answer(second, UPS))
        if about_ups(shelf):
            tried.append(second)
            pipeline.refused(UPS.id)
    minutes = [later // 60 - earlier // 60 for earlier, later in pairwise(tried)]
    assert minutes[:7] == [1, 1 + 1, 2 + 1, 4 + 1, 8 + 1, 16 + 1, 32 + 1]
    assert set(minutes[8:]) == {60 + 1}
    (lost,) = remembered_lost(shelf.recall(LOST)).values()
    assert lost.since == at(tried[-1] + 60)
    last, shelf.drafts = second, []
    while not about_ups(shelf):
        last += 60
        await pipeline.take(answer(last, UPS))
    first = about_ups(shelf)[0]
    assert (first.span, first.lost) == (Span(at(tried[-1] + 60), at(last - 60)), True)
    assert [alarm.label for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["Power Failure"]
    assert shelf.recall(LOST) == []


async def test_an_alarm_of_a_part_that_is_not_seen_waits_until_it_is() -> None:
    known = list(AlarmBook().observe(answer(0, BANK)))
    shelf = _Shelf()
    pipeline = Pipeline(
        writer(), shelf, presence=Presence([UPS.id]), places=Places([HALL]), holding=Holding(),
        alarms=[(UPS.id, alarm) for alarm in known],
    )  # fmt: skip
    await pipeline.take(answer(5, UPS))
    assert [alarm.device for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["customers/north/devices/ups"]
    await pipeline.take(answer(10, UPS, BANK))
    assert [alarm.device for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["customers/north/devices/ups-bank-1"]


async def test_how_a_cleared_alarm_stands_is_told_again_after_a_restart() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(poll(0, {"output.status": "on battery"}))
    await pipeline.take(poll(5, {"output.status": "online"}))
    again = Pipeline(
        writer(), shelf, presence=Presence([UPS.id]), places=Places([HALL]), holding=Holding(),
        alarms=remembered_alarms(shelf.recall(ALARMS)),
    )  # fmt: skip
    await again.take(poll(10, {"output.status": "online"}))
    assert [alarm.label for frame in parsed(shelf.drafts) for alarm in frame.alarms] == ["Power Failure Cleared"]
