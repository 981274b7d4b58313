"""Members that take one lease each and are never heard of again: every revocation waits for them, its receipt names them."""

import asyncio
from collections import Counter
from typing import Any

from support.attackers import Order
from support.hostile_service import follow, hello, renewal

MEMBERS = 3_000
_AT_ONCE = 300


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Half of them hang up when they have their lease, and others come in their place; half stay, and say nothing."""
    coming = asyncio.Semaphore(_AT_ONCE)
    stays = iter(range(10**9))

    async def say(call: Any) -> None:
        async with coming:
            await call.write(hello())
            await call.write(renewal())
        if next(stays) % 2:
            await asyncio.sleep(0.2)
            call.cancel()
        else:
            await over.wait()

    return await follow(order, over, round(MEMBERS * order.times), say)
