"""What goes with a frame, in every engine of the log: entries in order, state exact, also within one group."""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consentry_core.values.errors import InvalidArgument
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame, Loss
from consentry_devices.domain.inventory import InventoryChange
from consentry_devices.log.entries import Entry, Kind
from consentry_rule import Instant
from support.device_frames import NORTH, NOW, SECOND, PlainEncoder, device, frame, sensor, stream, telemetry
from support.device_logs import ENGINES, Keeper
from support.snapshots import Whole, snapshot_of

NOTHING = InventoryChange(NOW)
ALARM = Alarm("power", "ups", "Power Failure", "", 7, NOW)


@pytest.fixture(params=ENGINES)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    """Where the log is kept."""
    return ENGINES[request.param](tmp_path)


def deleting(*devices: str) -> InventoryChange:
    return InventoryChange(NOW, deleted_devices=devices)


async def test_a_device_goes_with_its_sensors_alarms_and_newest_readings(keeper: Keeper) -> None:
    async with keeper.open() as it:
        await it.append(frame(1, telemetry(1.0), alarms=(ALARM,)))
        before = await it.entries()
        await it.append(frame(2, inventory=deleting("ups")))
        cleared, gone = (await it.entries())[len(before) :]
        assert (cleared.kind, cleared.payload) == (Kind.ALARM, b"north power 2 CLEARED")
        assert (gone.kind, gone.payload) == (Kind.INVENTORY, b"north [] ['ups', ('ups', 'load')]")
        snapshot = await snapshot_of(it.state, NORTH)
        assert (snapshot.devices, snapshot.sensors, snapshot.latest) == ([], [], [])
        assert [event.number for event in snapshot.alarms] == [2]


async def test_within_one_group_what_is_made_anew_after_its_end_is_there(keeper: Keeper) -> None:
    async with keeper.open() as it:
        await it.append(frame(1, telemetry(9.0, start=NOW + 100 * SECOND)))
        await it.append(
            frame(2, telemetry(8.0, start=NOW + 90 * SECOND), inventory=NOTHING, alarms=(ALARM,)),
            frame(3, inventory=deleting("ups")),
            frame(4, telemetry(1.0)),
            frame(5, inventory=deleting("ups")),
            frame(6, telemetry(2.0)),
        )
        snapshot = await snapshot_of(it.state, NORTH)
        assert [reading.value for reading in snapshot.latest] == [2.0]
        assert [each.gateways for each in snapshot.devices] == [("gw",)]
        assert [event.number for event in snapshot.alarms] == [2]


async def test_a_change_that_is_too_large_for_one_entry_is_several(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainEncoder, "inventory_changes", lambda *_: [b"one", b"two", b"three"])
    async with keeper.open() as it:
        await it.append(frame(1, inventory=InventoryChange(NOW, devices=(device(),))))
        assert [(entry.seq, entry.payload) for entry in await it.entries()] == [(1, b"one"), (2, b"two"), (3, b"three")]
        assert [each.id for each in (await snapshot_of(it.state, NORTH)).devices] == ["ups"]


async def test_a_loss_is_an_entry_of_telemetry(keeper: Keeper) -> None:
    async with keeper.open() as it:
        await it.append(replace(frame(1, inventory=NOTHING), loss=Loss(Instant(NOW - 5), Instant(NOW - 1)), historical=True))
        (entry,) = await it.entries()
        assert (entry.kind, entry.min_time, entry.max_time, entry.historical) == (Kind.GAP, NOW - 5, NOW - 1, True)
        assert entry.data_class.value == "telemetry"


Told = dict[str, Any]
Story = list[Told]

_IDS = st.sampled_from(["a", "b", "c"])
_FRAMES = st.lists(
    st.fixed_dictionaries(
        {
            "told": st.lists(st.tuples(_IDS, st.sampled_from(["", "a", "b"])), max_size=2),
            "deleted": st.lists(_IDS, max_size=2),
            "sensors": st.lists(_IDS, max_size=1),
            "alarms": st.lists(st.tuples(_IDS, st.integers(0, 2), st.booleans()), max_size=2),
            "readings": st.lists(st.tuples(_IDS, st.integers(0, 3)), max_size=2),
            "gateway": st.sampled_from(["gw", "gw", "other"]),
        }
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.slow
@given(_FRAMES)
@settings(max_examples=15)
def test_all_engines_make_the_same_of_any_story(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [asyncio.run(_played(make(Path(folder) / name), story)) for name, make in ENGINES.items()]
    assert all(each == found[0] for each in found)
    refused, entries, snapshot = found[0]
    devices = {each.id for each in snapshot.devices}
    assert {each.parent for each in snapshot.devices} <= devices | {""}
    assert {each.device for each in snapshot.sensors} <= devices
    known = {(each.device, each.id) for each in snapshot.sensors}
    assert {(reading.device, reading.sensor) for reading in snapshot.latest} <= known
    assert {event.alarm.device for event in snapshot.alarms if event.alarm.clear_time is None} <= devices
    assert len(refused) == len(story)
    assert [entry.seq for entry in entries] == list(range(1, snapshot.seq + 1))


async def _played(keeper: Keeper, story: Story) -> tuple[list[bool], list[Entry], Whole]:
    """Whether each frame was refused, and what there is then. Two groups, with another opening of the log between."""
    numbers = {"gw": 0, "other": 0}
    refused: list[bool] = []
    half = len(story) // 2
    for part in (story[:half], story[half:]):
        async with keeper.open() as it:
            for told in part:
                gateway = told["gateway"]
                of = replace(stream(), gateway=gateway)
                answer = await it.log.submit(of, _frame(numbers[gateway] + 1, told))
                try:
                    numbers[gateway] = await answer
                    refused.append(False)
                except InvalidArgument:
                    refused.append(True)
            entries = [replace(entry, take_time=NOW) for entry in await it.entries()]
            snapshot = await snapshot_of(it.state, NORTH)
    return refused, entries, snapshot


def _frame(number: int, told: Told) -> Frame:
    change = InventoryChange(
        NOW,
        devices=tuple(device(id_, parent) for id_, parent in told["told"]),
        sensors=tuple(sensor(id_) for id_, _ in told["told"]),
        deleted_devices=tuple(told["deleted"]),
        deleted_sensors=tuple((id_, "load") for id_ in told["sensors"]),
    )
    alarms = tuple(
        Alarm(f"{id_}-power", id_, "Power", "", 7, Instant(NOW + start), Instant(NOW + 9) if over else None)
        for id_, start, over in told["alarms"]
    )
    blocks = [telemetry(float(time), of=id_, start=NOW + time * SECOND) for id_, time in told["readings"]]
    return frame(number, *blocks, inventory=change, alarms=alarms)
