"""How many readings a second are taken in: published by several gateways over gRPC, acknowledged once they are committed.

Authority and device-data service are processes of their own; this one is the gateways, all of them, and encodes what they send.
The baseline is the bare database: `sqlite3` inserting the same blobs, in the groups in which the service just committed them,
with the same pragmas, in a file beside the service's.

Each gateway has devices of its own, as in the field: with the same ones they would share the newest readings of a group, and
hide what those cost. Frames are large, as of a gateway that has some minutes to catch up with, or small, as of one that tells
of each poll at once.
"""

import asyncio
import contextlib
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.harness import Report, in_pairs, ratios, run
from bench.stage import Process, Stage, authority, stage
from consentry.authority.v1 import tokens_pb2
from consentry.devices.v1 import gateway_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.sql.database import PRAGMAS
from consentry_devices.blocks import columns
from consentry_devices.blocks.wire import delimited
from consentry_devices.storage import store
from support.gateways import SECOND, inventory

_GATEWAYS = 4
_ROUNDS = 7
_WINDOW = 16  # frames that a gateway has sent and that are not acknowledged
_PUBLISH = "/consentry.devices.v1.GatewayService/Publish"
_Request = gateway_pb2.PublishRequest
_FRAME, _NUMBER = _Request.FRAME_FIELD_NUMBER, _Request.Frame.NUMBER_FIELD_NUMBER
_TELEMETRY, _BLOCK = _Request.Frame.TELEMETRY_FIELD_NUMBER, _Request.DeviceBlock.BLOCK_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class _Shape:
    """What frames look like, and how many each gateway publishes in a round."""

    name: str
    devices: int
    sensors: int
    times: int
    frames: int

    @property
    def readings(self) -> int:
        """In one frame."""
        return self.devices * self.sensors * self.times


_LARGE = _Shape("large", devices=10, sensors=10, times=100, frames=100)
_SMALL = _Shape("small", devices=100, sensors=10, times=1, frames=100)


class _Gateway:
    """One gateway of a customer: its stream, its numbering, and a clock that goes on with its polls."""

    def __init__(self, call: Any, shape: _Shape, gateway: int) -> None:
        self._call = call
        self._shape = shape
        self._number = 0
        self._acknowledged = 0
        self._devices = [f"customers/north/devices/{shape.name}-{gateway}-{number}" for number in range(shape.devices)]
        self._sensors = tuple(f"sensor-{number}" for number in range(shape.sensors))
        rows = shape.sensors * shape.times
        self._indexes = np.arange(rows, dtype="<u4") % shape.sensors
        self._offsets = np.repeat(np.arange(shape.times, dtype="<i8") * SECOND, shape.sensors)
        self._time = time.time_ns() - 86_400 * SECOND
        self._values = np.random.default_rng(1).random(rows)

    async def begin(self, gateway: str) -> None:
        """Say hello, and tell of all things."""
        hello = _Request.Hello(gateway=gateway, epoch=secrets.token_hex(8))
        await self._call.write(_Request(hello=hello).SerializeToString())
        await self._call.read()
        devices = [device.rpartition("/")[2] for device in self._devices]
        told = _Request.Frame(number=1, inventory=inventory("north", devices, self._sensors))
        await self._call.write(_Request(frame=told).SerializeToString())
        self._number = 1
        await self._until(1)

    async def publish(self) -> None:
        """Publish a round's frames; done once all are acknowledged."""
        for _ in range(self._shape.frames):
            await self._until(self._number - _WINDOW)
            self._number += 1
            await self._call.write(self._frame())
        await self._until(self._number)

    async def _until(self, number: int) -> None:
        while self._acknowledged < number:
            response = gateway_pb2.PublishResponse.FromString(await self._call.read())
            self._acknowledged = response.acknowledgement.number

    def _frame(self) -> bytes:
        self._time += self._shape.times * SECOND
        table = columns.Table(self._sensors, self._indexes, self._offsets + self._time, self._values)
        block = delimited(_BLOCK, columns.write(table))
        blocks = b"".join(
            delimited(_TELEMETRY, _Request.DeviceBlock(device=device).SerializeToString() + block) for device in self._devices
        )
        return delimited(_FRAME, _Request.Frame(number=self._number).SerializeToString() + blocks)

    def payload(self) -> bytes:
        """What of a frame's blocks is stored, each."""
        table = columns.Table(self._sensors, self._indexes, self._offsets + self._time, self._values)
        return columns.encode(self._devices[0], table, historical=False)


class _Database:
    """The baseline's file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in (*store.PRAGMAS, *PRAGMAS):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        self._seq = 0

    def insert(self, groups: Sequence[int], payload: bytes) -> tuple[float, float]:
        """Insert groups of blobs, a transaction each; the seconds that it took, and those of the processor."""
        began, used = time.perf_counter(), time.thread_time()
        for size in groups:
            self._connection.execute("BEGIN IMMEDIATE")
            rows = [(self._seq + number, payload) for number in range(1, size + 1)]
            self._connection.executemany("INSERT INTO log (seq, payload) VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")
            self._seq += size
        return time.perf_counter() - began, time.thread_time() - used


@dataclass(frozen=True, slots=True)
class _Scene:
    devices: Process
    gateways: Sequence[_Gateway]
    database: _Database
    shape: _Shape

    @property
    def _readings(self) -> int:
        return self.shape.readings * self.shape.frames * len(self.gateways)

    async def published(self) -> float:
        """Readings a second, from the first write until the last acknowledgement."""
        began = time.perf_counter()
        await asyncio.gather(*(gateway.publish() for gateway in self.gateways))
        return self._readings / (time.perf_counter() - began)


@contextlib.asynccontextmanager
async def _scene(processes: Stage, shape: _Shape) -> AsyncIterator[_Scene]:
    async with authority(processes) as running:
        await running.customer("north")
        issued = [await running.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north") for _ in range(_GATEWAYS)]
        devices = await processes.start(
            "devices", "bench.ingest_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
            f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
        )  # fmt: skip
        async with contextlib.AsyncExitStack() as channels:
            gateways = []
            for number, token in enumerate(issued):
                channel = await channels.enter_async_context(open_channel(devices.address))
                gateways.append(_Gateway(channel.stream_stream(_PUBLISH)(metadata=bearer(token.secret)), shape, number))
                await gateways[-1].begin(f"gateway-{number}")
            yield _Scene(devices, gateways, _Database(processes.folder / "baseline.db"), shape)


async def _measure_shape(report: Report, shape: _Shape) -> tuple[Sequence[float], Sequence[float]]:
    """Processor seconds a million readings, round by round: of the service, and of the baseline."""
    with stage() as processes:
        async with _scene(processes, shape) as scene:
            payload = scene.gateways[0].payload()
            await scene.published()  # until caches are warm and the files have grown
            groups: list[int] = await scene.devices.ask(groups=True)
            scene.database.insert(groups, payload)
            per_group: list[float] = []
            service: list[float] = []
            clients: list[float] = []
            raw: list[float] = []

            async def published() -> float:
                nonlocal groups
                before = scene.devices.cpu_seconds(), time.process_time()
                rate = await scene.published()
                readings = shape.readings * shape.frames * _GATEWAYS / 1e6
                service.append((scene.devices.cpu_seconds() - before[0]) / readings)
                clients.append((time.process_time() - before[1]) / readings)
                groups = await scene.devices.ask(groups=True)
                per_group.append(sum(groups) / len(groups))
                return rate

            async def inserted() -> float:
                seconds, used = scene.database.insert(groups, payload)
                readings = sum(groups) * (shape.readings // shape.devices)
                raw.append(used / readings * 1e6)
                return readings / seconds

            pairs = await in_pairs(_ROUNDS, inserted, published)
    _report(report, shape, pairs, service=service, clients=clients, per_group=per_group)
    return service, raw


def _report(
    report: Report,
    shape: _Shape,
    pairs: Sequence[tuple[float, float]],
    *,
    service: Sequence[float],
    clients: Sequence[float],
    per_group: Sequence[float],
) -> None:
    suffix = "" if shape is _LARGE else f"_{shape.name}"
    blocks = f"frames of {shape.devices} blocks of {shape.readings // shape.devices:,} readings, {_GATEWAYS} gateways"
    rates = [rate for _, rate in pairs]
    targets: Any = ({"at_least": 1e6}, {"at_least": 0.4}) if shape is _LARGE else ({}, {})
    report.median(f"readings_per_s{suffix}", rates, f"acknowledged after commit: {blocks}", **targets[0])
    report.median(f"raw_per_s{suffix}", [rate for rate, _ in pairs], "sqlite3 inserting the same blobs in the same groups")
    report.median(f"over_raw_sqlite{suffix}", ratios(pairs), "acknowledged over inserted", **targets[1])
    report.median(f"service_s_per_million{suffix}", service, "processor seconds of the service per million readings")
    report.median(f"client_s_per_million{suffix}", clients, "the same of all gateways together")
    report.figure(f"blocks_per_group{suffix}", median(per_group), "committed together")


async def _measure(report: Report) -> None:
    large, raw = await _measure_shape(report, _LARGE)
    small, _ = await _measure_shape(report, _SMALL)
    over_raw = ratios(list(zip(raw, large, strict=True)))
    report.median("cpu_over_raw_cpu", over_raw, "the service's processor time over sqlite3's, blocks of 1,000", at_most=2.2)
    over_large = ratios(list(zip(large, small, strict=True)))
    report.median("small_over_large_cpu", over_large, "its time a reading, blocks of 10 over blocks of 1,000", at_most=15)


if __name__ == "__main__":
    run("ingest", _measure)
