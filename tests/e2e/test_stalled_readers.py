"""200 readers of which 20 stop reading: nobody else notices, the service's memory is bounded, and they lose nothing."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.stage import Process, authority, stage
from consentry.authority.v1 import tokens_pb2

READING, STALLING = 180, 20
GATEWAYS = 4
SHAPE = {"frames": 8, "blocks": 8, "readings": 1_000}  # of each gateway: 5 MiB from all of them
RING_MIB = 1
WRITE_TIMEOUT = 3
PATIENCE = 60.0
pytestmark = [pytest.mark.slow, pytest.mark.alone]


@dataclass(frozen=True, slots=True)
class Hall:
    """The service, those who publish to it, and two processes of readers."""

    devices: Process
    gateways: Process
    reading: Process
    stalling: Process
    secret: str

    async def open(self, readers: Process, streams: int) -> None:
        """Readers of everything from here on."""
        await readers.ask(open={"address": self.devices.address, "streams": streams, "secret": self.secret})

    async def publish(self) -> int:
        """Publish as fast as possible; how many readings."""
        await self.gateways.ask(prepare=SHAPE)
        return int((await self.gateways.ask(publish=True))["readings"])

    async def all_read(self) -> float:
        """Publish, and the seconds until all who read have read it."""
        began = time.time_ns()
        readings = await self.publish()
        return (int((await self.reading.ask(read={"readings": readings}))["last"]) - began) / 1e9

    def peak_mib(self) -> float:
        """The most memory that the service has ever had."""
        status = Path(f"/proc/{self.devices.process.pid}/status").read_text(encoding="ascii")
        peak = re.search(r"VmHWM:\s*(\d+) kB", status)
        assert peak is not None
        return int(peak[1]) / 1024

    async def hung_up(self, clients: int) -> None:
        """So many clients have been hung up on."""
        log = self.devices.folder / "devices.log"
        async with asyncio.timeout(PATIENCE):
            while log.read_text(encoding="utf-8").count("hanging up") < clients:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.1)


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    """Nobody reads yet."""
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            tokens = {}
            for number in range(GATEWAYS):
                await running.valid_customer(f"customer-{number}", "acme")
                token = await running.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/customer-{number}")
                tokens[f"customer-{number}"] = token.secret
            secret = (await running.key("acme")).secret
            devices = await processes.start(
                "devices", "bench.devices_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
                f"--ring-mib={RING_MIB}", f"--write-timeout={WRITE_TIMEOUT}",
            )  # fmt: skip
            gateways = await processes.start("gateways", "bench.feed_gateways", serves=False)
            reading = await processes.start("reading", "bench.feed_readers", serves=False)
            stalling = await processes.start("stalling", "bench.feed_readers", serves=False)
            await gateways.ask(open={"address": devices.address, "gateways": tokens})
            yield Hall(devices, gateways, reading, stalling, secret)


async def test_readers_that_stall_disturb_nobody_and_lose_nothing(hall: Hall) -> None:
    """Half of them read on when the others are done, far behind the ring; half are hung up on first.

    The readers themselves see to it that nothing is missing, twice or out of order.
    """
    await hall.open(hall.reading, READING)
    await hall.all_read()
    before, alone_mib = await hall.all_read(), hall.peak_mib()

    await hall.open(hall.stalling, STALLING)
    await hall.stalling.ask(stall=True)
    beside, beside_mib = await hall.all_read(), hall.peak_mib()
    await hall.stalling.ask(go=STALLING // 2)
    await hall.hung_up(STALLING // 2)
    await hall.stalling.ask(go=STALLING)
    caught_up = await hall.stalling.ask(read={"readings": GATEWAYS * SHAPE["frames"] * SHAPE["blocks"] * SHAPE["readings"]})
    assert caught_up["calls"] >= STALLING + STALLING // 2
    await hall.stalling.ask(close=True)
    after = await hall.all_read()

    print(f"{before:.2f} s, {beside:.2f} s beside stalled ones, {after:.2f} s; {alone_mib:.0f} MiB, then {beside_mib:.0f} MiB")
    assert beside < 2 * max(before, after), "nobody is slowed down by those who stall"
    assert beside_mib < alone_mib + 3 * STALLING, "a stalled reader holds a message, and not the 5 MiB that it has not read"
    assert beside_mib < 400
