"""What the attackers of the device-data service share: many calls at once, each as often as it is answered."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc

from support.attackers import Order

_CALLS_PER_CONNECTION = 256
_OWN = [("grpc.use_local_subchannel_pool", 1)]  # else all of them are one connection
_PAUSE = 0.05  # before whoever was refused asks again

One = Callable[[grpc.aio.Channel, int], Awaitable[str]]
"""One call over a connection, with its number: what came of it."""


async def ask(order: Order, over: asyncio.Event, calls: int, one: One) -> Counter[str]:
    """So many callers, each asking again and again until it is over."""
    answers: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(order.devices, options=_OWN))
            for _ in range(-(-calls // _CALLS_PER_CONNECTION))
        ]

        async def asking(number: int) -> None:
            while not over.is_set():
                try:
                    answers[await one(channels[number % len(channels)], number)] += 1
                except grpc.aio.AioRpcError as error:
                    answers[error.code().name] += 1
                    await asyncio.sleep(_PAUSE)

        tasks = [asyncio.create_task(asking(number)) for number in range(calls)]
        await over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return answers


async def read_all(call: Any, most: int | None = None) -> str:
    """Read a stream to its end, or so many messages."""
    count = 0
    async for _ in call:
        count += 1
        if count == most:
            call.cancel()
            break
    return "READ"


async def stop_reading(call: Any, over: asyncio.Event) -> str:
    """Read a message, and then no more until it is over."""
    if await call.read() is grpc.aio.EOF:
        return "EMPTY"
    await over.wait()
    call.cancel()
    return "STOPPED"


def customers(order: Order) -> Sequence[str]:
    """Whom the attacker's keys may ask about."""
    return ["customers/hostile"] if "all_key" in order.secrets else ["customers/demo"]
