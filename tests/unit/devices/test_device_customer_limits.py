"""What all gateways of one customer may do together: their ids are theirs to choose, so nothing is counted by them alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_core.values.errors import InvalidArgument, ResourceExhausted
from consentry_devices.domain import frames, inventory_draft
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame, StreamKey
from consentry_devices.domain.inventory import InventoryChange, Location
from consentry_devices.ingest import streams as ingest
from consentry_devices.ingest.quotas import BURST, Quotas, Rates
from consentry_devices.ingest.streams import Ingest
from consentry_devices.log import group
from consentry_rule import Instant
from support.clocks import FakeClock
from support.device_frames import NOW, SOUTH, device, frame, sensor, stream, telemetry
from support.device_logs import InMemory, InSqlite, Keeper
from support.slow_appender import SlowAppender, Source

NOTHING = InventoryChange(NOW)


def _no_end(error: Exception) -> None:
    raise AssertionError(error)


@asynccontextmanager
async def _publishing(taking: Ingest, key: StreamKey, *told: Frame) -> AsyncIterator[None]:
    async def publish() -> None:
        async with taking.open(key, _no_end) as opened:
            async for _ in opened.acknowledgements(aiter(Source(*told))):
                pass

    task = asyncio.create_task(publish())
    await _settle()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_many_ids_have_one_quota() -> None:
    clock, appender, waited = FakeClock(), SlowAppender(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.set()
        await asyncio.Event().wait()

    rates = Rates(readings=10, bytes=0)
    taking = Ingest(appender, clock, Quotas(rates, rates), sleep=sleep)
    async with AsyncExitStack() as stack:
        for number in range(20):
            told = [frame(each, telemetry(*[1.0] * 10)) for each in range(1, 5)]
            await stack.enter_async_context(_publishing(taking, stream(gateway=f"gw{number}"), *told))
        assert waited.is_set()
        assert len(appender.submitted) <= BURST + 1, "ten seconds' worth, and the frame that overdraws"
        before = len(appender.submitted)
        await stack.enter_async_context(_publishing(taking, stream(SOUTH), frame(1, telemetry(1.0, customer=SOUTH))))
        assert len(appender.submitted) == before + 1, "another customer's has its own"


async def test_so_many_gateways_of_a_customer_publish_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "GATEWAYS_OF_CUSTOMER", 2)
    taking = Ingest(SlowAppender(), FakeClock())
    async with AsyncExitStack() as stack:
        for name in ("a", "b"):
            await stack.enter_async_context(taking.open(stream(gateway=name), _no_end))
        with pytest.raises(ResourceExhausted) as refused:
            await stack.enter_async_context(taking.open(stream(gateway="c"), _no_end))
        assert refused.value.reason == "TOO_MANY_GATEWAYS"
        await stack.enter_async_context(taking.open(stream(SOUTH, gateway="c"), _no_end))
    async with taking.open(stream(gateway="c"), _no_end):
        pass


async def test_what_is_on_its_way_is_bounded_for_all_gateways_of_a_customer(monkeypatch: pytest.MonkeyPatch) -> None:
    block = telemetry(*map(float, range(1_000)))
    monkeypatch.setattr(ingest, "CUSTOMER_BYTES", 5 * len(block.payload))
    appender = SlowAppender()
    taking = Ingest(appender, FakeClock())
    async with AsyncExitStack() as stack:
        for number in range(4):
            told = [frame(each, block) for each in range(1, 5)]
            await stack.enter_async_context(_publishing(taking, stream(gateway=f"gw{number}"), *told))
        assert len(appender.submitted) == 5
        appender.submitted[0][1].set_result(1)
        await _settle()
        assert len(appender.submitted) == 6


@pytest.fixture(params=[InMemory, InSqlite])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    made: Keeper = request.param(tmp_path)
    return made


def alarm(name: str, *, cleared: bool = False) -> Alarm:
    return Alarm(name, "ups", "Power lost", "", 3, Instant(NOW), Instant(NOW + 1) if cleared else None)


async def _refused(it: object, told: Frame, gateway: str = "gw") -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refused:
        await it.append(told, of=stream(gateway=gateway))  # type: ignore[attr-defined]
    assert refused.value.reason == "CUSTOMER_FULL"
    return refused.value


async def test_a_customer_has_so_many_things(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be more is refused, and all else goes on: other frames, what is changed, what is deleted."""
    for what, most in (("LOCATIONS", 2), ("DEVICES", 3), ("SENSORS", 4)):
        monkeypatch.setattr(inventory_draft, f"{what}_OF_CUSTOMER", most)
    async with keeper.open() as it:
        devices = tuple(device(name) for name in ("ups", "b", "c"))
        sensors = tuple(sensor("ups", f"s{number}") for number in range(4))
        locations = tuple(Location(name, "", 1, "") for name in "xy")
        await it.append(frame(1, inventory=InventoryChange(NOW, locations, devices, sensors)))
        for more in (
            replace(NOTHING, devices=(device("d"),)),
            replace(NOTHING, sensors=(sensor("ups", "s9"),)),
            replace(NOTHING, locations=(Location("z", "", 1, ""),)),
        ):
            await _refused(it, frame(2, inventory=more))
        await it.append(frame(2, inventory=replace(NOTHING, devices=(replace(device("b"), display_name="Other"),))))
        swapped = replace(NOTHING, devices=(device("d"),), deleted_devices=("c",))
        await it.append(frame(3, inventory=swapped))
        await it.append(frame(1, inventory=replace(NOTHING, devices=(device("e"),))), of=stream(SOUTH))


async def test_a_customers_texts_are_bounded(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_draft, "INVENTORY_OF_CUSTOMER_BYTES", 500)
    async with keeper.open() as it:
        for number in range(1, 5):
            named = replace(device(f"d{number}"), display_name="x" * 100)
            await it.append(frame(number, inventory=replace(NOTHING, devices=(named,))))
        await _refused(it, frame(5, inventory=replace(NOTHING, devices=(replace(device("d5"), display_name="x" * 100),))))
        shorter = replace(device("d1"), display_name="x")
        await it.append(frame(5, inventory=replace(NOTHING, devices=(shorter,))))
        await it.append(frame(6, inventory=replace(NOTHING, devices=(replace(device("d5"), display_name="x" * 90),))))


async def test_so_many_alarms_are_active_and_so_many_there_are(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "ACTIVE_ALARMS_OF_CUSTOMER", 2)
    monkeypatch.setattr(frames, "ALARMS_OF_CUSTOMER", 4)
    async with keeper.open() as it:
        known = InventoryChange(NOW, devices=(device(),))
        await it.append(frame(1, inventory=known, alarms=(alarm("a"), alarm("b"))))
        await _refused(it, frame(2, inventory=NOTHING, alarms=(alarm("c"),)))
        await it.append(frame(2, inventory=NOTHING, alarms=(alarm("a", cleared=True), alarm("c"))))
        await it.append(frame(3, inventory=NOTHING, alarms=(alarm("d", cleared=True),)))
        await _refused(it, frame(4, inventory=NOTHING, alarms=(alarm("e", cleared=True),)))
        await it.append(frame(4, inventory=NOTHING, alarms=(alarm("b", cleared=True),)))


async def test_gateways_have_published_under_so_many_ids(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "GATEWAYS_OF_CUSTOMER", 2)
    async with keeper.open() as it:
        for name in ("a", "b"):
            await it.append(frame(1, inventory=NOTHING), of=stream(gateway=name))
    async with keeper.open() as it:
        await _refused(it, frame(1, inventory=NOTHING), "c")
        await it.append(frame(1, inventory=NOTHING), of=stream(gateway="a", epoch="another-0123456789"))
        await it.append(frame(1, inventory=NOTHING), of=stream(SOUTH, gateway="c"))
