"""What the guard costs: one decision, and a call that is guarded against the same call bare.

The decision is `OpenCall.check`, all of it: what stands between a message and the transport. The calls are made by 32
concurrent callers; server, callers and authority are processes of their own. Beside throughput stands the server's own
processor time per call, because callers that keep another core busy could hide what the server spends.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from bench.guarded_server import METHOD
from bench.harness import Report, in_pairs, percentile, ratios, run
from bench.stage import Process, authority, stage
from consentry.devices.v1 import telemetry_pb2
from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import LEASE_SECONDS, Credential, Facts, Lease, Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values import names
from consentry_core.values.clock import SECOND, SystemClock
from consentry_guard import Handed
from consentry_guard.calls.call import Call
from consentry_guard.follow.follower import Follower
from consentry_guard.reports.tally import Tally
from consentry_rule import Consent, CustomerId, DataClass, Instant, KeyKind, PartnerId, Secret, Subscription

_CALLERS = 32
_ROUND_SECONDS = 1.0
_ROUNDS = 15
_DECISIONS = 100_000


async def _decision(report: Report) -> None:
    call = await warm_call()
    clock = time.perf_counter_ns

    def nothing() -> None:
        pass

    def timed(what: Callable[[], None]) -> list[int]:
        taken = []
        for _ in range(_DECISIONS):
            began = clock()
            what()
            taken.append(clock() - began)
        return taken

    gc.collect()
    timed(call.check)
    checks, nothings = timed(call.check), timed(nothing)
    median, overhead = percentile(checks, 0.5), percentile(nothings, 0.5)
    p99 = f"p99 {percentile(checks, 0.99) / 1000:.2f}"
    report.figure("guard_decision_us", median / 1000, "us, p50, check of one write with one access", spread=p99, at_most=5)
    counted = timed(_counting(call))
    report.figure(
        "counted_decision_us", percentile(counted, 0.5) / 1000, "us, p50, the same of a message of 20 devices, counted"
    )
    report.figure("decision_over_call", median / overhead, "over calling a function that does nothing, timed alike")


def _counting(call: OpenCall) -> Callable[[], None]:
    """The decision with all that the customer's access log needs: what the message holds is said, and counted."""
    guarded = cast("Call", call.caller)
    held = {(CustomerId("north"), DataClass.TELEMETRY): Handed(500, frozenset(f"device-{number}" for number in range(20)))}
    call.message_bytes = 16_384

    def decide_and_count() -> None:
        guarded.hands_out(held)
        guarded.begin_write()

    return decide_and_count


async def warm_call() -> OpenCall:
    """A call whose credential, secret, lease and customer have ends, as they do in life; nothing else is left to look up."""
    clock = SystemClock()
    partner, customer = PartnerId("acme"), CustomerId("north")
    later = Instant(clock.now() + 3600 * SECOND)
    secret = Secret("s1", later)
    key = MarkedKey(KeyKind.SPECIFIC_CUSTOMERS, partner, customers=frozenset({customer}), expire_time=later, secrets=(secret,))
    standing = MarkedStanding(
        partner,
        customer,
        connected=True,
        subscription=Subscription(expire_time=later),
        consent=Consent(Instant(0), expire_time=later, data_classes=frozenset({DataClass.TELEMETRY})),
    )
    name, revision = names.KEY.format(partner, "k1"), Revision("epoch", 7)
    follower = Follower("incarnation-of-a-bench", "bench")
    follower.want([name, names.CONSENT.format(customer, partner)])
    now, wall = clock.boot(), clock.wall()
    follower.connected(now, wall)
    for message in (
        Facts(revision),
        Facts(revision, 1, credentials=(Credential(name, key),), standings=(standing,)),
        Lease(now, revision, 1000 * LEASE_SECONDS * SECOND, clock.now()),
    ):
        follower.received(message, now, wall)

    open_call = OpenCall("/bench", cast("Any", None))
    guarded = Call(open_call, Identity(name, secret.id), follower, cast("Any", None), clock, tally=Tally())
    open_call.caller, open_call.check_write = guarded, guarded.check
    guarded.require(customer, DataClass.TELEMETRY)
    return open_call


async def _throughput(report: Report) -> None:
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            secret = (await running.key("acme")).secret
            server = await processes.start(
                "server", "bench.guarded_server", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}",
            )  # fmt: skip
            bare, guarded = (_Load(server, address, secret) for address in server.address.split())
            await bare.round()
            await guarded.round()
            bare.reset()
            guarded.reset()
            pairs = await in_pairs(_ROUNDS, bare.round, guarded.round)
            await bare.close()
            await guarded.close()
    report.median("bare_calls_per_s", [pair[0] for pair in pairs], "calls a second, bare, 32 callers")
    report.median("guarded_calls_per_s", [pair[1] for pair in pairs], "the same, guarded")
    report.median("guarded_over_bare", ratios(pairs), "throughput, guarded over bare", at_least=0.95)
    report.median("bare_server_us", bare.cpu, "us of the server's processor time per call, bare")
    report.median("guarded_server_us", guarded.cpu, "the same, guarded")


class _Load:
    """Callers of one server."""

    def __init__(self, server: Process, address: str, secret: str) -> None:
        self._server = server
        self._channel = open_channel(address)
        self._call: Callable[..., Awaitable[Any]] = self._channel.unary_unary(
            METHOD,
            request_serializer=telemetry_pb2.QueryLatestRequest.SerializeToString,
            response_deserializer=telemetry_pb2.QueryLatestResponse.FromString,
        )
        self._metadata = bearer(secret)
        self.cpu: list[float] = []

    async def round(self) -> float:
        """Calls a second in one round."""
        done, cpu, began = 0, self._server.cpu_seconds(), time.perf_counter()
        end = began + _ROUND_SECONDS

        async def caller() -> None:
            nonlocal done
            request = telemetry_pb2.QueryLatestRequest(parent="customers/north")
            while time.perf_counter() < end:
                await self._call(request, metadata=self._metadata)
                done += 1

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        took = time.perf_counter() - began
        self.cpu.append((self._server.cpu_seconds() - cpu) / done * 1e6)
        return done / took

    def reset(self) -> None:
        """Forget the rounds that only warmed up."""
        self.cpu.clear()

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()


async def _measure(report: Report) -> None:
    await _decision(report)
    await _throughput(report)


if __name__ == "__main__":
    run("decision", _measure)
