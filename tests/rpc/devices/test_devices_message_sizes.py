"""Whatever is stored, no answer and no message exceeds 1 MiB but for columns, and nothing at all 4 MiB: for every method."""

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.values.clock import SystemClock
from consentry_devices.app import SERVICES
from consentry_devices.domain.limits import ALARMS_PER_FRAME
from consentry_rule import Instant
from support.clocks import START
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, publish

CUSTOMER = "c" * 40
PARENT = f"customers/{CUSTOMER}"
DEVICE = f"{PARENT}/devices/{'d' * 58}-0000"
MIB = 2**20
NAME, TEXT = "\U0001f50b" * 200, "\U0001f50b" * 1_000  # as long as they may be, in four bytes each

_METHODS = [method for service in SERVICES for method in service.methods if method.full_name.split(".")[-1] != "Publish"]


def _device(number: int) -> str:
    return f"{PARENT}/devices/{'d' * 58}-{number:04}"


def _sensor(number: int, device: str = DEVICE) -> str:
    return f"{device}/sensors/{'s' * 57}-{number:05}"


def _frames() -> Iterable[gateway_pb2.PublishRequest.Frame]:
    """As much of everything as a frame can hold."""
    frame = gateway_pb2.PublishRequest.Frame
    kind: Any = {"display_name": NAME, "model_name": NAME, "serial_number": NAME, "type": 1}
    chain = [
        inventory_pb2.Device(name=_device(number), parent=_device(number - 1) if 0 < number < 16 else "", **kind)
        for number in range(1_350)
    ]
    places = [inventory_pb2.Location(name=f"{PARENT}/locations/l{number:04}", display_name=NAME) for number in range(500)]
    yield frame(inventory=inventory_pb2.InventoryChange(devices=chain, locations=places))
    sensors = [inventory_pb2.Sensor(name=_sensor(number), display_name=NAME, metric=NAME, unit=NAME) for number in range(1_400)]
    yield frame(inventory=inventory_pb2.InventoryChange(sensors=sensors))
    alarm: Any = {"device": DEVICE, "label": NAME, "severity": 3, "activate_time": to_timestamp(START)}
    for turn in range(2):  # and what becomes of them
        alarms = [
            alarms_pb2.Alarm(name=f"{PARENT}/alarms/a{number:04}", message=TEXT[: -1 - turn], **alarm)
            for number in range(min(ALARMS_PER_FRAME, 750))
        ]
        yield frame(alarms=alarms)
    same = [alarms_pb2.Alarm(name=f"{PARENT}/alarms/a0000", message=TEXT[:-turn], **alarm) for turn in range(10, 310)]
    yield frame(alarms=same)
    block = telemetry_pb2.TelemetryBlock(sensors=[_sensor(number).rpartition("/")[2] for number in range(700)])
    for number in range(700):
        block.texts.add(sensor_index=number, time_unix_nano=START, text=TEXT)
    yield frame(telemetry=[gateway_pb2.PublishRequest.DeviceBlock(device=DEVICE, block=block)])
    numbers = telemetry_pb2.TelemetryBlock(
        sensors=[_sensor(number).rpartition("/")[2] for number in range(1_400)],
        sensor_indexes=[number % 1_400 for number in range(98_000)],
        times_unix_nano=[START + number // 1_400 * SECOND for number in range(98_000)],
        values=[float(number) for number in range(98_000)],
    )
    yield frame(telemetry=[gateway_pb2.PublishRequest.DeviceBlock(device=DEVICE, block=numbers)])
    losses: Any = {"start_time": to_timestamp(START), "end_time": to_timestamp(Instant(START + SECOND))}
    yield frame(loss=gateway_pb2.PublishRequest.Loss(**losses))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningDevices]:
    gate = RuleGate(SystemClock())
    gate.consent(CUSTOMER)
    async with running_devices(tmp_path, gate) as running:
        yield running


_REQUESTS: dict[str, Callable[[], Iterable[Message]]] = {
    "GetDevice": lambda: [inventory_pb2.GetDeviceRequest(name=_device(15))],
    "GetAlarm": lambda: [alarms_pb2.GetAlarmRequest(name=f"{PARENT}/alarms/a0000")],
    "ListAlarmEvents": lambda: [alarms_pb2.ListAlarmEventsRequest(parent=f"{PARENT}/alarms/a0000", page_size=1_000)],
    "QueryHistory": lambda: [
        telemetry_pb2.QueryHistoryRequest(parent=PARENT, start_time=to_timestamp(Instant(0)), step=step)
        for step in (None, Duration(seconds=1), Duration(seconds=3600))
    ],
    "SimulateTelemetry": lambda: [
        telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=1_000_000, sensor_count=100_000)
    ],
    "Watch": lambda: [feed_pb2.WatchRequest(stop_when_synced=True)],
}


def _requests(method: MethodDescriptor) -> Iterable[Message]:
    if method.name in _REQUESTS:
        return _REQUESTS[method.name]()
    return [message_factory.GetMessageClass(method.input_type)(parent=PARENT, page_size=1_000)]


async def _answers(service: RunningDevices, method: MethodDescriptor, request: Any) -> AsyncIterator[bytes]:
    """All messages and pages, as they come."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        count = 0
        call: Any = service.channel.unary_stream(path)
        async for message in call(request.SerializeToString(), metadata=KEY):
            yield message
            count += 1
            if method.name == "SimulateTelemetry" and count == 20:
                return
        return
    answer = message_factory.GetMessageClass(method.output_type)
    while True:
        ask: Any = service.channel.unary_unary(path)
        told: bytes = await ask(request.SerializeToString(), metadata=KEY)
        yield told
        token = getattr(answer.FromString(told), "next_page_token", "")
        if not token:
            return
        request.page_token = token


def _holds_columns(method: MethodDescriptor, message: bytes) -> bool:
    if method.name == "Watch":
        return feed_pb2.WatchResponse.FromString(message).HasField("telemetry")
    return method.name in {"QueryHistory", "SimulateTelemetry"}


@pytest.mark.slow
async def test_no_message_is_too_large_whatever_is_stored(service: RunningDevices) -> None:
    begin = await _before(service)
    await publish(service.channel, service.gate.gateway(CUSTOMER), *_numbered(_frames()))
    largest: dict[str, int] = {}
    counts: dict[str, int] = {}
    for method in _METHODS:
        for request in [*_requests(method), *(begin if method.name == "Watch" else [])]:
            async for message in _answers(service, method, request):
                counts[method.name] = counts.get(method.name, 0) + 1
                assert len(message) <= (4 * MIB if _holds_columns(method, message) else MIB), method.full_name
                largest[method.name] = max(largest.get(method.name, 0), len(message))
    assert largest.keys() == {method.name for method in _METHODS}
    assert largest["ListAlarms"] > MIB / 4, "there is enough to try it with"
    assert counts["ListDevices"] > 2


def _numbered(frames: Iterable[gateway_pb2.PublishRequest.Frame]) -> Iterable[gateway_pb2.PublishRequest.Frame]:
    for number, frame in enumerate(frames, 1):
        frame.number = number
        assert frame.ByteSize() < 4 * MIB, number
        yield frame


async def _before(service: RunningDevices) -> list[feed_pb2.WatchRequest]:
    """Who comes back to before all of it, however it reads."""
    live = feed_pb2.WatchRequest(live=feed_pb2.WatchRequest.Live(), stop_when_synced=True)
    call = _watch(service)(live.SerializeToString(), metadata=KEY)
    messages = [feed_pb2.WatchResponse.FromString(message) async for message in call]
    deliveries = (feed_pb2.WatchRequest.DELIVERY_LOSSLESS, feed_pb2.WatchRequest.DELIVERY_LATEST)
    return [
        feed_pb2.WatchRequest(after_cursor=messages[-1].cursor, stop_when_synced=True, delivery=delivery)
        for delivery in deliveries
    ]


def _watch(service: RunningDevices) -> Any:
    return service.channel.unary_stream("/consentry.devices.v1.FeedService/Watch")
