"""From a gateway's polls to a partner's feed, all parts real: what is gone, what alarms do, what is lost."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consentry.devices.v1 import alarms_pb2, gap_pb2
from consentry_gateway.reading.model import Device, DeviceId
from support.clocks import FakeClock
from support.collecting import alarm_events, collecting, devices, gaps, readings, second, told
from support.devices import RuleGate, running_devices
from support.polls import UPS

OTHER = replace(UPS, id=DeviceId("other"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> RuleGate:
    gate = RuleGate(clock)
    gate.consent("north")
    return gate


async def test_an_agent_that_leaves_the_file_leaves_the_inventory_and_comes_back_with_it(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    gate.gateway("north")
    async with running_devices(tmp_path / "devices", gate) as service:
        address, folder = service.devices.address, tmp_path / "gateway"
        for agents, expected in (((UPS, OTHER), {"ups", "other"}), ((OTHER,), {"other"}), ((UPS, OTHER), {"ups", "other"})):
            async with collecting(folder, address, clock, agents) as gateway:
                for _ in range(2):
                    clock.advance(5)
                    for agent in agents:
                        await gateway.poll(agent, output_status="on battery")
                await gateway.acknowledged()
            assert devices(await told(service)) == expected
        events = await alarm_events(service, "ups.power-failure")
        kind = alarms_pb2.AlarmEvent.Kind
        assert [kind.Name(event.kind) for event in events] == ["KIND_ACTIVATED", "KIND_CLEARED", "KIND_REACTIVATED"]
        assert len(await alarm_events(service, "other.power-failure")) == 1


async def test_a_gateways_own_alarms_go_through_their_whole_life(tmp_path: Path, gate: RuleGate, clock: FakeClock) -> None:
    gate.gateway("north")
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        async with collecting(tmp_path / "gateway", service.devices.address, clock) as gateway:
            for status in ("near overload", "overload", "normal", "overload", "near overload"):
                clock.advance(5)
                await gateway.poll(load_status=status)
                await gateway.acknowledged()
        events = await alarm_events(service, "ups.load.status")
        kinds, severities = alarms_pb2.AlarmEvent.Kind, alarms_pb2.Alarm.Severity
        assert [
            (kinds.Name(event.kind), severities.Name(event.alarm.severity), event.alarm.label, event.alarm.reactivation_count)
            for event in events
        ] == [
            ("KIND_ACTIVATED", "SEVERITY_WARNING", "Near Overload", 0),
            ("KIND_CHANGED", "SEVERITY_CRITICAL", "Overload", 0),
            ("KIND_CLEARED", "SEVERITY_OK", "Overload Cleared", 0),
            ("KIND_REACTIVATED", "SEVERITY_CRITICAL", "Overload", 1),
            ("KIND_CHANGED", "SEVERITY_WARNING", "Near Overload", 1),
        ]
        assert [second(event.time.ToNanoseconds()) for event in events] == [5, 10, 15, 20, 25]
        in_feed = [message.alarm_change for message in await told(service, cursor) if message.HasField("alarm_change")]
        assert in_feed == events


async def test_what_happened_while_the_service_was_away_is_told_late_in_order_and_with_its_own_times(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    gate.gateway("north")
    async with collecting(tmp_path / "gateway", "127.0.0.1:1", clock, run=False) as gateway:
        for status in ("near overload", "overload", "normal", "overload"):
            clock.advance(100)
            await gateway.poll(load_status=status)
    clock.advance(3_600)
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        async with collecting(tmp_path / "gateway", service.devices.address, clock) as gateway:
            await gateway.acknowledged()
        events = await alarm_events(service, "ups.load.status")
        assert [(event.kind, second(event.time.ToNanoseconds())) for event in events] == [
            (1, 100),
            (2, 200),
            (3, 300),
            (4, 400),
        ]
        blocks = [device for message in await told(service, cursor) for device in message.telemetry.devices]
        assert [(block.historical, second(block.block.texts[0].time_unix_nano)) for block in blocks] == [
            (True, 100), (True, 200), (True, 300), (True, 400),
        ]  # fmt: skip


async def test_an_outage_that_is_too_long_costs_the_oldest_readings_and_nothing_else(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    gate.gateway("north")
    async with collecting(tmp_path / "gateway", "127.0.0.1:1", clock, run=False, bytes_=4_000) as gateway:
        for second in range(1, 61):
            clock.advance(1)
            await gateway.poll(load_status="overload" if second == 10 else "normal", ups_load=float(second))
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        async with collecting(tmp_path / "gateway", service.devices.address, clock) as gateway:
            await gateway.acknowledged()
        messages = await told(service, cursor)
        kept = [second for second, _ in readings(messages)]
        lost = gaps(messages)
        assert kept == list(range(kept[0], 61))
        assert len(kept) > 3
        assert {second for start, end in lost for second in range(start, end + 1)} == set(range(1, kept[0]))
        assert len(lost) <= 4  # the stretches between the frames that tell of an alarm
        assert [event.kind for event in await alarm_events(service, "ups.load.status")] == [1, 3]
        assert devices(messages) == {"ups"}


async def test_a_service_that_was_restored_is_told_everything_and_what_it_has_lost_is_a_gap(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    gate.gateway("north")
    store, copy = tmp_path / "devices", tmp_path / "copy"

    async def run(agents: Sequence[Device], status: str) -> None:
        async with (
            running_devices(store, gate) as service,
            collecting(tmp_path / "gateway", service.devices.address, clock, agents) as gateway,
        ):
            for _ in range(2):
                clock.advance(100)
                for agent in agents:
                    await gateway.poll(agent, output_status=status, ups_load=1.0)
            await gateway.acknowledged()

    await run((UPS, OTHER), "on battery")
    shutil.copytree(store, copy)
    await run((OTHER,), "online")
    shutil.rmtree(store)
    shutil.move(copy, store)
    async with running_devices(store, gate) as service:
        assert devices(await told(service)) == {"ups", "other"}
    await run((OTHER,), "online")
    async with running_devices(store, gate) as service:
        assert devices(await told(service)) == {"other"}
        assert [event.kind for event in await alarm_events(service, "other.power-failure")] == [1, 3]
        log = service.devices.store.log
        (gap,) = [
            gap_pb2.Gap.FromString(entry.payload)
            for entry in await log.read_after(0, 1000, max_bytes=10**9)
            if entry.kind.value == "gap"
        ]
        assert second(gap.start_time.ToNanoseconds()) == 300
        assert second(gap.end_time.ToNanoseconds() - 1) == 400


async def test_an_agent_that_is_always_refused_disturbs_the_others_rarely(
    tmp_path: Path, gate: RuleGate, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate.gateway("north")
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        async with collecting(tmp_path / "gateway", service.devices.address, clock, (UPS, OTHER)) as gateway:
            for _ in range(60):
                clock.advance(5)
                await gateway.poll(UPS, ups_load=1.0, ahead=600)
                await gateway.poll(OTHER, ups_load=1.0)
                await gateway.acknowledged()
            refused = [record for record in caplog.records if "the readings refused and left out" in record.getMessage()]
            assert len(refused) == 4  # at once, after a poll, a minute and two minutes
            clock.advance(5)
            await gateway.poll(UPS, ups_load=1.0)
            await gateway.acknowledged()
        messages = await told(service, cursor)
        assert [second for second, _ in readings(messages)] == list(range(5, 306, 5))
        assert gaps(messages)[-1][1] == 305  # all of what was lost, up to now, as its times are not to be believed
