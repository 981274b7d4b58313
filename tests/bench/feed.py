"""How fast the feed hands readings to many readers, and how long a reading is under way.

Authority, device-data service, gateways and readers are processes of their own. 20 readers (LOSSLESS, telemetry of all eight
customers, each with a connection of its own) parse what they receive and count the readings; a round ends when each of them has
had every one. The baseline moves the very messages that one of them received through a bare grpc.aio server, between the same
processes: no guard, no cursor; it stores them with sqlite3, as blobs.

* `readings_per_s`: eight gateways publish as fast as they are let. On the same processors the service meanwhile parses, checks
  and commits what they send. `live_over_storing_relay` is that over the relay, which commits the same bytes and does no more.
* `over_raw_grpc`: what was published before is read after a cursor, by all 20 at once, and nothing is published meanwhile: the
  fan-out by itself, over a bare server that has the messages in memory.
* A block of 1,000 readings is a PDU of 50 outlets, read once a second and sent every 20 seconds; ten of them are a frame.
* A small block of 10 readings is a device with ten sensors that is read and sent at once, a hundred devices' in a frame.
* Latency: stamped in the reading's time just before it is published, until a reader has parsed it; at a tenth of the rate
  that was found, with commits to disk as always.
"""

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.harness import Report, in_pairs, percentile, ratios, run, spread
from bench.stage import Process, Stage, authority, stage
from consentry.authority.v1 import tokens_pb2

READERS = 20
_GATEWAYS = 8
_ROUNDS = 5
LARGE = {"frames": 24, "blocks": 10, "readings": 1_000}
_SMALL = {"frames": 24, "blocks": 100, "readings": 10}
_PACED_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The processes, and what is asked of them."""

    devices: Process
    relay: Process
    gateways: Process
    readers: Process
    secret: str
    file: str

    async def live(self, shape: Mapping[str, int]) -> float:
        """Readings a second, delivered in all, while they are published."""
        await self.readers.ask(open={"address": self.devices.address, "streams": READERS, "secret": self.secret})
        await self.gateways.ask(prepare=shape)
        published = await self.gateways.ask(publish=True)
        return await self._finish(published["readings"], published["began"])

    async def live_bare(self, shape: Mapping[str, int]) -> float:
        """The same of the relay, with what was recorded last."""
        await self.relay.ask(forget=True)
        await self.readers.ask(open={"address": self.relay.address, "streams": READERS})
        published = await self.gateways.ask(relay={"address": self.relay.address, "file": self.file})
        return await self._finish(readings_of(shape), published["began"])

    async def catch_up(self, shape: Mapping[str, int], cursor: str) -> float:
        """Readings a second, delivered in all, of what was published before."""
        opened = await self.readers.ask(
            open={"address": self.devices.address, "streams": READERS, "secret": self.secret, "cursor": cursor}
        )
        return await self._finish(readings_of(shape), opened["began"])

    async def catch_up_bare(self, shape: Mapping[str, int]) -> float:
        """The same of the relay."""
        await self.relay.ask(forget=True)
        await self.gateways.ask(relay={"address": self.relay.address, "file": self.file})
        opened = await self.readers.ask(open={"address": self.relay.address, "streams": READERS})
        return await self._finish(readings_of(shape), opened["began"])

    async def cursor_before(self, shape: Mapping[str, int]) -> str:
        """A cursor with so much published after it; what it takes to read it is recorded."""
        await self.readers.ask(open={"address": self.devices.address, "streams": 1, "secret": self.secret})
        cursor = str(await self.readers.ask(cursor=True))
        await self.readers.ask(close=True)
        await self.gateways.ask(prepare=shape)
        await self.gateways.ask(publish=True)
        await self.catch_up(shape, cursor)
        return cursor

    async def delays(self, per_second: float) -> list[float]:
        """Milliseconds from publish to reader, with so many readings published a second."""
        block = 1_000
        await self.readers.ask(open={"address": self.devices.address, "streams": READERS, "secret": self.secret})
        every = block * _GATEWAYS / per_second
        readings = await self.gateways.ask(pace={"seconds": _PACED_SECONDS, "every": every, "readings": block})
        read = await self.readers.ask(read={"readings": readings, "record": self.file})
        await self.readers.ask(close=True)
        return list(read["delays"])

    async def _finish(self, readings: int, began: int) -> float:
        read = await self.readers.ask(read={"readings": readings, "record": self.file})
        await self.readers.ask(close=True)
        seconds = (int(read["last"]) - began) / 1e9
        return readings * READERS / seconds


def readings_of(shape: Mapping[str, int]) -> int:
    """How many readings all gateways publish in that shape."""
    return shape["frames"] * shape["blocks"] * shape["readings"] * _GATEWAYS


@contextlib.asynccontextmanager
async def staged(processes: Stage) -> Any:
    """A scene with eight customers and their gateways."""
    async with authority(processes) as running:
        await running.partner("acme")
        gateways = {}
        for number in range(_GATEWAYS):
            await running.valid_customer(f"customer-{number}", "acme")
            token = await running.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/customer-{number}")
            gateways[f"customer-{number}"] = token.secret
        secret = (await running.key("acme")).secret
        devices = await processes.start(
            "devices", "consentry_devices", "--listen=127.0.0.1:0", f"--authority={running.address}",
            f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
        )  # fmt: skip
        relay = await processes.start("relay", "bench.feed_relay")
        publishing = await processes.start("gateways", "bench.feed_gateways", serves=False)
        readers = await processes.start("readers", "bench.feed_readers", serves=False)
        await publishing.ask(open={"address": devices.address, "gateways": gateways})
        yield Scene(devices, relay, publishing, readers, secret, str(processes.folder / "messages"))


async def _one_shape(report: Report, scene: Scene, shape: Mapping[str, int], rounds: int) -> None:
    suffix, large = ("", True) if shape is LARGE else ("_small", False)
    await scene.live(shape)
    live = await in_pairs(rounds, partial(scene.live_bare, shape), partial(scene.live, shape))
    cursor = await scene.cursor_before(shape)
    again = await in_pairs(rounds, partial(scene.catch_up_bare, shape), partial(scene.catch_up, shape, cursor))
    report.median(f"readings_per_s{suffix}", [ours for _, ours in live],
                  f"to {READERS} readers, while published in blocks of {shape['readings']:,}",
                  **{"at_least": 5e6} if large else {})  # fmt: skip
    report.median(f"over_raw_grpc{suffix}", ratios(again), "of what was published, over a bare server that has the messages",
                  **{"at_least": 0.85} if large else {})  # fmt: skip
    report.median(f"catch_up_per_s{suffix}", [ours for _, ours in again], "readings/s of that")
    report.median(f"live_over_storing_relay{suffix}", ratios(live), "while published, over a bare relay that stores as well",
                  **{"at_least": 0.8} if large else {})  # fmt: skip


async def _measure(report: Report) -> None:
    rounds = 1 if "--quick" in sys.argv else _ROUNDS
    with stage() as processes:
        async with staged(processes) as scene:
            await _one_shape(report, scene, LARGE, rounds)
            rate = next(row.value for row in report.rows if row.name == "readings_per_s") / READERS / 10
            delays = await scene.delays(rate)
            report.figure("added_latency_p50_ms", percentile(delays, 0.5), f"publish to reader at {rate:,.0f} readings/s",
                          spread=spread(delays, 1), at_most=25)  # fmt: skip
            report.figure("added_latency_p99_ms", percentile(delays, 0.99), f"of {len(delays):,} blocks")
            await _one_shape(report, scene, _SMALL, rounds)


if __name__ == "__main__":
    run("feed", _measure)
