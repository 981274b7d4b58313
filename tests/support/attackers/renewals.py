"""Renews leases on hundreds of streams as fast as one service's token can: urgent work, and nothing else is done."""

import asyncio
from collections import Counter
from typing import Any

from support.attackers import Order
from support.hostile_service import follow, hello, renewal

STREAMS = 800


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """As many streams as harmed, with a token that is limited to one partner if there is one."""

    async def say(call: Any) -> None:
        await call.write(hello())
        while not over.is_set():
            await call.write(renewal())

    which = "limited_service" if "limited_service" in order.secrets else "service"
    return await follow(order, over, round(STREAMS * order.times), say, which=which)
