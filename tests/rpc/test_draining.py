"""A service that goes down: every call under way is told so, wherever it is just then, and nobody is left without a word."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from bench.stage import authority, stage
from consentry.authority.v1 import coverage_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import ConnectionLimits, RpcServer
from consentry_core.values import errors

ROUNDS, UNARY, STREAMS, STRANGERS, QUEUED = 2, 300, 100, 200, 300


class _Knows:
    """Lets in who says `known`."""

    def admit(self, call: OpenCall) -> None:
        if ("who", "known") not in call.metadata:
            raise errors.Unauthenticated("the credential is not valid")

    def refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        """Nothing to let go."""


async def _wait(request: bytes, _context: object) -> bytes:
    await asyncio.Event().wait()
    return request


async def _watch(request: bytes, _context: object) -> AsyncIterator[bytes]:
    yield request
    await asyncio.Event().wait()


def _add(server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {
        "Wait": grpc.unary_unary_rpc_method_handler(_wait),
        "Watch": grpc.unary_stream_rpc_method_handler(_watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Under", handlers),))


async def _outcome(call: Any) -> str:
    try:
        if hasattr(call, "read"):
            while await call.read() is not grpc.aio.EOF:
                pass
        await call
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error_info(error).reason}{'' if retry_after(error) is None else ', come back'}"
    return "OK"


@pytest.mark.alone
async def test_calls_under_way_are_told_that_the_service_goes_down() -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        server = RpcServer(_Knows(), (), _add, limits=ConnectionLimits(quiet=0.5))
        address = await server.start("127.0.0.1:0")
        async with open_channel(address) as channel:
            wait: Any = channel.unary_unary("/test.Under/Wait")
            watch: Any = channel.unary_stream("/test.Under/Watch")
            known: Any = {"metadata": (("who", "known"),)}
            calls = [wait(b"x", **known) for _ in range(UNARY)] + [watch(b"x", **known) for _ in range(STREAMS)]
            ends = [asyncio.ensure_future(_outcome(call)) for call in calls]
            async with asyncio.timeout(20):
                while len(server.open_calls()) < len(calls):  # noqa: ASYNC110 - it has them once it says so
                    await asyncio.sleep(0.01)
            strangers = [asyncio.ensure_future(_outcome(wait(b"x"))) for _ in range(STRANGERS)]
            await asyncio.sleep(0.1)  # some wait to be turned away by then
            ends += [asyncio.ensure_future(_outcome(wait(b"x", **known))) for _ in range(QUEUED)]
            await asyncio.sleep(0)
            await server.stop()
            outcomes.update(await asyncio.gather(*ends))
            assert set(await asyncio.gather(*strangers)) <= {
                "UNAUTHENTICATED CREDENTIAL_INVALID",
                "UNAVAILABLE DRAINING, come back",
            }
    assert outcomes == {"UNAVAILABLE DRAINING, come back": ROUNDS * (UNARY + STREAMS + QUEUED)}


@pytest.mark.slow
@pytest.mark.alone
async def test_a_service_that_is_told_to_go_down_says_so_to_all_who_call() -> None:
    """A process, and callers who call without a pause until they are refused."""
    with stage() as processes:
        async with authority(processes) as running:
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            secret = (await running.key("acme")).secret
            calls: list[Any] = [lambda: running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))] * 300
            watching = coverage_pb2.WatchCoverageRequest()
            calls += [lambda: running.coverage.WatchCoverage(watching, metadata=bearer(secret))] * 100
            answered = asyncio.Event()

            async def until_refused(call: Any) -> str:
                while (outcome := await _outcome(call())) == "OK":
                    answered.set()
                return outcome

            ends = [asyncio.create_task(until_refused(call)) for call in calls]
            await answered.wait()
            processes.started("authority").process.send_signal(signal.SIGTERM)
            outcomes = Counter(await asyncio.gather(*ends))

    assert outcomes == {"UNAVAILABLE DRAINING, come back": len(calls)}
