"""What verifying costs: a secret that was proved before, one that is forged, and one that comes for the first time.

The first two against the same messages with nothing behind them, made by 32 concurrent callers; the authority, that server and
the callers are processes of their own. A forged secret is a real one with another checksum. What a refusal costs by itself, the
same status from a server that does nothing else, stands beside it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import grpc

from bench.echo_server import METHOD, REFUSAL
from bench.harness import Report, in_pairs, percentile, ratios, run, spread
from bench.stage import Process, authority, stage
from consentry.authority.v1 import enforcement_pb2
from consentry_core.rpc.client.channels import bearer, open_channel

VERIFY = "/consentry.authority.v1.EnforcementService/VerifyCredential"
_CALLERS = 32
_ROUND_SECONDS = 1.0
_ROUNDS = 11
_COLD = 25


class _Load:
    """Callers who verify one secret, at the authority or where nobody looks at it."""

    def __init__(self, server: Process, method: str, secret: str, token: str) -> None:
        self._server = server
        self._channel = open_channel(server.address)
        self._call: Callable[..., Awaitable[Any]] = self._channel.unary_unary(
            method,
            request_serializer=enforcement_pb2.VerifyCredentialRequest.SerializeToString,
            response_deserializer=enforcement_pb2.VerifyCredentialResponse.FromString,
        )
        self._request = enforcement_pb2.VerifyCredentialRequest(secret=secret)
        self._metadata = bearer(token)
        self.cpu: list[float] = []
        self.refused = 0

    async def connected(self) -> None:
        """Wait until there is a connection."""
        await self._channel.channel_ready()

    async def once(self) -> float:
        """The seconds that one call takes."""
        began = time.perf_counter()
        try:
            await self._call(self._request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            self.refused += 1
        return time.perf_counter() - began

    async def round(self) -> float:
        """Calls a second in one round."""
        done, cpu, began = 0, self._server.cpu_seconds(), time.perf_counter()
        end = began + _ROUND_SECONDS

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await self.once()
                done += 1

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        took = time.perf_counter() - began
        self.cpu.append((self._server.cpu_seconds() - cpu) / done * 1e6)
        return done / took

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()


async def _measure(report: Report) -> None:
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            echo = await processes.start("echo", "bench.echo_server")
            served = processes.started("authority")
            served = Process(served.process, served.folder, served.name, running.address)
            proved = (await running.key("acme")).secret
            forged = proved[:-1] + ("0" if proved[-1] != "0" else "1")
            bare = _Load(echo, METHOD, proved, running.service)
            refusing = _Load(echo, REFUSAL, forged, running.service)
            warm = _Load(served, VERIFY, proved, running.service)
            refused = _Load(served, VERIFY, forged, running.service)
            loads = (bare, refusing, warm, refused)
            for load in loads:
                await load.round()
                load.cpu.clear()
            warm_pairs = await in_pairs(_ROUNDS, bare.round, warm.round)
            forged_pairs = await in_pairs(_ROUNDS, bare.round, refused.round)
            refusal_pairs = await in_pairs(_ROUNDS, bare.round, refusing.round)
            assert not warm.refused
            assert refused.refused
            cold = [await _cold(running, served) for _ in range(_COLD)]
            for load in loads:
                await load.close()
    report.median("bare_calls_per_s", [pair[0] for pair in warm_pairs], "calls a second, bare, 32 callers")
    report.median("warm_over_bare", ratios(warm_pairs), "throughput, proved before over bare", at_least=0.8)
    report.median("forged_over_bare", ratios(forged_pairs), "throughput, forged over bare", at_least=0.8)
    report.median(
        "refusal_over_bare", ratios(refusal_pairs), "throughput, refused by a server that does nothing else, over bare"
    )
    report.median("bare_server_us", bare.cpu, "us of the server's processor time per call, bare")
    report.median("warm_server_us", warm.cpu, "the same, proved before")
    report.median("forged_server_us", refused.cpu, "the same, forged")
    report.median("refusal_server_us", refusing.cpu, "the same, refused by a server that does only that")
    milliseconds = [seconds * 1000 for seconds in cold]
    report.figure(
        "cold_ms",
        median(milliseconds),
        "ms, p50, a secret that comes for the first time",
        spread=spread(milliseconds),
        at_most=60,
    )
    report.figure("cold_p99_ms", percentile(milliseconds, 0.99), "the slowest of them")


async def _cold(running: Any, served: Process) -> float:
    """The seconds that a new key's first verification takes."""
    load = _Load(served, VERIFY, (await running.key("acme")).secret, running.service)
    await load.connected()
    took = await load.once()
    assert not load.refused
    await load.close()
    return took


if __name__ == "__main__":
    run("verify", _measure)
