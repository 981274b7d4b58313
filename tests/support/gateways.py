"""A gateway as the device-data service sees one: hello, frames, acknowledgements."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc

from consentry.devices.v1 import alarms_pb2, gateway_pb2, gateway_pb2_grpc, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_rule import Instant

EPOCH = "epoch-0123456789"
SECOND = 1_000_000_000
Frame = gateway_pb2.PublishRequest.Frame

_PATIENCE = 10


def inventory(
    customer: str = "north", devices: Iterable[str] = ("ups",), sensors: Iterable[str] = ("load",)
) -> inventory_pb2.InventoryChange:
    """Devices that all have these sensors."""
    of = f"customers/{customer}/devices"
    return inventory_pb2.InventoryChange(
        devices=[inventory_pb2.Device(name=f"{of}/{device}", display_name=device.upper()) for device in devices],
        sensors=[
            inventory_pb2.Sensor(name=f"{of}/{device}/sensors/{sensor}", metric=f"ups.{sensor}", unit="%")
            for device in devices
            for sensor in sensors
        ],
    )


def block(start: int, *values: float, sensor: str = "load") -> telemetry_pb2.TelemetryBlock:
    """Readings of one sensor, a second apart."""
    return telemetry_pb2.TelemetryBlock(
        sensors=[sensor],
        sensor_indexes=[0] * len(values),
        times_unix_nano=[start + index * SECOND for index in range(len(values))],
        values=values,
    )


def readings(
    number: int,
    start: int,
    *values: float,
    customer: str = "north",
    device: str = "ups",
    sensor: str = "load",
    tell: bool = True,
) -> Frame:
    """A frame with readings of one sensor, and with what they are of."""
    told = inventory(customer, (device,), (sensor,)) if tell else None
    of_device = gateway_pb2.PublishRequest.DeviceBlock(
        device=f"customers/{customer}/devices/{device}", block=block(start, *values, sensor=sensor)
    )
    return Frame(number=number, inventory=told, telemetry=[of_device])


def alarm(
    activate: int,
    clear: int | None = None,
    *,
    id: str = "power",  # noqa: A002 - the field's name
    device: str = "ups",
    label: str = "Power Failure",
    customer: str = "north",
) -> alarms_pb2.Alarm:
    """An alarm."""
    return alarms_pb2.Alarm(
        name=f"customers/{customer}/alarms/{id}",
        device=f"customers/{customer}/devices/{device}",
        label=label,
        message="input lost",
        severity=alarms_pb2.Alarm.SEVERITY_CRITICAL,
        activate_time=to_timestamp(Instant(activate)),
        clear_time=None if clear is None else to_timestamp(Instant(clear)),
    )


class Publishing:
    """An open stream."""

    def __init__(self, call: grpc.aio.StreamStreamCall[gateway_pb2.PublishRequest, gateway_pb2.PublishResponse]) -> None:
        self.call = call

    async def send(self, *frames: Frame) -> None:
        """Send frames."""
        for frame in frames:
            await self.call.write(gateway_pb2.PublishRequest(frame=frame))

    async def acknowledged(self) -> int:
        """The next acknowledgement's number. Raises the RpcError that ends the stream."""
        response = await asyncio.wait_for(self.call.read(), _PATIENCE)
        if not isinstance(response, gateway_pb2.PublishResponse):
            raise EOFError  # noqa: TRY004 - gRPC's mark for the end of a stream, not a wrong type
        return response.acknowledgement.number

    async def until(self, number: int) -> None:
        """Wait until this number is acknowledged."""
        while await self.acknowledged() < number:
            pass

    async def error(self) -> grpc.aio.AioRpcError:
        """The error that ends the stream."""
        return (await self.until_error())[1]

    async def until_error(self) -> tuple[list[int], grpc.aio.AioRpcError]:
        """What is acknowledged, and then the error that ends the stream."""
        numbers: list[int] = []
        try:
            while True:
                numbers.append(await self.acknowledged())
        except grpc.aio.AioRpcError as error:
            return numbers, error


@asynccontextmanager
async def publishing(
    channel: grpc.aio.Channel, credential: tuple[tuple[str, str], ...], gateway: str = "gw", epoch: str = EPOCH
) -> AsyncIterator[Publishing]:
    """A stream after its hello."""
    call = gateway_pb2_grpc.GatewayServiceStub(channel).Publish(metadata=credential, timeout=30)
    await call.write(gateway_pb2.PublishRequest(hello=gateway_pb2.PublishRequest.Hello(gateway=gateway, epoch=epoch)))
    try:
        yield Publishing(call)
    finally:
        call.cancel()


async def publish(
    channel: grpc.aio.Channel, credential: tuple[tuple[str, str], ...], *frames: Frame, epoch: str = EPOCH
) -> None:
    """Publish frames, and wait until they are committed."""
    async with publishing(channel, credential, epoch=epoch) as stream:
        await stream.send(*frames)
        await stream.until(frames[-1].number)
