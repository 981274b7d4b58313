"""The pair for tests: a real authority and a real device-data service behind a real guard, on free ports.

async with running_pair(tmp_path) as pair:
    await pair.authority.partner("acme")
    await pair.authority.valid_customer("north", "acme")
    key = await pair.authority.key("acme")
    north = await pair.gateway("north")                    # a Publish stream
    await north.publish(load=[41.5, 42.0])                 # committed when it returns
    async with pair.watch(key.secret) as reader:
        await reader.until("telemetry")
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc

from consentry.authority.v1 import tokens_pb2
from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    feed_pb2,
    feed_pb2_grpc,
    gateway_pb2,
    gateway_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2,
    telemetry_pb2_grpc,
)
from consentry_core.process.tls import ClientTls
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.values.clock import Clock, SystemClock
from consentry_devices.app import Devices, DevicesSettings
from consentry_devices.app import start as start_devices
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority

_NONE: Mapping[str, Any] = MappingProxyType({})
PATIENCE = 10.0
"""Seconds after which a test has waited long enough for what should come in milliseconds."""


class Reader:
    """One `Watch`: what it has received, in order."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.received: list[feed_pb2.WatchResponse] = []

    async def next(self) -> feed_pb2.WatchResponse:
        """The next message; raises the stream's error when it has ended with one."""
        response: Any = await asyncio.wait_for(self.call.read(), PATIENCE)
        if response is grpc.aio.EOF:
            raise EOFError
        self.received.append(response)
        return self.received[-1]

    async def until(self, event: str, **fields: str) -> feed_pb2.WatchResponse:
        """Read on until an event of this kind, with these fields; heartbeats and the rest are kept in `received`."""
        while True:
            response = await self.next()
            if response.WhichOneof("event") == event and all(
                getattr(getattr(response, event), name) == value for name, value in fields.items()
            ):
                return response

    async def error(self) -> grpc.aio.AioRpcError:
        """The error that the stream ends with; what comes before is read."""
        try:
            while True:
                await self.next()
        except grpc.aio.AioRpcError as error:
            return error

    @property
    def cursor(self) -> str:
        """The last cursor."""
        return self.received[-1].cursor

    def values(self, customer: str | None = None) -> list[float]:
        """The numbers received, in order, of one customer or of all."""
        return [value for response in self.received for value in values_of(response, customer)]

    def events(self) -> list[str]:
        """The kinds received, in order."""
        return [response.WhichOneof("event") or "" for response in self.received]


def values_of(response: feed_pb2.WatchResponse, customer: str | None = None) -> Iterable[float]:
    """The numbers in a message."""
    for device in response.telemetry.devices:
        if customer is None or device.device.startswith(f"customers/{customer}/"):
            yield from device.block.values


@dataclass
class Gateway:
    """One Publish stream of a gateway that has a UPS with a load sensor."""

    customer: str
    call: Any
    number: int = 0
    devices: list[str] = field(default_factory=list)

    async def publish(
        self,
        *,
        load: Iterable[float] = (),
        device: str = "ups",
        at: int | None = None,
        alarms: Iterable[alarms_pb2.Alarm] = (),
    ) -> int:
        """Publish readings, a microsecond apart from `at` (now) on, and alarms; returns the frame's number once committed."""
        name = f"customers/{self.customer}/devices/{device}"
        frame = gateway_pb2.PublishRequest.Frame(number=self.number + 1, alarms=alarms)
        if device not in self.devices:
            frame.inventory.devices.add(name=name, display_name=device, type=inventory_pb2.Device.TYPE_UPS)
            frame.inventory.sensors.add(name=f"{name}/sensors/load", metric="ups.load", unit="%")
            self.devices.append(device)
        load = list(load)
        if load:
            start = time.time_ns() if at is None else at
            block = telemetry_pb2.TelemetryBlock(
                sensors=["load"],
                sensor_indexes=[0] * len(load),
                times_unix_nano=[start + 1_000 * row for row in range(len(load))],
                values=load,
            )
            frame.telemetry.add(device=name, block=block)
        await self.send(frame)
        return self.number

    async def send(self, frame: gateway_pb2.PublishRequest.Frame) -> None:
        """Send a frame and wait for its acknowledgement."""
        self.number = frame.number
        await self.call.write(gateway_pb2.PublishRequest(frame=frame))
        while (await asyncio.wait_for(self.call.read(), PATIENCE)).acknowledgement.number < frame.number:
            pass


def alarm(customer: str, identifier: str = "power", *, device: str = "ups", cleared: bool = False) -> alarms_pb2.Alarm:
    """A power failure."""
    now = to_timestamp(Instant(time.time_ns()))
    return alarms_pb2.Alarm(
        name=f"customers/{customer}/alarms/{identifier}",
        device=f"customers/{customer}/devices/{device}",
        label="Power Failure Cleared" if cleared else "Power Failure",
        message="on battery",
        severity=alarms_pb2.Alarm.SEVERITY_CRITICAL,
        activate_time=now,
        clear_time=now if cleared else None,
    )


class Pair:
    """Both services and their stubs."""

    def __init__(self, authority: RunningAuthority, devices: Devices, channel: grpc.aio.Channel, folder: Path) -> None:
        self.authority = authority
        self.devices = devices
        self.folder = folder
        self.channel = channel
        self.inventory = inventory_pb2_grpc.InventoryServiceStub(channel)
        self.alarms = alarms_pb2_grpc.AlarmServiceStub(channel)
        self.telemetry = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        self.feed = feed_pb2_grpc.FeedServiceStub(channel)
        self.publishing = gateway_pb2_grpc.GatewayServiceStub(channel)

    async def gateway(self, customer: str, gateway: str = "gw", secret: str = "") -> Gateway:
        """A gateway of a customer, its stream open."""
        if not secret:
            issued = await self.authority.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/{customer}")
            secret = issued.secret
        call: Any = self.publishing.Publish(metadata=bearer(secret))
        hello = gateway_pb2.PublishRequest.Hello(gateway=gateway, epoch=f"{gateway}-epoch-0123456789")
        await call.write(gateway_pb2.PublishRequest(hello=hello))
        first = await asyncio.wait_for(call.read(), PATIENCE)
        return Gateway(customer, call, first.acknowledgement.number)

    @contextlib.asynccontextmanager
    async def watch(self, secret: str, request: feed_pb2.WatchRequest | None = None, **fields: Any) -> AsyncIterator[Reader]:
        """One open `Watch`."""
        call = self.feed.Watch(request or feed_pb2.WatchRequest(**fields), metadata=bearer(secret))
        try:
            yield Reader(call)
        finally:
            call.cancel()


@contextlib.asynccontextmanager
async def running_pair(
    folder: Path,
    *,
    clock: Clock | None = None,
    of_devices_clock: Clock | None = None,
    authority: str | None = None,
    tls: ClientTls | None = None,
    of_authority: Mapping[str, Any] = _NONE,
    of_devices: Mapping[str, Any] = _NONE,
) -> AsyncIterator[Pair]:
    """The pair, with further settings of each. `tls` is for who calls them.

    `authority` is the address that the guard is told, if it is not the authority's own: the one where it asks for
    certificates, if there is one. `of_devices_clock` is the device-data service's, if it has another one.
    """
    clock = clock or SystemClock()
    async with running_authority(folder / "authority", clock=clock, tls=tls, **of_authority) as running:
        settings = DevicesSettings(
            listen="127.0.0.1:0",
            authority=authority or running.authority.mutual_address or running.address,
            token_file=folder / "authority" / "devices.token",
            data_dir=folder / "devices",
            **{"drain_quiet": 0.02, **of_devices},
        )
        devices = await start_devices(settings, clock=of_devices_clock or clock)
        try:
            async with open_channel(devices.address, tls) as channel:
                yield Pair(running, devices, channel, folder)
        finally:
            await devices.stop()
