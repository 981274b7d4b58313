"""A flood of credentials that do not count, on both services at once: those whose credentials do count hardly notice.

Real processes: authority, device-data service, and one client that sends forged secrets, each time another, and secrets of
deleted keys, as fast as it can. Beside it, legitimate calls at a steady pace, and streams that must not lose their lease. Quiet
and flooded rounds alternate, so that what else happens on the machine happens to both.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest

from bench.harness import percentile
from bench.stage import Process, authority, stage
from consentry.authority.v1 import coverage_pb2, keys_pb2
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc, inventory_pb2, inventory_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.flooder import Flood

ROUNDS, MOST_ROUNDS = 3, 7
"""More only where the first are not enough to tell: others work on the same two cores."""
ROUND_SECONDS = 3.0
ONSET_SECONDS = 1.0
"""The first calls of a flood all come at once, with their connections; after so long each has been looked at."""
EVERY = 0.02
"""Seconds between two legitimate calls of a kind."""
DEAD_KEYS = 8
STREAMS = 5
METHODS = ("/consentry.authority.v1.CoverageService/ListCoveredCustomers", "/consentry.devices.v1.InventoryService/ListDevices")
NOISE = 0.002
"""Seconds that a call may be late on two cores which three busy processes share, whatever the services do."""
pytestmark = [pytest.mark.slow, pytest.mark.alone]


@dataclass
class Found:
    """Seconds that legitimate calls took, by service, of each round."""

    quiet: dict[str, list[list[float]]] = field(default_factory=dict)
    flooded: dict[str, list[list[float]]] = field(default_factory=dict)
    onset: dict[str, list[list[float]]] = field(default_factory=dict)
    floods: list[dict[str, Any]] = field(default_factory=list)

    def within(self, service: str) -> bool:
        """Whether the flooded p99 is at most twice the quiet one."""
        return _p99(self.flooded[service]) <= 2 * _p99(self.quiet[service]) + NOISE


async def test_a_flood_of_dead_and_forged_secrets_delays_nobody_and_costs_no_lease() -> None:
    found = Found()
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            key = (await running.key("acme")).secret
            dead = [await running.key("acme") for _ in range(DEAD_KEYS)]
            metadata = bearer(await running.admin("partners/acme"))
            for each in dead:
                await running.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=each.name), metadata=metadata)
            devices = await processes.start(
                "devices", "consentry_devices", "--listen=127.0.0.1:0", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
            )  # fmt: skip
            order = processes.folder / "flood.orders"
            addresses = (running.address, devices.address)
            Flood(dict(zip(addresses, METHODS, strict=True)), [each.secret for each in dead]).write(order)
            async with open_channel(devices.address) as channel:
                inventory = inventory_pb2_grpc.InventoryServiceStub(channel)
                request = inventory_pb2.ListDevicesRequest(parent="customers/north")
                calls: dict[str, Callable[[], Any]] = {
                    "authority": lambda: running.coverage.ListCoveredCustomers(
                        coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(key), timeout=30
                    ),
                    "devices": lambda: inventory.ListDevices(request, metadata=bearer(key), timeout=30),
                }
                streams = [asyncio.create_task(_stays_open(channel, key)) for _ in range(STREAMS)]
                await _round(calls, ONSET_SECONDS)  # warm
                for number in range(MOST_ROUNDS):
                    if number >= ROUNDS and all(found.within(service) for service in calls):
                        break
                    _keep(found.quiet, await _round(calls))
                    flooder = await processes.start("flooder", "support.flooder", str(order), serves=False)
                    await _begun(flooder)
                    _keep(found.onset, await _round(calls, ONSET_SECONDS))
                    _keep(found.flooded, await _round(calls))
                    found.floods.append(await _told(flooder))
                assert not any(stream.done() for stream in streams), "a stream was ended: its lease was lost"
                for stream in streams:
                    stream.cancel()
                await asyncio.gather(*streams, return_exceptions=True)
            assert "lease lost" not in (processes.folder / "devices.log").read_text(encoding="utf-8")
    _print(found)
    for flood in found.floods:
        assert set(flood["statuses"]) == {"UNAUTHENTICATED"}, flood
    for service in calls:
        assert max(map(max, found.onset[service])) < ONSET_SECONDS
        assert found.within(service)


async def _stays_open(channel: Any, key: str) -> None:
    """A stream, until it ends."""
    request = feed_pb2.WatchRequest(live=feed_pb2.WatchRequest.Live())
    async for _ in feed_pb2_grpc.FeedServiceStub(channel).Watch(request, metadata=bearer(key)):
        pass


async def _round(calls: Mapping[str, Callable[[], Any]], seconds: float = ROUND_SECONDS) -> dict[str, list[float]]:
    """What each call took; they begin at a steady pace, however long the ones before take."""
    took: dict[str, list[float]] = {service: [] for service in calls}

    async def once(service: str) -> None:
        began = time.perf_counter()
        await calls[service]()
        took[service].append(time.perf_counter() - began)

    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < end:
            for service in calls:
                group.create_task(once(service))
            await asyncio.sleep(EVERY)
    return took


async def _begun(flooder: Process) -> None:
    """Wait until the flooder says that it floods."""
    assert flooder.process.stdout is not None
    assert await asyncio.to_thread(flooder.process.stdout.readline) == "flooding\n"


async def _told(flooder: Process) -> dict[str, Any]:
    """Stop the flood; what it came to."""
    out, _ = await asyncio.to_thread(flooder.process.communicate)
    told: dict[str, Any] = json.loads(out)
    return told


def _keep(rounds: dict[str, list[list[float]]], took: dict[str, list[float]]) -> None:
    for service, seconds in took.items():
        rounds.setdefault(service, []).append(seconds)


def _p99(rounds: list[list[float]]) -> float:
    return median(percentile(seconds, 0.99) for seconds in rounds)


def _print(found: Found) -> None:
    print(f"\n{'service':<12}{'':<9}{'p50 ms':>9}{'p99 ms':>9}   p99 of each round")
    for service in found.quiet:
        for how in ("quiet", "onset", "flooded"):
            rounds = getattr(found, how)[service]
            half = median(percentile(seconds, 0.5) for seconds in rounds)
            each = " ".join(f"{percentile(seconds, 0.99) * 1000:.1f}" for seconds in rounds)
            print(f"{service:<12}{how:<9}{half * 1000:>9.2f}{_p99(rounds) * 1000:>9.2f}   {each}")
    for flood in found.floods:
        print(f"flood: {flood['per_second']:.0f} calls a second, {flood['statuses']}")
