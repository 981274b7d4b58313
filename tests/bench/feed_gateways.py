"""Gateways in one process, for benchmarks of the feed. Answers lines of JSON on its standard input.

    {"open": {"address", "gateways": {customer: secret}}}
                               opens a `Publish` stream for each gateway and makes its devices and sensors known
    {"prepare": {"frames", "blocks", "readings"}}
                               encodes so many frames a gateway, each of so many blocks, each of so many readings
    {"publish": true}          sends what is prepared; when that began, and how many readings it was, once all is committed
    {"pace": {"seconds", "every", "readings"}}
                               for so long, publishes a block of each gateway at every interval, stamped as it is sent
    {"relay": {"address", "file"}}
                               sends the recorded messages to a bare relay (`bench.feed_relay`); when that began

A gateway has ten devices, a block `_SENSORS` sensors (or one for each reading, if those are fewer), read one after the other.
Times are wall-clock nanoseconds of this host.
"""

import asyncio
import contextlib
import sys
import time
from typing import Any

from bench.devices_process import answer_questions
from bench.feed_relay import PUBLISH as RELAY
from bench.feed_relay import recorded
from consentry.devices.v1 import gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.rpc.client.channels import bearer, open_channel

_PUBLISH = "/consentry.devices.v1.GatewayService/Publish"
_DEVICES = 10
_SENSORS = 50
_Frame = gateway_pb2.PublishRequest.Frame


class _Gateway:
    """One gateway's stream."""

    def __init__(self, customer: str, call: Any) -> None:
        self._customer = customer
        self._call = call
        self._number = 0
        self._prepared: list[bytes] = []
        self._readings = [0] * _DEVICES

    async def begin(self) -> None:
        """Say hello, and what there is."""
        hello = gateway_pb2.PublishRequest.Hello(gateway="gw", epoch="gw-epoch-0123456789")
        await self._call.write(gateway_pb2.PublishRequest(hello=hello).SerializeToString())
        await self._call.read()
        frame = self._frame()
        for number in range(_DEVICES):
            device = self._device(number)
            frame.inventory.devices.add(name=device, display_name="PDU", type=inventory_pb2.Device.TYPE_PDU)
            for sensor in range(_SENSORS):
                frame.inventory.sensors.add(name=f"{device}/sensors/{_sensor(sensor)}", metric="pdu.load", unit="W")
        self._take(frame)
        await self.publish()

    def prepare(self, frames: int, blocks: int, readings: int) -> None:
        """Encode so many frames."""
        for _ in range(frames):
            frame = self._frame()
            for number in range(blocks):
                block = _block(self._readings[number % _DEVICES], readings)
                self._readings[number % _DEVICES] += readings
                frame.telemetry.add(device=self._device(number % _DEVICES), block=block)
            self._take(frame)

    async def publish(self) -> None:
        """Send what is prepared; returns once it is committed."""
        prepared, self._prepared = self._prepared, []
        sending = asyncio.ensure_future(self._send(prepared))
        while gateway_pb2.PublishResponse.FromString(await self._call.read()).acknowledgement.number < self._number:
            pass
        await sending

    async def _send(self, prepared: list[bytes]) -> None:
        for message in prepared:
            await self._call.write(message)

    def _frame(self) -> _Frame:
        self._number += 1
        return _Frame(number=self._number)

    def _take(self, frame: _Frame) -> None:
        self._prepared.append(gateway_pb2.PublishRequest(frame=frame).SerializeToString())

    def _device(self, number: int) -> str:
        return f"customers/{self._customer}/devices/pdu-{number}"


def _sensor(number: int) -> str:
    return f"outlet-{number}"


def _block(first: int, readings: int) -> telemetry_pb2.TelemetryBlock:
    """Readings up to this moment. A device's readings are numbered: their values."""
    now, sensors = time.time_ns(), min(readings, _SENSORS)
    return telemetry_pb2.TelemetryBlock(
        sensors=[_sensor(number) for number in range(sensors)],
        sensor_indexes=[row % sensors for row in range(readings)],
        times_unix_nano=[now + row - readings + 1 for row in range(readings)],
        values=[float(first + row) for row in range(readings)],
    )


class _Gateways:
    """The streams that are open."""

    def __init__(self) -> None:
        self._gateways: list[_Gateway] = []
        self._readings = 0

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question."""
        ((what, how),) = question.items()
        return await getattr(self, f"_{what}_")(how)

    async def _open_(self, how: dict[str, Any]) -> Any:
        channel = open_channel(how["address"])
        for customer, secret in how["gateways"].items():
            gateway = _Gateway(customer, channel.stream_stream(_PUBLISH)(metadata=bearer(secret)))
            await gateway.begin()
            self._gateways.append(gateway)
        return True

    async def _prepare_(self, how: dict[str, int]) -> Any:
        for gateway in self._gateways:
            gateway.prepare(**how)
        self._readings = how["frames"] * how["blocks"] * how["readings"] * len(self._gateways)
        return self._readings

    async def _publish_(self, _: Any) -> Any:
        began = time.time_ns()
        await asyncio.gather(*(gateway.publish() for gateway in self._gateways))
        return {"began": began, "readings": self._readings}

    async def _pace_(self, how: dict[str, float]) -> Any:
        async def pace(gateway: _Gateway, first: float) -> None:
            for number in range(int(how["seconds"] / how["every"])):
                await asyncio.sleep(first + number * how["every"] - time.monotonic())
                gateway.prepare(1, 1, int(how["readings"]))
                await gateway.publish()

        now = time.monotonic()
        apart = how["every"] / len(self._gateways)  # gateways know nothing of one another
        await asyncio.gather(*(pace(each, now + number * apart) for number, each in enumerate(self._gateways)))
        return int(how["seconds"] / how["every"]) * int(how["readings"]) * len(self._gateways)

    async def _relay_(self, how: dict[str, str]) -> Any:
        messages = recorded(how["file"])
        async with open_channel(how["address"]) as channel:
            call: Any = channel.stream_unary(RELAY)()
            began = time.time_ns()
            for message in messages:
                await call.write(message)
            await call.done_writing()
            await call
        return {"began": began}


async def _serve() -> None:
    gateways, loop = _Gateways(), asyncio.get_running_loop()
    answer_questions(lambda question: asyncio.run_coroutine_threadsafe(gateways.answer(question), loop).result())
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
    sys.exit(0)
