"""Attacks that need no credential, on a real authority: honest callers are answered beside them, and memory has its bound."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from bench.harness import percentile
from bench.stage import Process, authority, stage
from consentry.authority.v1 import coverage_pb2
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.authority import RunningAuthority

SECONDS = 4.0
EVERY = 0.02
MOST_MIB = 512
NOISE = 0.05
"""Seconds that a call may be late on two cores which busy processes share."""
ATTACKS = {"gzip_bomb": 1.0, "hpack_bomb": 0.1, "header_streams": 1.0, "health_watches": 1.0}
"""Each with its load. The one that is less is what was seen to do harm: ten times that has the parser busy all the time."""
pytestmark = [pytest.mark.slow, pytest.mark.attack]


@pytest.mark.parametrize("name", ATTACKS)
async def test_strangers_hold_up_nobody_and_take_no_more_memory_than_there_is(name: str) -> None:
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            key = (await running.key("acme")).secret
            await _honest(running, key, 0.5)  # warm
            quiet = await _honest(running, key, SECONDS / 2)
            order = processes.folder / "order"
            Order(running.address, "", {}, ATTACKS[name]).write(order)
            attacker = await processes.start("attacker", "support.attackers", name, str(order), serves=False)
            assert attacker.process.stdout is not None
            await asyncio.to_thread(attacker.process.stdout.readline)
            attacked = await _honest(running, key, SECONDS)
            out, _ = await asyncio.to_thread(attacker.process.communicate)
            peak = _peak_mib(processes.started("authority"))
    answers = json.loads(out)["answers"]
    halves, ends = ([percentile(took, part) for took in (quiet, attacked)] for part in (0.5, 0.99))
    print(f"\n{name}: p50 {halves[0] * 1e3:.1f} to {halves[1] * 1e3:.1f} ms, p99 {ends[0] * 1e3:.1f} to {ends[1] * 1e3:.1f} ms")
    print(f"{peak} MiB, {answers}")
    assert answers, "nobody attacked"
    assert peak < MOST_MIB
    if name != "hpack_bomb":  # each of these costs the event loop milliseconds before anybody is asked
        assert halves[1] <= 2 * halves[0] + NOISE


async def _honest(running: RunningAuthority, key: str, seconds: float) -> list[float]:
    """What calls took that begin at a steady pace; all of them are answered."""
    took: list[float] = []
    request = coverage_pb2.ListCoveredCustomersRequest()

    async def once() -> None:
        began = time.perf_counter()
        await running.coverage.ListCoveredCustomers(request, metadata=bearer(key), timeout=30)
        took.append(time.perf_counter() - began)

    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < end:
            group.create_task(once())
            await asyncio.sleep(EVERY)
    return took


def _peak_mib(process: Process) -> int:
    status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
