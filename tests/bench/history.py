"""How long questions about the past take: real processes, a real gateway's frames, and the client included.

Two devices. `dense` has a million readings in a thousand blocks. `minutely` has what a gateway really leaves: 30 days of ten
sensors read once a minute, in 43,200 blocks of ten readings.

* `raw_ms`: all of `dense`, every reading as an array that numpy can work with. The baseline of `over_numpy` is the same blobs
  read with sqlite3, handed over by a bare grpc.aio server, and decoded by hand with numpy; that of `over_numpy_in_process` does
  without gRPC and without a second process, which nobody who asks over a network can.
* `downsample_ms`: all of `minutely` in 500 steps, with all aggregates.
* `late_hour_ms`: the last hour of `minutely`. `early_hour_ms` is the first: what lies before a range must not count.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from bench.bare_history import METHOD, chunks, split
from bench.harness import Report, in_pairs, ratios, run
from bench.stage import Stage, authority, stage
from consentry.authority.v1 import tokens_pb2
from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_client import AsyncClient, DeviceReadings, DeviceSteps
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_devices.blocks.twins import TWIN_TELEMETRY
from consentry_rule import Instant
from support.gateways import block, inventory

_SECOND = 10**9
MINUTE = 60 * _SECOND
MINUTES = 30 * 24 * 60
SENSORS = tuple(f"sensor-{number}" for number in range(10))
_DENSE_BLOCKS, _DENSE_READINGS = 1_000, 1_000
STEPS = 500
_ROUNDS = 15

Publish = gateway_pb2.PublishRequest


@dataclass(frozen=True, slots=True)
class Scene:
    """Both devices' readings, and the ways to ask for them."""

    client: AsyncClient
    bare: grpc.aio.Channel
    database: Path
    begin: int

    @property
    def end(self) -> int:
        return self.begin + MINUTES * MINUTE

    async def raw(self) -> float:
        """All of the dense device; seconds."""
        began, columns = time.perf_counter(), 0
        async for table in self.client.history(
            "customers/north", self.begin, self.end, devices=["customers/north/devices/dense"]
        ):
            assert isinstance(table, DeviceReadings)
            of = table.columns()
            columns += len(np.asarray(of.sensor_indexes)) + len(np.asarray(of.times_unix_nano)) + len(np.asarray(of.values))
        assert columns == 3 * _DENSE_BLOCKS * _DENSE_READINGS, columns
        return time.perf_counter() - began

    async def by_hand(self) -> float:
        """The same over bare gRPC; seconds."""
        began, rows = time.perf_counter(), 0
        call: Any = self.bare.unary_stream(METHOD)
        async for message in call(b"dense"):
            rows += _decoded(split(message))
        assert rows == _DENSE_BLOCKS * _DENSE_READINGS, rows
        return time.perf_counter() - began

    async def in_process(self) -> float:
        """The same without gRPC; seconds."""
        began = time.perf_counter()
        rows = sum(_decoded(chunk) for chunk in chunks(self.database, "dense"))
        assert rows == _DENSE_BLOCKS * _DENSE_READINGS, rows
        return time.perf_counter() - began

    async def downsample(self) -> float:
        """All of the minutely device in steps; seconds."""
        began, steps, count = time.perf_counter(), 0, 0
        step = MINUTES * MINUTE // STEPS
        async for table in self.client.history_in_steps(
            "customers/north", self.begin, self.end, step=step, devices=["customers/north/devices/minutely"]
        ):
            assert isinstance(table, DeviceSteps)
            of = table.columns()
            steps += len(np.asarray(of.means))
            count += int(np.asarray(of.counts).sum())
        assert count == MINUTES * len(SENSORS), count
        assert steps == STEPS * len(SENSORS), steps
        return time.perf_counter() - began

    def hour(self, start: int) -> Callable[[], Any]:
        """An hour of the minutely device; seconds."""

        async def asked() -> float:
            began, rows = time.perf_counter(), 0
            async for table in self.client.history(
                "customers/north", start, start + 60 * MINUTE, devices=["customers/north/devices/minutely"]
            ):
                assert isinstance(table, DeviceReadings)
                rows += len(table)
            assert rows == 60 * len(SENSORS), rows
            return time.perf_counter() - began

        return asked


def _decoded(payloads: Iterable[bytes]) -> int:
    """Take payloads apart, by hand; the number of readings."""
    return sum(len(columns(payload)[-1]) for payload in payloads)


def columns(payload: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]:
    """Sensor indexes, times and values of a payload."""
    of = TWIN_TELEMETRY.FromString(payload).block
    return np.frombuffer(of.sensor_indexes, "<u4"), np.frombuffer(of.times_unix_nano, "<i8"), np.frombuffer(of.values)


def _frames(begin: int) -> Iterator[Publish.Frame]:
    told = inventory("north", ("dense", "minutely"), SENSORS)
    yield Publish.Frame(number=1, inventory=told)
    random = np.random.default_rng(1)
    for number in range(MINUTES):
        times = begin + number * MINUTE + np.arange(len(SENSORS)) * 1_000_000
        yield _frame(2 + number, "minutely", times, random)
    spacing = MINUTES * MINUTE // (_DENSE_BLOCKS * _DENSE_READINGS)
    for number in range(_DENSE_BLOCKS):
        times = begin + (number * _DENSE_READINGS + np.arange(_DENSE_READINGS)) * spacing
        yield _frame(2 + MINUTES + number, "dense", times, random)


def _frame(number: int, device: str, times: NDArray[np.int64], random: np.random.Generator) -> Publish.Frame:
    readings = block(0)
    readings.sensors[:] = SENSORS
    readings.sensor_indexes.extend((np.arange(len(times)) % len(SENSORS)).tolist())
    readings.times_unix_nano.extend(times.tolist())
    readings.values.extend(random.normal(40, 5, len(times)).tolist())
    return Publish.Frame(
        number=number, telemetry=[Publish.DeviceBlock(device=f"customers/north/devices/{device}", block=readings)]
    )


async def _publish(address: str, secret: str, begin: int) -> None:
    last = 1 + MINUTES + _DENSE_BLOCKS
    async with open_channel(address) as channel:
        call: Any = gateway_pb2_grpc.GatewayServiceStub(channel).Publish(metadata=bearer(secret))
        await call.write(Publish(hello=Publish.Hello(gateway="gw", epoch="gw-epoch-0123456789")))

        async def send() -> None:
            for frame in _frames(begin):
                await call.write(Publish(frame=frame))

        sending = asyncio.create_task(send())
        while (await call.read()).acknowledgement.number < last:
            pass
        await sending
        call.cancel()


@asynccontextmanager
async def staged(processes: Stage) -> AsyncIterator[Scene]:
    """A scene with both devices' readings committed."""
    async with authority(processes) as running:
        await running.partner("acme")
        step = MINUTES * MINUTE // STEPS
        begin = (time.time_ns() - MINUTES * MINUTE) // step * step
        await running.valid_customer("north", "acme", data_start_time=Instant(begin))
        secret = (await running.key("acme")).secret
        folder = processes.folder / "devices"
        devices = await processes.start(
            "devices", "consentry_devices", "--listen=127.0.0.1:0", f"--authority={running.address}",
            f"--token-file={running.folder / 'devices.token'}", f"--data-dir={folder}",
        )  # fmt: skip
        issued = await running.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")
        await _publish(devices.address, issued.secret, begin)
        database = folder / "devices.db"
        bare = await processes.start("bare", "bench.bare_history", f"--database={database}")
        async with AsyncClient(devices=devices.address, secret=secret) as client, open_channel(bare.address) as channel:
            yield Scene(client, channel, database, begin)


async def _measure(report: Report) -> None:
    with stage() as processes:
        async with staged(processes) as scene:
            for warm_up in (scene.raw, scene.by_hand, scene.in_process, scene.downsample):
                await warm_up()
            pairs = await in_pairs(_ROUNDS, scene.by_hand, scene.raw)
            alone = await in_pairs(_ROUNDS, scene.in_process, scene.raw)
            downsampled = [await scene.downsample() for _ in range(_ROUNDS)]
            hours = await in_pairs(_ROUNDS, scene.hour(scene.begin), scene.hour(scene.end - 60 * MINUTE))
    report.median("raw_ms", [raw * 1e3 for _, raw in pairs], "ms, a million readings as arrays", at_most=400)
    report.median("by_hand_ms", [hand * 1e3 for hand, _ in pairs], "ms, the same over bare gRPC, by hand with numpy")
    report.median("over_numpy", [1 / ratio for ratio in ratios(pairs)], "speed, over that", at_least=0.5)
    report.median("in_process_ms", [hand * 1e3 for hand, _ in alone], "ms, the same by hand without gRPC")
    report.median("over_numpy_in_process", [1 / ratio for ratio in ratios(alone)], "speed, over that")
    report.median(
        "downsample_ms", [taken * 1e3 for taken in downsampled], "ms, 30 days of minutes in 500 steps", at_most=150
    )  # fmt: skip
    report.median("early_hour_ms", [early * 1e3 for early, _ in hours], "ms, the first hour of 30 days")
    report.median("late_hour_ms", [late * 1e3 for _, late in hours], "ms, the last hour of 30 days")


if __name__ == "__main__":
    run("history", _measure)
