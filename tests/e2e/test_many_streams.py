"""Thousands of streams in one process: opened at once, cut together, sent away without a stampede."""

import collections
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bench.stage import Process, authority, stage
from consentry.authority.v1 import enforcement_pb2
from support.authority import RunningAuthority

STREAMS = 5_000
pytestmark = [pytest.mark.slow, pytest.mark.alone]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The pair, and readers, in processes of their own."""

    running: RunningAuthority
    authority: Process
    devices: Process
    readers: Process
    secret: str

    async def open(self) -> None:
        """Open all streams at once, over one named customer; none of them may be lost."""
        how = {"address": self.devices.address, "streams": STREAMS, "secrets": [self.secret], "customers": ["north"]}
        opened = await self.readers.ask(open=how | {"live": True})
        assert not opened["failed"], opened

    async def ended(self, status: str) -> Any:
        """All streams have ended, with this status."""
        ended = await self.readers.ask(ended=True)
        assert ended["statuses"] == {status: STREAMS}
        return ended


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    """Nobody has opened a stream yet."""
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            secret = (await running.key("acme")).secret
            devices = await processes.start(
                "devices", "consentry_devices", "--listen=127.0.0.1:0", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
                f"--streams-per-key={STREAMS}",
            )  # fmt: skip
            readers = await processes.start("readers", "bench.readers_process", serves=False)
            yield Crowd(running, processes.started("authority"), devices, readers, secret)


async def test_thousands_are_opened_at_once_and_cut_together(crowd: Crowd) -> None:
    await crowd.open()
    enforcement = (await crowd.running.revoke("north", "acme")).enforcement
    assert enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
    ended = await crowd.ended("PERMISSION_DENIED CONSENT_REVOKED")
    assert not ended["return_after"], "who has lost access is not asked back"
    enforced = enforcement.enforce_time.ToNanoseconds()
    assert max(ended["times"]) - enforced < 10e9


async def test_thousands_that_lose_their_lease_come_back_spread_out(crowd: Crowd) -> None:
    await crowd.open()
    crowd.authority.signal(signal.SIGSTOP)
    ended = await crowd.ended("UNAVAILABLE LEASE_LOST")
    spread_out(ended["return_after"])
    crowd.authority.signal(signal.SIGCONT)


async def test_thousands_that_are_drained_come_back_spread_out(crowd: Crowd) -> None:
    await crowd.open()
    crowd.devices.signal(signal.SIGTERM)
    ended = await crowd.ended("UNAVAILABLE DRAINING")
    spread_out(ended["return_after"])


def spread_out(seconds: Sequence[float]) -> None:
    """Everybody was told when to come back, and in no tenth of that time does much more than a tenth of them."""
    assert len(seconds) == STREAMS
    first, last = min(seconds), max(seconds)
    assert last - first > STREAMS / 1_000 * 0.9
    tenths = collections.Counter(int((each - first) / (last - first) * 9.999) for each in seconds)
    assert max(tenths.values()) < STREAMS * 0.13, tenths
