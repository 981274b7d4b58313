"""What every engine of the log must do. Another engine is another entry in `support.device_logs.ENGINES`."""

import asyncio
import itertools
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentry_core.values.errors import InvalidArgument, Unavailable
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame
from consentry_devices.domain.inventory import InventoryChange
from consentry_devices.log.engine import Fenced
from consentry_devices.log.entries import Entry, Kind, Removal
from consentry_rule import CustomerId, DataClass, Instant
from support.device_frames import KNOWN, NORTH, NOW, SECOND, SOUTH, device, frame, sensor, stream, telemetry
from support.device_logs import ENGINES, Keeper, OpenLog
from support.snapshots import snapshot_of

_ALL: Any = {"taken_before": None, "max_entries": 10**6, "max_bytes": 10**9}


@pytest.fixture(params=ENGINES)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    """Where the engine keeps the log."""
    return ENGINES[request.param](tmp_path)


def _frames(first: int, last: int) -> list[Frame]:
    return [frame(number, telemetry(float(number))) for number in range(first, last + 1)]


async def test_an_empty_log_begins_at_1(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        log = opened.log
        assert (log.first(), log.tail(), await opened.entries()) == (1, 0, [])
        assert log.run_of(0) == ""
        assert log.run_of(1) != ""
        assert await log.removed(None) == {}
        assert await log.remove_oldest(**_ALL) == 0
        assert (await snapshot_of(opened.state, NORTH)).seq == 0


async def test_entries_are_numbered_from_1_without_holes_and_read_back_as_they_were(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        first, second = telemetry(1.0, 2.0), telemetry(3.0)
        await opened.append(frame(1, first), frame(2, second))
        entries = await opened.entries()
        assert [entry.seq for entry in entries] == [1, 2, 3]
        assert entries[0].kind is Kind.INVENTORY
        assert entries[1] == Entry(
            2, NORTH, DataClass.TELEMETRY, Kind.TELEMETRY, "ups", NOW, first.max_time, NOW, False, first.payload
        )
        assert entries[2].payload == second.payload
        assert (opened.log.first(), opened.log.tail()) == (1, 3)


async def test_what_one_frame_holds_is_logged_inventory_first_then_alarms_then_readings(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        alarm = Alarm("power", "ups", "Power Failure", "", 7, Instant(NOW - SECOND))
        late = replace(frame(1, telemetry(1.0), telemetry("text"), alarms=(alarm,)), historical=True)
        await opened.append(late)
        entries = await opened.entries()
        assert [entry.kind for entry in entries] == [Kind.INVENTORY, Kind.ALARM, Kind.TELEMETRY, Kind.TELEMETRY]
        assert [entry.data_class for entry in entries[:3]] == [DataClass.INVENTORY, DataClass.ALARMS, DataClass.TELEMETRY]
        assert [entry.historical for entry in entries] == [False, True, True, True]
        assert [entry.device for entry in entries] == [None, "ups", "ups", "ups"]
        assert entries[1].min_time == entries[1].max_time == NOW - SECOND


async def test_the_time_of_taking_in_never_falls(keeper: Keeper) -> None:
    times = [NOW, NOW + 5 * SECOND, NOW + 2 * SECOND, NOW + 9 * SECOND]
    async with keeper.open() as opened:
        for number, time in enumerate(times, 1):
            await opened.append(replace(frame(number, telemetry(1.0)), time=Instant(time)))
        taken = [entry.take_time for entry in await opened.entries()]
        assert taken == [NOW, NOW, NOW + 5 * SECOND, NOW + 5 * SECOND, NOW + 9 * SECOND]
        await opened.log.remove_oldest(**_ALL)
    async with keeper.open() as opened:
        await opened.append(frame(5, telemetry(1.0)))
        assert [entry.take_time for entry in await opened.entries()] == [NOW + 9 * SECOND]


async def test_subscribers_get_every_entry_once_in_order_on_the_loop(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        log = opened.log
        await opened.append(frame(1, telemetry(1.0)))
        seen: list[Entry] = []
        tails: list[int] = []

        def subscriber(entries: tuple[Entry, ...]) -> None:
            seen.extend(entries)
            tails.append(log.tail())
            asyncio.get_running_loop()

        tail = log.tail()
        stop = log.subscribe(subscriber)
        await opened.append(*_frames(2, 39))
        assert [entry.seq for entry in seen] == list(range(tail + 1, log.tail() + 1))
        assert seen == await opened.entries(tail)
        assert tails[-1] == log.tail()
        stop()
        await opened.append(frame(40, telemetry(0.0)))
        assert seen[-1].seq == log.tail() - 1


async def test_reading_up_to_the_tail_and_subscribing_then_misses_nothing_whenever_that_is(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        readers: list[tuple[int, list[int]]] = []
        writing = asyncio.create_task(opened.append(*_frames(1, 100)))
        while not writing.done():
            told: list[int] = []
            readers.append((opened.log.tail(), told))
            opened.log.subscribe(lambda entries, told=told: told.extend(entry.seq for entry in entries))  # type: ignore[misc]
            await asyncio.sleep(0)
        await writing
        assert len({tail for tail, _ in readers}) > 1
        for tail, told in readers:
            assert told == list(range(tail + 1, opened.log.tail() + 1))


async def test_reading_stops_at_the_limits_but_gets_on(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        log = opened.log
        await opened.append(*(frame(number, telemetry(*[1.0] * 100)) for number in range(1, 11)))
        assert [entry.seq for entry in await log.read_after(3, 2, max_bytes=10**6)] == [4, 5]
        assert [entry.seq for entry in await log.read_after(3, 100, max_bytes=1)] == [4]
        assert [entry.seq for entry in await log.read_after(0, 100, max_bytes=2_500)] == [1, 2, 3]
        assert list(await log.read_after(log.tail(), 100, max_bytes=10**6)) == []
        assert list(await log.read_after(10**9, 100, max_bytes=10**6)) == []


async def test_payloads_of_any_size_come_back_as_they_were(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        blocks = [replace(telemetry(1.0), payload=bytes([size % 251]) * size) for size in (1, 4_000, 70_000, 4 * 1024 * 1024)]
        await opened.append(*(frame(number, block) for number, block in enumerate(blocks, 1)))
        assert [entry.payload for entry in (await opened.entries())[1:]] == [block.payload for block in blocks]


async def test_a_frame_without_anything_new_is_numbered_and_logs_nothing(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(frame(1), frame(2), frame(3))
        assert await opened.log.last_number(stream()) == 3
        assert [entry.kind for entry in await opened.entries()] == [Kind.INVENTORY]


async def test_a_frame_is_stored_once_however_often_and_whenever_it_comes(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(*_frames(1, 3), *_frames(2, 3))
        before = await opened.entries()
    async with keeper.open() as opened:
        await opened.append(*_frames(1, 3))
        assert await opened.entries() == before
        with pytest.raises(InvalidArgument, match="other content"):
            await opened.append(frame(2, telemetry(0.0), digest=b"other"))
        with pytest.raises(InvalidArgument, match="must be 4"):
            await opened.append(frame(5, telemetry(0.0)))
        assert await opened.entries() == before


async def test_of_a_refused_frame_nothing_is_stored_and_the_others_of_its_group_are(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        unknown = frame(2, telemetry(1.0, of="other"), inventory=InventoryChange(NOW, (), (device("new"),)))
        answers = [await opened.log.submit(stream(), one) for one in (_frames(1, 1)[0], unknown, _frames(2, 2)[0])]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [isinstance(result, InvalidArgument) for result in results] == [False, True, False]
        assert [each.id for each in (await snapshot_of(opened.state, NORTH)).devices] == ["ups"]
        assert [entry.kind for entry in await opened.entries()] == [Kind.INVENTORY, Kind.TELEMETRY, Kind.TELEMETRY]


async def test_a_snapshot_is_exact_at_its_number(keeper: Keeper) -> None:
    """While frames pour in: what the snapshot says is what the log says up to its `seq`, and nothing else."""
    async with keeper.open() as opened:
        enough = asyncio.Event()
        writing = asyncio.create_task(_pour(opened, enough))
        seen: set[int] = set()
        while len(seen) < 5:
            snapshot = await snapshot_of(opened.state, NORTH)
            seen.add(snapshot.seq)
            counted = {reading.sensor: reading.value for reading in snapshot.latest}
            entries = [entry for entry in await opened.entries() if entry.seq <= snapshot.seq]
            blocks = sum(entry.kind is Kind.TELEMETRY for entry in entries)
            assert counted == ({"load": float(blocks)} if blocks else {})
            assert len(snapshot.devices) == sum(entry.kind is Kind.INVENTORY for entry in entries)
        enough.set()
        await writing
        assert (await snapshot_of(opened.state, NORTH)).seq == opened.log.tail()


async def _pour(opened: OpenLog, enough: asyncio.Event) -> None:
    pending: deque[asyncio.Future[int]] = deque()
    for number in itertools.count(1):
        told = InventoryChange(NOW, (), (device(), device(f"d{number:03}")), (sensor(),))
        block = telemetry(float(number), start=NOW + number * SECOND)
        pending.append(await opened.log.submit(stream(), frame(number, block, inventory=KNOWN if number == 1 else told)))
        if len(pending) > 20:
            await pending.popleft()
        if enough.is_set():
            break
    for answer in pending:
        await answer


async def test_a_late_reading_is_logged_and_is_not_the_newest(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(frame(1, telemetry(2.0, start=NOW + 2 * SECOND)), frame(2, telemetry(1.0)))
        await opened.append(frame(3, telemetry(0.0)))
        assert [reading.value for reading in (await snapshot_of(opened.state, NORTH)).latest] == [2.0]
        assert len(await opened.entries()) == 4


async def test_a_reopened_log_goes_on_where_it_was(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(frame(1, telemetry(1.0)))
        store, tail = opened.log.store_id, opened.log.tail()
        before = (await opened.entries(), await snapshot_of(opened.state, NORTH))
    async with keeper.open() as opened:
        assert (opened.log.store_id, opened.log.first(), opened.log.tail()) == (store, 1, tail)
        assert (await opened.entries(), await snapshot_of(opened.state, NORTH)) == before
        assert await opened.log.last_number(stream()) == 1
        await opened.append(frame(2, telemetry(2.0)))
        assert opened.log.tail() == tail + 1
        assert (await opened.entries())[:-1] == before[0]


async def test_what_was_submitted_is_committed_before_the_log_is_closed_and_nothing_afterwards(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        log = opened.log
        answers = [await log.submit(stream(), one) for one in _frames(1, 19)]
    assert [answer.result() for answer in answers] == list(range(1, 20))
    with pytest.raises(Unavailable, match="going down"):
        await log.submit(stream(), frame(20, telemetry(1.0)))


async def test_retention_removes_the_oldest_and_remembers_what_by_customer_and_class(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        alarm = Alarm("power", "ups", "Power Failure", "", 7, Instant(NOW - SECOND))
        await opened.append(frame(1, telemetry(1.0, start=NOW + 9 * SECOND), telemetry(2.0), alarms=(alarm,)))
        await opened.append(frame(1, telemetry(1.0, customer=SOUTH)), of=stream(SOUTH))
        state = await snapshot_of(opened.state, NORTH)
        assert await opened.log.remove_oldest(taken_before=None, max_entries=4, max_bytes=10**9) == 4
        assert (opened.log.first(), opened.log.tail(), await opened.seqs()) == (5, 6, [5, 6])
        north = {
            DataClass.INVENTORY: Removal(1, NOW),
            DataClass.ALARMS: Removal(2, Instant(NOW - SECOND)),
            DataClass.TELEMETRY: Removal(4, Instant(NOW + 9 * SECOND)),  # of entry 3
        }
        assert await opened.log.removed(None) == {NORTH: north}
        assert await opened.log.removed([NORTH, CustomerId("other")]) == {NORTH: north}
        assert await opened.log.removed([SOUTH]) == {}
        assert await snapshot_of(opened.state, NORTH) == state, "how things stand is not forgotten"

        assert await opened.log.remove_oldest(**_ALL) == 2
        assert (opened.log.first(), opened.log.tail(), await opened.seqs()) == (7, 6, [])
        after = (await opened.log.removed([SOUTH]), opened.log.run_of(3))
        assert after[0] == {SOUTH: {DataClass.INVENTORY: Removal(5, NOW), DataClass.TELEMETRY: Removal(6, NOW)}}
    async with keeper.open() as opened:
        assert (opened.log.first(), opened.log.tail()) == (7, 6)
        assert (await opened.log.removed([SOUTH]), opened.log.run_of(3)) == after
        await opened.append(frame(2, telemetry(3.0)))
        assert (opened.log.first(), await opened.seqs()) == (7, [7])


async def test_retention_removes_what_was_taken_in_before_and_in_bounded_pieces(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        times = [NOW + number * SECOND for number in range(1, 21)]
        frames = [replace(frame(n, telemetry(*[1.0] * 50)), time=Instant(time)) for n, time in enumerate(times, 1)]
        await opened.append(*frames)  # 21 entries: the first two are of the first frame
        remove, cut = opened.log.remove_oldest, Instant(times[10])
        assert await remove(taken_before=cut, max_entries=3, max_bytes=10**9) == 3
        assert await remove(taken_before=cut, max_entries=100, max_bytes=1) == 1
        assert await remove(taken_before=cut, max_entries=100, max_bytes=10**9) == 7
        assert await remove(taken_before=cut, max_entries=100, max_bytes=10**9) == 0
        assert [entry.take_time for entry in await opened.entries()] == times[10:]
        assert opened.log.first() == 12


async def test_the_size_grows_with_what_is_stored_and_falls_with_what_is_removed(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        sizes = [await opened.log.size()]
        block = replace(telemetry(1.0), payload=bytes(100_000))
        for number in range(1, 11):
            await opened.append(frame(number, block))
            sizes.append(await opened.log.size())
        assert sizes == sorted(sizes)
        assert sizes[-1] - sizes[0] >= 1_000_000
        await opened.log.remove_oldest(taken_before=None, max_entries=7, max_bytes=10**9)
        assert await opened.log.size() <= sizes[-1] - 500_000


async def test_while_entries_are_removed_others_are_appended_and_none_is_missed(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        writing = asyncio.create_task(opened.append(*_frames(1, 150)))
        gone = 0
        while not writing.done() or opened.log.first() <= opened.log.tail() - 5:
            gone += await opened.log.remove_oldest(taken_before=None, max_entries=5, max_bytes=10**9)
            kept = await opened.seqs()
            assert kept == list(range(kept[0], kept[-1] + 1)) if kept else True
            assert not kept or kept[0] == opened.log.first()
        await writing
        assert gone == opened.log.first() - 1
        assert (await opened.log.removed(None))[NORTH][DataClass.TELEMETRY].seq == gone


async def test_another_opening_fences_the_one_before(keeper: Keeper) -> None:
    async with keeper.open() as old:
        await old.append(frame(1, telemetry(1.0)))
        async with keeper.open_beside() as new:
            before = await new.entries()
            with pytest.raises(Unavailable) as caught:
                await old.append(frame(2, telemetry(2.0)))
            assert caught.value.reason == "STORE_UNAVAILABLE"
            with pytest.raises(Fenced):
                await old.log.remove_oldest(**_ALL)
            assert await new.entries() == before
            await new.append(frame(2, telemetry(3.0)))
            with pytest.raises(Unavailable):
                await old.append(frame(3, telemetry(2.0)))
            assert (await new.entries())[:-1] == before
            assert old.log.tail() == new.log.tail() - 1
            assert await new.log.last_number(stream()) == 2


async def test_each_entry_is_of_the_run_that_wrote_it(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(frame(1, telemetry(1.0)))
        first = opened.log.run_of(1)
        assert opened.log.run_of(2) == opened.log.run_of(1_000) == first
    for _ in range(2):  # nothing is written
        async with keeper.open() as opened:
            assert opened.log.run_of(2) == first
            assert opened.log.run_of(3) != first
    async with keeper.open() as opened:
        await opened.append(frame(2, telemetry(1.0)))
        second = opened.log.run_of(3)
    async with keeper.open() as opened:
        runs = [opened.log.run_of(seq) for seq in range(5)]
        assert runs[:4] == ["", first, first, second]
        assert len(set(runs)) == 4


async def test_what_a_restored_older_copy_writes_is_of_another_run_than_what_was_lost(keeper: Keeper) -> None:
    async with keeper.open() as opened:
        await opened.append(frame(1, telemetry(1.0)))
    backup = keeper.backup()
    async with keeper.open() as opened:
        await opened.append(frame(2, telemetry(2.0)))
        kept, lost, store = opened.log.run_of(2), opened.log.run_of(3), opened.log.store_id
    async with backup.open() as opened:
        assert opened.log.store_id == store
        assert opened.log.tail() == 2, "a cursor of entry 3 is beyond it"
        await opened.append(frame(2, telemetry(3.0)))
        assert opened.log.run_of(2) == kept
        assert opened.log.run_of(3) != lost
