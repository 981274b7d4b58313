"""From polls to the outbox: what is owed, what is gone, who has to wait, and what is told again."""

from dataclasses import replace
from itertools import pairwise

from consentry_gateway.outbox.holding import Holding
from consentry_gateway.outbox.memory import (
    ALARMS,
    LOST,
    PRESENT,
    remembered_alarms,
    remembered_lost,
    remembered_present,
)
from consentry_gateway.outbox.outbox import Draft, OutboxFull, Span
from consentry_gateway.outbox.pipeline import Pipeline
from consentry_gateway.publishing.refusals import LeftOut
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, Location, LocationId, LocationKind, Poll, Value
from consentry_gateway.reading.presence import FEWEST_ANSWERS, Places, Presence, Present
from consentry_rule import Instant
from support.gateway_frames import HALL, parsed, writer
from support.polls import UPS, at, poll, reading


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


async def test_an_agent_whose_tables_cannot_all_be_read_says_nothing_of_the_parts_that_are_not_seen() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(answer(0, UPS, BANK))
    for hour in range(1, 100):
        await pipeline.take(replace(answer(hour * 3600, UPS), complete=False))
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


async def test_locations_that_are_always_refused_wait_too() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    tried = 0
    for second in range(0, 300, 5):
        await pipeline.take(answer(second, UPS))
        if any(frame.inventory.locations for frame in parsed(shelf.drafts)):
            tried += 1
            pipeline.refused("")
        assert about_ups(shelf)
    assert tried == 4


async def test_a_clock_that_is_set_ahead_makes_no_day_without_a_part() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    await pipeline.take(answer(0, UPS, BANK))
    for step in range(1, 2 * FEWEST_ANSWERS):
        await pipeline.take(answer(5 * step + (40 * 86_400 if step > 1 else 0), UPS))
        assert deleted(shelf) == []


async def test_a_clock_before_2000_tells_nothing_and_what_was_read_is_a_loss_once_it_is_set() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    for second in (1, 6):
        early = poll(0, {"output.status": "on battery"})
        time = Instant(second * 10**9)
        await pipeline.take(replace(early, time=time, readings=tuple(replace(one, time=time) for one in early.readings)))
        assert not about_ups(shelf)
    await pipeline.take(poll(60, {"output.status": "on battery"}))
    assert [draft.span for draft in shelf.drafts if draft.lost] == [Span(at(55), at(60))]
    (alarm,) = [alarm for frame in parsed(shelf.drafts) for alarm in frame.alarms]
    assert alarm.activate_time.ToNanoseconds() == at(60)


async def test_a_thing_that_is_refused_is_not_told_for_an_hour_or_until_it_changes() -> None:
    shelf = _Shelf()
    pipeline = piped(shelf)
    bank = f"customers/north/devices/{BANK.id}"
    told = []
    for second in (0, 60, 120, 180, 240, 3_000, 4_000):
        name = "Bank" if second < 180 else "Other"
        await pipeline.take(answer(second, UPS, replace(BANK, display_name=name)))
        frames = parsed(shelf.drafts)
        told.append(sum(device.name == bank for frame in frames for device in frame.inventory.devices))
        assert any(block.device.endswith("/ups") for frame in frames for block in frame.telemetry)
        assert any(block.device == bank for frame in frames for block in frame.telemetry) == (second in {0, 180, 4_000})
        if second in {0, 180}:
            pipeline.left_out(UPS.id, LeftOut(bank, (bank,), readings=True))
    assert told == [1, 0, 0, 1, 0, 0, 1]
