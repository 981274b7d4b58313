"""One element that the service refuses takes nothing else with it, and a clock that was wrong does no lasting harm."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentry_core.process.settings import SettingError
from consentry_gateway.app import CollectSettings, start
from consentry_gateway.reading.model import Device, DeviceId, Poll
from support.clocks import FakeClock
from support.collecting import alarm_events, collecting, devices, gaps, readings, told
from support.devices import RuleGate, running_devices
from support.polls import UPS, reading

YEAR = 365 * 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> RuleGate:
    gate = RuleGate(clock)
    gate.consent("north")
    gate.gateway("north")
    return gate


@pytest.mark.parametrize("wrong", [-56 * YEAR, YEAR, 3_600], ids=["1970", "a year ahead", "an hour ahead"])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_clock_that_was_wrong_holds_nothing_up_once_it_is_right(
    wrong: int, restart: bool, tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        address, folder, its = service.devices.address, tmp_path / "gateway", FakeClock()
        its.step_wall(wrong)
        async with collecting(folder, address, its) as gateway:
            for _ in range(3):
                clock.advance(5)
                its.advance(5)
                await gateway.poll(ups_load=1.0, output_status="on battery")
                await gateway.acknowledged()
            if not restart:
                its.step_wall(-wrong)
                clock.advance(5)
                its.advance(5)
                await gateway.poll(ups_load=2.0, output_status="on battery")
                await gateway.acknowledged()
        if restart:
            its.step_wall(-wrong)
            clock.advance(5)
            its.advance(5)
            async with collecting(folder, address, its) as gateway:
                await gateway.poll(ups_load=2.0, output_status="on battery")
                await gateway.acknowledged()
        async with collecting(folder, address, its) as gateway:
            clock.advance(5)
            its.advance(5)
            await gateway.poll(ups_load=3.0, output_status="online")
            await gateway.acknowledged()
        messages = await told(service, cursor)
        assert {second for second, _ in readings(messages)} == {20, 25}
        assert gaps(messages)
        assert all(0 <= end <= 25 for _, end in gaps(messages))
        labels = [
            (event.alarm.label, event.alarm.reactivation_count) for event in await alarm_events(service, "ups.power-failure")
        ]
        assert labels == [("Power Failure", 0), ("Power Failure Cleared", 0)]


async def test_readings_follow_a_clock_that_is_set_back(tmp_path: Path, gate: RuleGate, clock: FakeClock) -> None:
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        its = FakeClock()
        its.step_wall(240)
        async with collecting(tmp_path / "gateway", service.devices.address, its) as gateway:
            for status in ("on battery", "online", "on battery", "on battery"):
                clock.advance(5)
                its.advance(5)
                await gateway.poll(ups_load=1.0, output_status=status)
                if status == "online":
                    its.step_wall(-240)
            await gateway.acknowledged()
        assert [second for second, _ in readings(await told(service, cursor))] == [15, 20, 245, 250]
        counts = [event.alarm.reactivation_count for event in await alarm_events(service, "ups.power-failure")]
        assert counts == [0, 0, 1]  # a later activation, though the clock stands before the former


async def test_an_alarm_a_device_and_a_sensor_that_are_refused_leave_the_rest_alone(
    tmp_path: Path, gate: RuleGate, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        part = Device(DeviceId("ups-part"), "P" * 300, parent=DeviceId("nobody"))
        odd = Device(DeviceId("UPS-" + "x" * 70), "Odd", parent=UPS.id)
        async with collecting(tmp_path / "gateway", service.devices.address, clock) as gateway:
            for _ in range(3):
                clock.advance(5)
                now = clock.now()
                found = [
                    reading("ups.load", 1.0), reading("output.status", "on battery"), reading("ups.power", 3.0, device=odd),
                    reading("ups.load", float("inf"), device=part), reading("ups.power", 2.0, device=part),
                ]  # fmt: skip
                placed = tuple(replace(one, time=now) for one in found)
                await gateway.pipeline.take(Poll(now, UPS, True, (UPS, part, odd), placed))
                await gateway.acknowledged()
        messages = await told(service, cursor)
        assert devices(messages) == {"ups", "ups-part"}
        values = [value for message in messages for told_of in message.telemetry.devices for value in told_of.block.values]
        assert sorted(values) == [1.0] * 3 + [2.0] * 3
        assert [event.alarm.label for event in await alarm_events(service, "ups.power-failure")] == ["Power Failure"]
        named = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert sum("parent of customers/north/devices/ups-part refused and left out" in message for message in named) == 1
        assert sum("is left out: its name is none" in message for message in named) == 1
        assert len(named) == 3


async def test_a_customer_that_is_full_goes_on_with_what_it_has(
    tmp_path: Path, gate: RuleGate, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consentry_devices.domain.inventory_draft.SENSORS_OF_CUSTOMER", 2)
    async with running_devices(tmp_path / "devices", gate) as service:
        cursor = (await told(service))[-1].cursor
        all_of_it: dict[str, Any] = {"ups_load": 1.0, "ups_power": 2.0, "ups_extra": 3.0}
        for values in ({"ups_load": 1.0, "ups_power": 2.0}, all_of_it):
            async with collecting(tmp_path / "gateway", service.devices.address, clock) as gateway:
                for _ in range(3):
                    clock.advance(5)
                    await gateway.poll(**values)
                    await gateway.acknowledged()
        messages = await told(service, cursor)
        assert [second for second, _ in readings(messages)] == sorted(2 * list(range(5, 31, 5)))
        assert gaps(messages) == [(20, 20)]


async def test_a_token_of_another_customer_ends_the_start_with_words_and_spoils_nothing(
    tmp_path: Path, gate: RuleGate, clock: FakeClock
) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text('[[agents]]\nid = "ups"\nhost = "127.0.0.1"\nport = 9\ncommunity = "x"\n')
    async with running_devices(tmp_path / "devices", gate) as service:
        folder = tmp_path / "gateway"
        settings = CollectSettings(
            devices=service.devices.address, token="gateway-of-north", customer="customers/south", data_dir=folder,
            agents=agents, interval=0.05, timeout=0.1,
        )  # fmt: skip
        gateway = await start(settings, clock=clock)
        with pytest.raises(SettingError, match=r"token is for customers/north, .* publish for customers/south"):
            async with asyncio.timeout(20):
                await gateway.failed()
        await gateway.stop()
        async with collecting(folder, service.devices.address, clock) as right:
            await right.poll(ups_load=1.0)
            await right.acknowledged()
        assert readings(await told(service)) or devices(await told(service)) == {"ups"}
        with pytest.raises(SettingError, match=r"holds what is of customers/north"):
            await start(settings, clock=clock)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00c\x00t", b"\x80\x81", b"", b"ct_a\nct_b\n"])
async def test_a_token_file_that_is_no_text_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "gateway.token").write_bytes(content)
    settings = CollectSettings(token_file=tmp_path / "gateway.token", customer="customers/north", data_dir=tmp_path / "gateway")
    with pytest.raises(SettingError, match=r"gateway\.token"):
        await start(settings)
