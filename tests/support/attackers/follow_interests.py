"""Asks on a hundred streams for the facts about more names than can be read: twenty large interests each, and more."""

import asyncio
from collections import Counter
from typing import Any

from consentry.authority.v1.enforcement_pb2 import FollowRequest
from consentry_core.protocol.follow import NAMES_AT_ONCE
from support.attackers import Order
from support.hostile_service import follow, hello, made_up, proof_of, renewal

STREAMS, INTERESTS = 100, 20


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Messages as large as are taken, and one in twenty of the size that did harm."""
    partner, proof = await proof_of(order)
    sizes = [NAMES_AT_ONCE] * (INTERESTS - 1) + [10 * NAMES_AT_ONCE]

    async def say(call: Any) -> None:
        await call.write(hello())
        await call.write(proof)
        await call.write(renewal())
        number = 0
        while not over.is_set():
            for size in sizes[: INTERESTS if number else INTERESTS - 1]:
                number += 1
                names = made_up(partner, size, number * NAMES_AT_ONCE)
                await call.write(FollowRequest(interest=FollowRequest.Interest(number=number, names=names)))

    return await follow(order, over, round(STREAMS * order.times), say)
