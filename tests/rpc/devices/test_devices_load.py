"""One key asks the device-data service for as much as it can, and others beside it are answered. Real, but scaled down."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2, telemetry_pb2, telemetry_pb2_grpc
from consentry_core.protocol.marks import MarkedKey
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SystemClock
from consentry_devices.rpc.telemetry import telemetry
from consentry_rule import Instant, KeyKind, PartnerId
from support.attackers import Order
from support.clocks import START
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, Frame, publish

HONEST = bearer("honest")
_SENSORS = 400


@cache
def _frames() -> Sequence[Frame]:
    of = "customers/hostile/devices/ups"
    sensors = [inventory_pb2.Sensor(name=f"{of}/sensors/s{number:04}", unit="%" * 200) for number in range(_SENSORS)]
    block = telemetry_pb2.TelemetryBlock(sensors=[sensor.name.rpartition("/")[2] for sensor in sensors])
    for row in range(40 * _SENSORS):
        block.sensor_indexes.append(row % _SENSORS)
        block.times_unix_nano.append(START + row // _SENSORS * SECOND + row)
        block.values.append(float(row))
    alarm: Any = {"device": of, "label": "x" * 200, "severity": 3, "activate_time": to_timestamp(START)}
    alarms = [alarms_pb2.Alarm(name=f"customers/hostile/alarms/a{number}", **alarm) for number in range(300)]
    first = Frame(number=1, inventory=inventory_pb2.InventoryChange(devices=[inventory_pb2.Device(name=of)], sensors=sensors))
    first.alarms.extend(alarms)
    return [
        first,
        *(
            Frame(number=number, telemetry=[gateway_pb2.PublishRequest.DeviceBlock(device=of, block=block)])
            for number in range(2, 12)
        ),
    ]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningDevices]:
    gate = RuleGate(SystemClock())
    gate.consent("hostile")
    gate.credentials["honest"] = MarkedKey(KeyKind.ALL_CUSTOMERS, PartnerId("honest"))
    gate.consent("north", partner=PartnerId("honest"))
    async with running_devices(tmp_path, gate) as running:
        await publish(running.channel, gate.gateway("hostile"), *_frames())
        await publish(running.channel, gate.gateway("north"), _of_north(1))
        yield running


def _of_north(number: int) -> Frame:
    """What there is of an honest customer."""
    name = "customers/north/devices/ups"
    return Frame(number=number, inventory=inventory_pb2.InventoryChange(devices=[inventory_pb2.Device(name=name)]))


def _order(service: RunningDevices, times: float) -> Order:
    service.gate.credentials["the-demo-key"] = MarkedKey(KeyKind.DEMO, PartnerId("acme"))
    secrets = {"all_key": "the-key", "demo_key": "the-demo-key", "gateway": "gateway-of-hostile"}
    return Order("", service.devices.address, secrets, times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("simulate", 0.004),
        ("history_steps", 0.03),
        ("history_stopped", 0.01),
        ("watch_everything", 0.01),
        ("queries", 0.06),
        ("gateway_ids", 0.03),
    ],
)
async def test_others_are_answered_beside_an_attack(service: RunningDevices, name: str, times: float) -> None:
    over = asyncio.Event()
    way = importlib.import_module(f"support.attackers.{name}")
    attacking = asyncio.create_task(way.attack(_order(service, times), over))
    ask = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryLatest
    try:
        for _ in range(5):
            await asyncio.wait_for(ask(telemetry_pb2.QueryLatestRequest(parent="customers/north"), metadata=HONEST), 5)
            await asyncio.sleep(0.05)
    finally:
        over.set()
        answers = await asyncio.wait_for(attacking, 20)
    assert answers.keys() <= {
        "READ",
        "OK",
        "STOPPED",
        "EMPTY",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
        "INVALID_ARGUMENT",
        "ABORTED",
    }


def _steps(**fields: Any) -> telemetry_pb2.QueryHistoryRequest:
    request = telemetry_pb2.QueryHistoryRequest(parent="customers/hostile", start_time=to_timestamp(Instant(0)), **fields)
    request.step.FromMilliseconds(1)
    return request


async def _rows(call: Any) -> list[tuple[str, int, str, float]]:
    return [
        (table.device, time, table.sensors[index], last)
        async for message in call
        for table in message.steps
        for index, time, last in zip(table.sensor_indexes, table.times_unix_nano, table.lasts, strict=True)
    ]


async def test_steps_are_the_same_when_nothing_may_be_held_while_a_message_is_read(
    service: RunningDevices, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask = telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory
    whole = await _rows(ask(_steps(), metadata=KEY))
    assert len(whole) > 10_000
    assert whole == sorted(whole, key=lambda row: row[:3])
    monkeypatch.setattr(telemetry, "_CELLS_PER_KEY", 1_000)
    await service.channel.close()
    await service.devices.stop()
    async with running_devices(tmp_path, service.gate) as again:
        ask = telemetry_pb2_grpc.TelemetryServiceStub(again.channel).QueryHistory
        assert await _rows(ask(_steps(), metadata=KEY)) == whole


async def test_a_key_has_so_many_questions_about_history_open(service: RunningDevices) -> None:
    stub = telemetry_pb2_grpc.TelemetryServiceStub(service.channel)
    day = telemetry_pb2.QueryHistoryRequest(parent="customers/hostile", start_time=to_timestamp(Instant(0)))
    calls: list[Any] = [stub.QueryHistory(day, metadata=KEY) for _ in range(telemetry._QUESTIONS_PER_KEY + 5)]
    answers = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refused) == 5
    assert {(error.code(), error_info(error).reason) for error in refused} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OPEN_CALLS_TOO_LARGE")
    }
    asked = await asyncio.wait_for(stub.QueryHistory(_honest(), metadata=HONEST).read(), 5)
    assert asked is grpc.aio.EOF
    for call in calls:
        call.cancel()


def _honest() -> telemetry_pb2.QueryHistoryRequest:
    return telemetry_pb2.QueryHistoryRequest(parent="customers/north", start_time=to_timestamp(Instant(0)))


async def test_a_key_has_so_many_streams_of_made_up_readings_at_so_high_a_rate(service: RunningDevices) -> None:
    stub = telemetry_pb2_grpc.TelemetryServiceStub(service.channel)
    for rate, open_ in ((10, telemetry._STREAMS_PER_KEY), (500_000, 2)):
        request = telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=rate)
        calls: list[Any] = [stub.SimulateTelemetry(request, metadata=KEY) for _ in range(open_ + 1)]
        answers = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
        assert sum(isinstance(answer, grpc.aio.AioRpcError) for answer in answers) == 1
        other: Any = stub.SimulateTelemetry(telemetry_pb2.SimulateTelemetryRequest(), metadata=HONEST)
        assert (await asyncio.wait_for(other.read(), 5)).telemetry
        for call in (*calls, other):
            call.cancel()
