"""What attackers with a service's token have in common: streams that they say to whatever they like, and count how they end."""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc

from consentry.authority.v1 import enforcement_pb2, enforcement_pb2_grpc
from consentry.authority.v1.enforcement_pb2 import FollowRequest
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from support.attackers import Order

CALLS_OF_A_CHANNEL = 500
_PAUSE = 0.05  # before what was refused is tried again: an attacker that only burns its own processor harms nobody

Say = Callable[[Any], Awaitable[None]]


def hello(incarnation: str = "") -> FollowRequest:
    """The first message of a stream, of a new incarnation."""
    return FollowRequest(
        hello=FollowRequest.Hello(incarnation=incarnation or f"hostile-{secrets.token_hex(12)}", service="hostile")
    )


def renewal() -> FollowRequest:
    """A wish for a lease."""
    return FollowRequest(renewal=FollowRequest.Renewal(stamp_nano=time.monotonic_ns()))


@contextlib.asynccontextmanager
async def stubs(order: Order, calls: int) -> AsyncIterator[list[Any]]:
    """Enough connections for so many calls."""
    async with contextlib.AsyncExitStack() as opened:
        channels = []
        for _ in range(-(-calls // CALLS_OF_A_CHANNEL)):
            options = (("grpc.use_local_subchannel_pool", 1),)
            channels.append(await opened.enter_async_context(grpc.aio.insecure_channel(order.authority, options=options)))
        yield [enforcement_pb2_grpc.EnforcementServiceStub(channel) for channel in channels]


async def follow(order: Order, over: asyncio.Event, streams: int, say: Say, *, which: str = "service") -> Counter[str]:
    """Keep so many streams open, say on each what `say` says until it is over, and read what comes."""
    answers: Counter[str] = Counter()

    async def keep(stub: Any) -> None:
        while not over.is_set():
            call = stub.Follow(metadata=bearer(order.secrets[which]))
            saying = asyncio.create_task(_quietly(say(call)))
            try:
                async for response in call:
                    answers[response.WhichOneof("message") or "none"] += 1
                answers["OK"] += 1
            except grpc.aio.AioRpcError as error:
                answers[f"{error.code().name} {error_info(error).reason}".strip()] += 1
            finally:
                saying.cancel()
                call.cancel()
            await asyncio.sleep(_PAUSE)

    async with stubs(order, streams) as connections:
        tasks = [asyncio.create_task(keep(stub)) for stub, _ in zip(itertools.cycle(connections), range(streams), strict=False)]
        await over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return answers


async def proof_of(order: Order, key: str = "all_key", *, which: str = "service") -> tuple[str, FollowRequest]:
    """A partner of whose customers this service may learn, and how it shows that."""
    async with stubs(order, 1) as (stub,):
        request = enforcement_pb2.VerifyCredentialRequest(secret=order.secrets[key])
        verified = await stub.VerifyCredential(request, metadata=bearer(order.secrets[which]))
    proof = FollowRequest.Proofs.Proof(credential=verified.credential, proof=verified.proof)
    return verified.credential.split("/")[1], FollowRequest(proofs=FollowRequest.Proofs(proofs=[proof]))


def made_up(partner: str, count: int, begin: int = 0) -> Iterable[str]:
    """Standings of customers that nobody has heard of."""
    return (f"customers/made-up-{number}/consents/{partner}" for number in range(begin, begin + count))


async def _quietly(saying: Awaitable[None]) -> None:
    with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
        await saying
