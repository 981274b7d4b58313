"""A gateway under fire: it publishes a number that counts up, keeps each frame until it is acknowledged, and comes back."""

import asyncio
import contextlib
import time
from typing import Any

import grpc

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc, inventory_pb2, telemetry_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from support.pair import alarm

ROWS = 200  # some 4 kB: a reader that stops reading is stuck within seconds


class SteadyGateway:
    """A gateway that keeps each frame until it is acknowledged, and comes back whatever happens."""

    def __init__(self, address: str, customer: str, secret: str, published: dict[str, dict[str, int]]) -> None:
        self._address = address
        self._customer = customer
        self._metadata = bearer(secret)
        self._published = published
        self._number = 0

    async def run(self, silence: asyncio.Event, start: float) -> None:
        await asyncio.sleep(start)
        async with open_channel(self._address) as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            while not (silence.is_set() and self._number == self._published[self._address].get(self._customer, 0)):
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, EOFError):
                    await self._publish(stub, silence)
                await asyncio.sleep(0.3)

    async def _publish(self, stub: Any, silence: asyncio.Event) -> None:
        call = stub.Publish(metadata=self._metadata)
        try:
            hello = gateway_pb2.PublishRequest.Hello(gateway="gw", epoch="gw-epoch-0123456789")
            await call.write(gateway_pb2.PublishRequest(hello=hello))
            acknowledged = await self._acknowledged(call)
            while True:
                if self._number > acknowledged:
                    await call.write(gateway_pb2.PublishRequest(frame=self._frame()))
                    while acknowledged < self._number:
                        acknowledged = await self._acknowledged(call)
                if self._number:
                    self._published[self._address][self._customer] = self._number
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(silence.wait(), 1.0 if acknowledged else 0.01)
                    return
                self._number += 1
                self._time = time.time_ns()
        finally:
            call.cancel()

    @staticmethod
    async def _acknowledged(call: Any) -> int:
        response = await call.read()
        if response is grpc.aio.EOF:
            raise EOFError
        return int(response.acknowledgement.number)

    def _frame(self) -> gateway_pb2.PublishRequest.Frame:
        """The frame of this number: the same however often it is sent."""
        name = f"customers/{self._customer}/devices/ups"
        frame = gateway_pb2.PublishRequest.Frame(number=self._number)
        if self._number == 1:
            frame.inventory.devices.add(name=name, display_name="ups", type=inventory_pb2.Device.TYPE_UPS)
            frame.inventory.sensors.add(name=f"{name}/sensors/load", metric="ups.load", unit="%")
        if self._number % 4 == 0:
            power = alarm(self._customer)
            power.activate_time.FromNanoseconds(self._time)
            frame.alarms.append(power)
        block = telemetry_pb2.TelemetryBlock(
            sensors=["load"],
            sensor_indexes=[0] * ROWS,
            times_unix_nano=[self._time + 1_000 * row for row in range(ROWS)],
            values=[float(self._number)] * ROWS,
        )
        frame.telemetry.add(device=name, block=block)
        return frame
