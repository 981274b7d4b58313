"""The gateway on real SNMP agents that replay recordings of real devices."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_core.values.clock import SystemClock
from consentry_gateway.agents.file import Agent
from consentry_gateway.app import CollectSettings, Gateway, start
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.recognition import recognise
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.polling import Collector
from consentry_gateway.sources.snmp.access import SnmpAccess
from support.agents import agent_of, answers_of, snmp_collector, write_agents_file
from support.publishing import Frame, ScriptedService, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("snmp")]

SILENT = Agent(Device(DeviceId("silent"), ""), recorded.HOST, 0, SnmpAccess("nobody"))


@pytest.fixture
async def collector() -> Iterator[Collector]:  # type: ignore[misc] # an asynchronous fixture
    collector = snmp_collector()
    yield collector
    await collector.close()


def content(poll: Poll) -> list[tuple[str, str, object]]:
    return [(reading.sensor.device, reading.sensor.id, reading.value) for reading in poll.readings]


@pytest.mark.parametrize("name", ["apc-7902b", "apc-8641", "apc-8932", "eaton-93e-80", "huawei-gse200m", "phoenixtec-power"])
async def test_what_is_polled_is_what_the_recording_says(
    name: str, recorded_agents: recorded.RecordedAgents, collector: Collector
) -> None:
    agent, answers = agent_of(recorded_agents, name), answers_of(name)
    profiles = recognise(answers)
    assert profiles
    polled, expected = await collector.poll(agent), decode(profiles, agent.device, answers, SystemClock().now())
    assert polled.devices == expected.devices
    assert content(polled) == content(expected)


async def test_a_geist_monitor_is_polled_with_its_sensors(
    recorded_agents: recorded.RecordedAgents, collector: Collector
) -> None:
    poll = await collector.poll(agent_of(recorded_agents, "geist-temperature-sensor"))
    assert (poll.device.serial_number, len(poll.devices)) == ("TB19020610", 3)
    temperatures = [reading.value for reading in poll.readings if reading.sensor.metric == "ambient.temperature"]
    assert len(temperatures) == 3
    assert all(isinstance(value, float) and 10 <= value <= 40 for value in temperatures)


async def test_a_silent_agent_delays_no_other(recorded_agents: recorded.RecordedAgents, collector: Collector) -> None:
    silent = Agent(SILENT.device, recorded.HOST, recorded_agents.port, SnmpAccess("nobody"))
    order: list[str] = []

    async def poll(agent: Agent) -> Poll:
        poll = await collector.poll(agent)
        order.append(agent.device.id)
        return poll

    polls = await asyncio.gather(poll(silent), *(poll(agent_of(recorded_agents, name)) for name in recorded.DEMO))
    assert [found.reachable for found in polls] == [False, True, True, True]
    assert order[-1] == "silent"
    assert polls[0].readings == ()


async def test_a_host_without_an_address_is_silent(collector: Collector) -> None:
    poll = await collector.poll(Agent(SILENT.device, "no-such-host.invalid", 161, SnmpAccess("public")))
    assert not poll.reachable


async def test_a_device_that_does_not_answer_any_more_is_still_what_it_was(collector: Collector) -> None:
    agents = await asyncio.to_thread(recorded.start, ("apc-8932",))
    try:
        first = await collector.poll(agent_of(agents, "apc-8932"))
    finally:
        await asyncio.to_thread(agents.stop)
    gone = await collector.poll(agent_of(agents, "apc-8932"))
    assert (gone.reachable, gone.devices, gone.readings) == (False, first.devices, ())


async def test_values_move_from_one_poll_to_the_next(collector: Collector) -> None:
    agents = await asyncio.to_thread(recorded.start, ("eaton-93e-80",))
    try:
        async with asyncio.timeout(20):
            before = content(await collector.poll(agent_of(agents, "eaton-93e-80")))
            while content(await collector.poll(agent_of(agents, "eaton-93e-80"))) == before:
                pass
    finally:
        await asyncio.to_thread(agents.stop)
    assert agents.process.returncode is not None
    assert not agents.folder.exists()


def test_a_port_that_is_taken_is_said(recorded_agents: recorded.RecordedAgents) -> None:
    with pytest.raises(SettingError, match="is taken"):
        recorded.start(("geist-temperature-sensor",), port=recorded_agents.port)


def settings(folder: Path, address: str, agents: Path) -> CollectSettings:
    return CollectSettings(
        devices=address, token="ct_made_up", customer="customers/north", gateway="hall", interval=0.2,
        data_dir=folder / "gateway", agents=agents, timeout=0.5, retries=0, unreachable_after=2,
    )  # fmt: skip


def alarms(frames: list[Frame]) -> list[str]:
    return [f"{alarm.device.rpartition('/')[2]}: {alarm.label}" for frame in frames for alarm in frame.alarms]


async def until_alarm(service: ScriptedService, label: str) -> None:
    while not any(alarm.endswith(label) for alarm in alarms(service.frames())):
        await service.committed_count(len(service.frames()) + 1)


async def test_the_gateway_publishes_what_it_polls_and_raises_and_clears_what_is_wrong(tmp_path: Path) -> None:
    service = ScriptedService()
    agents = await asyncio.to_thread(recorded.start, recorded.DEMO)
    gateway: Gateway | None = None
    try:
        async with serving(service) as address, asyncio.timeout(60):
            file = write_agents_file(tmp_path / "agents.toml", agents, *recorded.DEMO)
            gateway = await start(settings(tmp_path, address, file))
            await service.committed_count(8)
            told = [frame.inventory for frame in service.frames()]
            assert [place.name for place in told[0].locations] == ["customers/north/locations/hall"]
            devices = {device.name.rpartition("/")[2]: device for change in told for device in change.devices}
            assert devices["apc-8932"].model_name == "AP8932"
            assert devices["apc-8932-bank-1"].parent == devices["apc-8932"].name
            assert devices["eaton-93e-80"].location == "customers/north/locations/hall"
            assert all(frame.telemetry for frame in service.frames()[1:])

            await asyncio.to_thread(agents.stop)
            await until_alarm(service, "Device Communication Alert")
            agents = await asyncio.to_thread(recorded.start, recorded.DEMO, port=agents.port)
            await until_alarm(service, "apc-8932: Device Communication Alert Cleared")
            assert [frame.number for frame in service.frames()] == list(range(1, len(service.frames()) + 1))
            await gateway.stop()
            gateway = None
    finally:
        if gateway is not None:
            await gateway.stop()
        await asyncio.to_thread(agents.stop)


async def test_an_alarm_outlives_a_restart_and_a_device_keeps_its_name(tmp_path: Path) -> None:
    service = ScriptedService()
    agents = await asyncio.to_thread(recorded.start, ("apc-8932",))
    file = write_agents_file(tmp_path / "agents.toml", agents, "apc-8932")
    try:
        async with serving(service) as address, asyncio.timeout(60):
            gateway = await start(settings(tmp_path, address, file))
            await service.committed_count(2)
            await asyncio.to_thread(agents.stop)
            await until_alarm(service, "Device Communication Alert")
            await gateway.stop()

            before = len(service.frames())
            gateway = await start(settings(tmp_path, address, file))
            await service.committed_count(before + 2)
            (device,) = [device for frame in service.frames()[before:] for device in frame.inventory.devices]
            assert (device.model_name, device.serial_number) == ("AP8932", "3F503A169043")
            raised, said_again = [alarm for frame in service.frames() for alarm in frame.alarms]
            assert said_again == raised
            agents = await asyncio.to_thread(recorded.start, ("apc-8932",), port=agents.port)
            await until_alarm(service, "Device Communication Alert Cleared")
            await gateway.stop()
    finally:
        await asyncio.to_thread(agents.stop)


async def test_a_trap_or_an_inform_makes_the_gateway_look_at_once(
    tmp_path: Path, recorded_agents: recorded.RecordedAgents
) -> None:
    service = ScriptedService()
    async with serving(service) as address, asyncio.timeout(30):
        file = write_agents_file(tmp_path / "agents.toml", recorded_agents, "apc-8932")
        patient = replace(settings(tmp_path, address, file), interval=3_600, traps="127.0.0.1:0")
        gateway = await start(patient)
        try:
            assert gateway.traps is not None
            for number, kind in enumerate((TRAP, INFORM), 2):
                await service.committed_count(number)
                answered = await send_notification(gateway.traps.port, kind)
                assert answered == (kind == INFORM)
            await service.committed_count(4)
        finally:
            await gateway.stop()


TRAP, INFORM = 0xA7, 0xA6


async def send_notification(port: int, kind: int) -> bool:
    """Send a notification as version 2c has them, without content; whether it is acknowledged."""
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()

    class Sender(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: object) -> None:
            assert data == bytes.fromhex("30180201010406") + b"public" + bytes([0xA2]) + rest
            answered.set()

    rest = bytes.fromhex("0b020107020100020100") + b"\x30\x00"
    transport, _ = await loop.create_datagram_endpoint(Sender, remote_addr=("127.0.0.1", port))
    try:
        transport.sendto(bytes.fromhex("30180201010406") + b"public" + bytes([kind]) + rest)
        if kind == INFORM:
            await answered.wait()
        return answered.is_set()
    finally:
        transport.close()
