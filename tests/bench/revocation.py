"""How long a revocation takes to be enforced, and what comes after it.

Authority, device-data service and readers are processes of their own. A round: a gateway publishes a reading of the customer,
and while it is being handed to all open streams the customer revokes; the answer says ENFORCED. Then it grants again, and the
next round begins once every stream has been told of both. The grant is the baseline: the same commit with nobody to wait for.

* `barrier_1000_over_10` and `barrier_4000_over_10`: the p99 with so many streams over the p99 with ten; they take turns, each
  turn is compared with its own ten, and the median counts.
* `late_messages` counts writes of the customer's data that were begun after the receipt's `enforce_time` and before the next
  grant was asked for, on this host's one clock. The device-data service keeps the record (`bench.devices_process`).
* `cut_p99_ms`: streams over that one customer end with the revocation; until each client has its status. The baseline is a bare
  grpc.aio server that ends as many streams at once.
* With the device-data service stopped by SIGSTOP nobody acknowledges, and the lease has to run out.
"""

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.harness import Report, percentile, run, spread
from bench.stage import Process, Stage, authority, stage
from consentry.authority.v1 import enforcement_pb2, tokens_pb2
from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_core.protocol.follow import BOUND_SECONDS
from consentry_core.rpc.client.channels import bearer, open_channel
from support.authority import RunningAuthority
from support.pair import Gateway

_FEW, _MANY, _MOST = 10, 1_000, 4_000
_TURNS = 4
_ROUNDS = {_FEW: 50, _MANY: 40, _MOST: 25}
"""Of each turn."""
_CUTS = 5
_PAUSES = 2
_KEYS = 10


@dataclass
class _Rounds:
    """What rounds of revoking and granting took: milliseconds from call to answer, and the writes that came too late."""

    revoked: list[float] = field(default_factory=list)
    granted: list[float] = field(default_factory=list)
    late: int = 0

    @property
    def p99(self) -> float:
        return percentile(self.revoked, 0.99)

    def add(self, others: "_Rounds") -> None:
        """Count those in."""
        self.revoked += others.revoked
        self.granted += others.granted
        self.late += others.late


@dataclass(frozen=True, slots=True)
class _Scene:
    running: RunningAuthority
    devices: Process
    readers: Process
    bare: Process
    gateway: Gateway
    secrets: list[str]

    async def open(self, server: Process, streams: int, **how: Any) -> None:
        """Open streams and wait until all of them are synced."""
        question = {"address": server.address, "streams": streams, "secrets": self.secrets} | how
        opened = await self.readers.ask(open=question)
        assert not opened["failed"], opened

    async def revoke(self) -> enforcement_pb2.Enforcement:
        enforcement = (await self.running.revoke("north", "acme")).enforcement
        assert enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED, enforcement
        return enforcement


@contextlib.asynccontextmanager
async def _scene(processes: Stage) -> Any:
    async with authority(processes) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        await running.valid_customer("south", "acme")
        secrets = [(await running.key("acme")).secret for _ in range(_KEYS)]
        readers = await processes.start("readers", "bench.readers_process", serves=False)
        bare = await processes.start("bare", "bench.bare_streams")
        devices = await processes.start(
            "devices", "bench.devices_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
            f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
            BENCH_CUSTOMER="north",
        )  # fmt: skip
        issued = await running.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")
        async with open_channel(devices.address) as channel:
            call: Any = gateway_pb2_grpc.GatewayServiceStub(channel).Publish(metadata=bearer(issued.secret))
            hello = gateway_pb2.PublishRequest.Hello(gateway="gw", epoch="gw-epoch-0123456789")
            await call.write(gateway_pb2.PublishRequest(hello=hello))
            await call.read()
            gateway = Gateway("north", call)
            await gateway.publish(load=[1.0])
            yield _Scene(running, devices, readers, bare, gateway, secrets)
            call.cancel()


async def _rounds(scene: _Scene, streams: int) -> _Rounds:
    taken = _Rounds()
    chance = random.Random(streams)  # noqa: S311 - no secret
    spans = []
    await scene.open(scene.devices, streams, customers=[], live=True)
    for number in range(1, _ROUNDS[streams] + 1):
        told = await scene.readers.ask(count="telemetry")
        publishing = asyncio.create_task(scene.gateway.publish(load=[float(number)]))
        # Somewhere in the middle: once so many streams have it.
        await scene.readers.ask(told={"telemetry": told + chance.randint(1, streams)})
        began = time.perf_counter()
        enforcement = await scene.revoke()
        taken.revoked.append((time.perf_counter() - began) * 1e3)
        await publishing
        await scene.gateway.publish(load=[-1.0])  # nobody may be handed this one
        await scene.readers.ask(told={"customer_removed": streams * number})
        granting, began = time.time_ns(), time.perf_counter()
        await scene.running.consent("north", "acme")
        taken.granted.append((time.perf_counter() - began) * 1e3)
        spans.append((enforcement.enforce_time.ToNanoseconds(), granting))
        await scene.readers.ask(told={"gap": streams * number})
    for span in spans:
        late, written = await scene.devices.ask(writes=span)
        taken.late += late
    assert written > streams * _ROUNDS[streams] / 4, f"only {written} writes to look at"
    return taken


async def _cut(scene: _Scene) -> list[float]:
    """Milliseconds from the call until each client of a stream over that one customer had its status."""
    await scene.open(scene.devices, _MANY, customers=["north"], live=True)
    began = time.time_ns()
    await scene.revoke()
    ended = await scene.readers.ask(ended=True)
    assert ended["statuses"] == {"PERMISSION_DENIED CONSENT_REVOKED": _MANY}, ended["statuses"]
    await scene.running.consent("north", "acme")
    return [(at - began) / 1e6 for at in ended["times"]]


async def _cut_bare(scene: _Scene) -> list[float]:
    await scene.open(scene.bare, _MANY, customers=["north"], live=True)
    began = await scene.bare.ask(cut=True)
    ended = await scene.readers.ask(ended=True)
    return [(at - began) / 1e6 for at in ended["times"]]


async def _paused(scene: _Scene) -> float:
    """Seconds from commit to ENFORCED with the only enforcement point stopped."""
    await scene.open(scene.devices, _FEW, customers=[], live=True)
    scene.devices.signal(signal.SIGSTOP)
    enforcement = await scene.revoke()
    scene.devices.signal(signal.SIGCONT)
    await scene.readers.ask(ended=True)  # the lease has run out
    await scene.running.consent("north", "acme")
    return (enforcement.enforce_time.ToNanoseconds() - enforcement.commit_time.ToNanoseconds()) / 1e9


def _all_of(turns: Iterable[Mapping[int, _Rounds]], streams: int) -> _Rounds:
    found = _Rounds()
    for turn in turns:
        found.add(turn[streams])
    return found


async def _measure(report: Report) -> None:
    with stage() as processes:
        async with _scene(processes) as scene:
            turns = [{streams: await _rounds(scene, streams) for streams in (_FEW, _MANY, _MOST)} for _ in range(_TURNS)]
            cuts, bare_cuts = [], []
            for _ in range(_CUTS):
                bare_cuts.append(await _cut_bare(scene))
                cuts.append(await _cut(scene))
            paused = [await _paused(scene) for _ in range(_PAUSES if "--quick" not in sys.argv else 1)]
    few, many, most = (_all_of(turns, streams) for streams in (_FEW, _MANY, _MOST))
    ours, theirs = [percentile(cut, 0.99) for cut in cuts], [percentile(cut, 0.99) for cut in bare_cuts]
    report.median("barrier_p50_ms", many.revoked, f"ms from call to ENFORCED, {_MANY:,} streams being written to")
    report.figure("barrier_p99_ms", many.p99, f"of {len(many.revoked)} rounds", at_most=100)
    report.figure("barrier_max_ms", max(many.revoked), "the longest")
    report.median("grant_p50_ms", many.granted, "ms of the grant that follows: a commit that waits for nobody")
    pairs = [revoked / granted for revoked, granted in zip(many.revoked, many.granted, strict=True)]
    report.median("barrier_over_grant", pairs, "revocation over the grant of its round")
    report.median("barrier_p50_ms_10", few.revoked, f"the same with {_FEW} streams")
    report.figure("barrier_p99_ms_10", few.p99, f"of {len(few.revoked)} rounds", at_most=15)
    pairs = [revoked / granted for revoked, granted in zip(few.revoked, few.granted, strict=True)]
    report.median("barrier_over_grant_10", pairs, "revocation over the grant of its round")
    report.median("barrier_p50_ms_4000", most.revoked, f"the same with {_MOST:,} streams")
    report.figure("barrier_p99_ms_4000", most.p99, f"of {len(most.revoked)} rounds")
    for streams, limit in ((_MANY, 2), (_MOST, 4)):
        over = [turn[streams].p99 / turn[_FEW].p99 for turn in turns]
        report.median(f"barrier_{streams}_over_10", over, f"p99 with {streams:,} streams over p99 with 10", at_most=limit)
    report.figure("late_messages", most.late + many.late + few.late, "writes begun after ENFORCED", at_most=0)
    report.figure("cut_p99_ms", percentile([at for cut in cuts for at in cut], 0.99), "ms until the client has its status",
                  spread=spread(ours, 0))  # fmt: skip
    report.median("cut_p99_ms_bare", theirs, f"the same of a bare grpc.aio server with {_MANY:,} streams")
    report.median("cut_over_bare", [our / their for our, their in zip(ours, theirs, strict=True)], "p99 over the bare p99")
    report.figure(
        "paused_s", max(paused), "s from commit to ENFORCED with the enforcement point stopped", at_most=BOUND_SECONDS
    )


if __name__ == "__main__":
    run("revocation", _measure)
