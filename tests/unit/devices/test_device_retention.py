"""Retention on real files: by age, by size, beside appends, and space that is given back."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SECOND
from consentry_devices.app import DAY, start
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame
from consentry_devices.log.entries import Kind
from consentry_devices.log.retention import Retention
from consentry_devices.settings import DevicesSettings
from consentry_devices.storage.store import FILE, Store, open_store
from consentry_rule import DataClass, Instant
from support.clocks import START, FakeClock
from support.device_frames import NORTH, PlainEncoder, frame, stream, telemetry
from support.devices import RuleGate
from support.gateways import publish, readings
from support.processes import until

_MIB = 2**20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    store = open_store(tmp_path, encoder=PlainEncoder(), clock=clock, random=secrets.token_bytes)
    yield store
    await store.close()


def retention(store: Store, clock: FakeClock, *, days: int = 90, size: int = 1_000 * _MIB) -> Retention:
    return Retention(store.log, store.tidying, clock, age=days * DAY, size=size)


def big(number: int, clock: FakeClock) -> Frame:
    """A frame with 100 kB of telemetry, taken in now."""
    return replace(frame(number, replace(telemetry(1.0), payload=secrets.token_bytes(100_000))), time=clock.now())


async def append(store: Store, *frames: Frame) -> None:
    for answer in [await store.log.submit(stream(), one) for one in frames]:
        await answer


async def test_what_was_taken_in_longer_ago_than_the_age_goes(store: Store, clock: FakeClock) -> None:
    keeping = retention(store, clock, days=2)
    for number in range(1, 5):
        await append(store, replace(frame(number, telemetry(float(number))), time=clock.now()))
        clock.advance(24 * 3600)
    assert await keeping.enforce() == 3  # of the first two days, inventory with the first
    assert [entry.take_time for entry in await store.log.read_after(0, 10, max_bytes=10**6)] == [
        START + 2 * DAY,
        START + 3 * DAY,
    ]
    assert (await store.log.removed(None))[NORTH][DataClass.TELEMETRY].seq == 3
    assert await keeping.enforce() == 0
    clock.advance(100 * 24 * 3600)
    assert await keeping.enforce() == 2
    assert store.log.first() == store.log.tail() + 1


async def test_of_too_much_the_oldest_goes_and_the_disk_gets_its_space_back(
    store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    await append(store, *(big(number, clock) for number in range(1, 601)))
    before = await store.log.size()
    assert before > 60_000_000
    await retention(store, clock, size=10 * _MIB).enforce()
    assert 9 * _MIB < await store.log.size() <= 10 * _MIB
    kept = [entry.seq for entry in await store.log.read_after(0, 1_000, max_bytes=10**9)]
    assert kept == list(range(store.log.first(), store.log.tail() + 1))
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / FILE).stat().st_size < before / 1.5


async def test_appends_go_on_while_much_is_removed(store: Store, clock: FakeClock) -> None:
    await append(store, *(big(number, clock) for number in range(1, 301)))
    clock.advance(100 * 24 * 3600)
    removing = asyncio.create_task(retention(store, clock).enforce())
    number = 300
    while not removing.done():
        number += 1
        await append(store, big(number, clock))
    assert await removing == 301
    assert number > 302, "several, between the pieces"
    assert len(await store.log.read_after(0, 1_000, max_bytes=10**9)) == number - 300


async def test_of_an_alarm_that_was_cleared_long_ago_the_newest_event_stays(store: Store, clock: FakeClock) -> None:
    def alarm(id_: str, at: int, cleared: int | None = None) -> Alarm:
        clear_time = None if cleared is None else Instant(START + cleared * SECOND)
        return Alarm(id_, "ups", "Power", "", 7, Instant(START + at * SECOND), clear_time)

    told = [alarm("old", 0), alarm("old", 0, 1), alarm("old", 2), alarm("old", 2, 3), alarm("active", 0), alarm("active", 0, 1)]
    told += [alarm("active", 5)]
    for number, each in enumerate(told, 1):
        await append(store, frame(number, alarms=(each,)))
    clock.advance(100 * 24 * 3600)
    await retention(store, clock).enforce()
    assert [event.number for event in await store.state.alarm_events(NORTH, "old", after=0, limit=10)] == [4]
    assert [event.number for event in await store.state.alarm_events(NORTH, "active", after=0, limit=10)] == [1, 2, 3]
    assert len(await store.state.alarms(NORTH, active_only=False, after="", limit=10)) == 2


async def test_the_service_removes_by_itself(tmp_path: Path, clock: FakeClock) -> None:
    gate = RuleGate(clock)
    settings = DevicesSettings(listen="127.0.0.1:0", data_dir=tmp_path, retention_days=1)
    devices = await start(settings, clock=clock, gate=gate)
    try:
        async with open_channel(devices.address) as channel:
            await publish(channel, gate.gateway("north"), readings(1, START, 1.0))
        log = devices.store.log
        assert [entry.kind for entry in await log.read_after(0, 9, max_bytes=10**6)] == [Kind.INVENTORY, Kind.TELEMETRY]
        clock.advance(2 * 24 * 3600)
        await until(lambda: log.first() == 3, "both are removed")
    finally:
        await devices.stop()


def test_retention_is_never_for_nothing() -> None:
    for wrong in ({"retention_days": 0}, {"retention_bytes": 1_000}):
        with pytest.raises(SettingError, match="at least"):
            DevicesSettings(**wrong)  # type: ignore[arg-type]
