"""What one hostile credential, and none at all, can do to everybody else: `python -m bench.hostile [ATTACK ...]`.

Authority, device-data service and the attacker are processes of their own; the attacker's partner has a hundred thousand
customers. Beside each attack honest customers take their consent back and give it again at a steady pace, their gateways
publish, and honest readers hold streams open. Before each attack comes a quiet round, which is its baseline.

* `worst_revoke_over_quiet`: of each attack, the p99 of a RevokeConsent until its commit is answered, over the quiet one; the
  worst. `worst_median_over_quiet`: likewise the median over the quiet p99.
* `beyond_allowance`: attacks under which that p99 was more than twice the quiet one and 50 ms.
* `longest_enforced_s`: from a commit to ENFORCED, by the receipts. Enforcement points that say nothing hold a change up to the
  bound, and no longer; a service's token in bad hands has such points.
* `leases_lost`: how often the honest device-data service lost its lease; `readers_ended`: honest streams that ended.
* `late_messages`: writes of an honest customer's data that were begun after ENFORCED.
* `peak_rss_mib`: the most memory that either service had.

The attacker runs at the lowest priority: it stands for another machine, and shares these two cores with what it attacks.
"""

import asyncio
import contextlib
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import grpc

from bench.harness import Report, percentile, run
from bench.population import populate
from bench.stage import Process, Stage, authority, stage
from consentry.authority.v1 import consent_pb2, enforcement_pb2, tokens_pb2
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc, gateway_pb2, gateway_pb2_grpc
from consentry_core.protocol.follow import BOUND_SECONDS
from consentry_core.rpc.client.channels import bearer, open_channel
from support.attackers import PARTNER, Order, enrol, ways
from support.authority import RunningAuthority
from support.pair import Gateway

_CUSTOMERS = 100_000
"""Of the attacker's partner."""
HONEST_PARTNER = "acme"
_HONEST = [f"honest-{number}" for number in range(8)]
_READERS = 10
_EVERY = 0.1
"""Seconds between two withdrawals; each customer has its turn."""
_QUIET, _ATTACKED = 6.0, 12.0
_ALLOWANCE_MS = 50.0
_PATIENCE = 60.0


@dataclass
class _Round:
    """What honest customers found."""

    revoked: list[float] = field(default_factory=list)
    """Milliseconds until its commit was answered."""
    enforced: list[float] = field(default_factory=list)
    """Seconds from commit to ENFORCED, by the receipt."""
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    """Customer, when it was ENFORCED, when it was about to be given back: nanoseconds of the wall clock."""
    failed: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return percentile(self.revoked, 0.99) if self.revoked else _PATIENCE * 1e3


@dataclass
class _Scene:
    """Everything that runs, and what the honest ones found."""

    running: RunningAuthority
    authority: Process
    devices: Process
    channel: grpc.aio.Channel
    gateways: dict[str, Gateway] = field(default_factory=dict)
    readers_ended: int = 0

    async def round(self, seconds: float) -> _Round:
        """Withdrawals and readings at a steady pace, however long the ones before take."""
        found, over = _Round(), time.monotonic() + seconds
        busy: dict[str, asyncio.Task[None]] = {}
        number = 0
        while time.monotonic() < over:
            customer = _HONEST[number % len(_HONEST)]
            if customer not in busy or busy[customer].done():
                busy[customer] = asyncio.create_task(self._withdraw(customer, found))
            number += 1
            await asyncio.sleep(_EVERY)
        await asyncio.wait(busy.values(), timeout=_PATIENCE)
        return found

    async def _withdraw(self, customer: str, found: _Round) -> None:
        """Take back while a reading is under way, publish another one that nobody may be handed, and give back."""
        began = time.perf_counter()
        try:
            gateway = await self._gateway(customer)
            publishing = asyncio.create_task(gateway.publish(load=[1.0]))
            began = time.perf_counter()
            await self._revoke(customer, wait=False)
            found.revoked.append((time.perf_counter() - began) * 1e3)
            enforcement = (await self._revoke(customer, wait=True)).enforcement
            if enforcement.state != enforcement_pb2.Enforcement.STATE_ENFORCED:
                found.failed.append("PENDING")
            took = enforcement.enforce_time.ToNanoseconds() - enforcement.commit_time.ToNanoseconds()
            found.enforced.append(took / 1e9)
            await publishing
            await gateway.publish(load=[-1.0])
            granting = time.time_ns()
            await self.running.consent(customer, HONEST_PARTNER)
            found.spans.append((customer, enforcement.enforce_time.ToNanoseconds(), granting))
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            found.failed.append(error.code().name if isinstance(error, grpc.aio.AioRpcError) else "TimeoutError")
            found.revoked.append((time.perf_counter() - began) * 1e3)
            if customer in self.gateways:
                self.gateways.pop(customer).call.cancel()

    async def _revoke(self, customer: str, *, wait: bool) -> consent_pb2.RevokeConsentResponse:
        """Take the consent back, once; made again the call answers about the same change."""
        request = consent_pb2.RevokeConsentRequest(customer=f"customers/{customer}", partner=f"partners/{HONEST_PARTNER}")
        if not wait:
            request.enforcement_timeout.SetInParent()
        metadata = bearer(await self.running.admin(f"customers/{customer}"))
        return await self.running.consents.RevokeConsent(request, metadata=metadata, timeout=_PATIENCE)

    async def _gateway(self, customer: str) -> Gateway:
        """The customer's gateway; a new one when the former was cut."""
        if customer not in self.gateways:
            issued = await self.running.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/{customer}")
            call: Any = gateway_pb2_grpc.GatewayServiceStub(self.channel).Publish(metadata=bearer(issued.secret))
            hello = gateway_pb2.PublishRequest.Hello(gateway="gw", epoch=secrets.token_hex(16))
            await call.write(gateway_pb2.PublishRequest(hello=hello))
            await call.read()
            self.gateways[customer] = Gateway(customer, call)
        return self.gateways[customer]

    async def late(self, found: _Round) -> int:
        """Writes that were begun although they were denied."""
        counts = [
            (await self.devices.ask(writes=[enforced, granting, customer]))[0] for customer, enforced, granting in found.spans
        ]
        return sum(counts)

    def leases_lost(self) -> int:
        """So far."""
        return (self.devices.folder / "devices.log").read_text(encoding="utf-8").count("lease lost")

    async def read(self, channel: grpc.aio.Channel, secret: str) -> None:
        """Hold a stream over everything open; one that ends is counted and opened again."""
        request = feed_pb2.WatchRequest(live=feed_pb2.WatchRequest.Live())
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in feed_pb2_grpc.FeedServiceStub(channel).Watch(request, metadata=bearer(secret)):
                    pass
            self.readers_ended += 1
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def _scene(processes: Stage) -> AsyncIterator[_Scene]:
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            authority(processes, filled_by=partial(populate, sizes={PARTNER: _CUSTOMERS}))
        )
        await running.partner(HONEST_PARTNER)
        for customer in _HONEST:
            await running.valid_customer(customer, HONEST_PARTNER)
        devices = await processes.start(
            "devices", "bench.devices_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
            f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
            BENCH_CUSTOMER=",".join(_HONEST),
        )  # fmt: skip
        channel = await stack.enter_async_context(open_channel(devices.address))
        scene = _Scene(running, processes.started("authority"), devices, channel)
        key = await running.key(HONEST_PARTNER)
        readers = [asyncio.create_task(scene.read(channel, key.secret)) for _ in range(_READERS)]
        try:
            yield scene
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            for gateway in scene.gateways.values():
                gateway.call.cancel()


async def _attacked(processes: Stage, scene: _Scene, way: str, order: Path) -> tuple[_Round, dict[str, Any]]:
    attacker = await processes.start(way, "support.attackers", way, str(order), serves=False)
    assert attacker.process.stdout is not None
    assert await asyncio.to_thread(attacker.process.stdout.readline) == "attacking\n"
    found = await scene.round(_ATTACKED)
    try:
        told, _ = await asyncio.to_thread(attacker.process.communicate, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        attacker.process.kill()
        told, _ = await asyncio.to_thread(attacker.process.communicate)
    return found, json.loads(told or '{"answers": "ended without a word", "seconds": 0.0}')


async def _measure(report: Report) -> None:
    chosen = [way for way in ways() if way in sys.argv[1:]] or ways()
    peaks, late, beyond, worst, ended, lost, enforced, halves = [0.0], 0, 0, [0.0], 0, 0, [0.0], [0.0]
    with stage() as processes:
        async with _scene(processes) as scene:
            order = processes.folder / "attack.orders"
            Order(scene.running.address, scene.devices.address, await enrol(scene.running)).write(order)
            await scene.round(_QUIET)  # warm
            for way in chosen:
                quiet = await scene.round(_QUIET)
                _forget_peak(scene.authority, scene.devices)
                lost_before, ended_before = scene.leases_lost(), scene.readers_ended
                attacked, told = await _attacked(processes, scene, way, order)
                peak = max(_peak_mib(scene.authority), _peak_mib(scene.devices))
                losses, ends = scene.leases_lost() - lost_before, scene.readers_ended - ended_before
                late += await scene.late(quiet) + await scene.late(attacked)
                worst.append(attacked.p99 / quiet.p99)
                beyond += attacked.p99 > 2 * quiet.p99 + _ALLOWANCE_MS or bool(attacked.failed)
                peaks.append(peak)
                enforced += attacked.enforced
                lost, ended = lost + losses, ended + ends
                halves.append(median(attacked.revoked) / quiet.p99)
                print(
                    f"{way:<18} revoke p99 {quiet.p99:.1f} -> {attacked.p99:.1f} ms, p50 {median(attacked.revoked):.1f} "
                    f"({len(attacked.revoked)} of them, failed {attacked.failed or 'none'}), "
                    f"ENFORCED within {max(attacked.enforced, default=0):.2f} s, peak {peak:.0f} MiB, leases lost {losses}, "
                    f"readers ended {ends}; {told['answers']} in {told['seconds']:.0f} s",
                    flush=True,
                )
    report.figure("worst_revoke_over_quiet", max(worst), "p99 under the worst attack over the quiet one before it")
    report.figure("worst_median_over_quiet", max(halves), "median under the worst attack over the quiet p99")
    report.figure(
        "beyond_allowance", beyond, f"attacks with a p99 over twice the quiet one and {_ALLOWANCE_MS:g} ms", at_most=0
    )
    report.figure("longest_enforced_s", max(enforced), "s from commit to ENFORCED", at_most=BOUND_SECONDS)
    report.figure("leases_lost", lost, "by the honest device-data service", at_most=0)
    report.figure("readers_ended", ended, "honest streams", at_most=0)
    report.figure("peak_rss_mib", max(peaks), "of either service", at_most=512)
    report.figure("late_messages", late, "writes begun after ENFORCED", at_most=0)


def _forget_peak(*processes: Process) -> None:
    for each in processes:
        Path(f"/proc/{each.process.pid}/clear_refs").write_text("5", encoding="ascii")


def _peak_mib(process: Process) -> float:
    status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    run("hostile", _measure)
