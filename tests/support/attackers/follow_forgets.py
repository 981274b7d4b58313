"""Forgets, hundreds of times at once, thousands of names: each has to be looked at, and what is owed of them taken apart."""

import asyncio
from collections import Counter
from typing import Any

from consentry.authority.v1.enforcement_pb2 import FollowRequest
from consentry_core.protocol.follow import NAMES_AT_ONCE
from support.attackers import Order
from support.hostile_service import follow, hello, made_up, proof_of

FORGETS = 400
_OF_A_STREAM = 10


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """On as many streams as it takes, each with snapshots owed."""
    partner, proof = await proof_of(order)
    names = list(made_up(partner, NAMES_AT_ONCE))
    interest = FollowRequest(interest=FollowRequest.Interest(number=1, names=names))
    forget = FollowRequest(forget=FollowRequest.Forget(names=names))

    async def say(call: Any) -> None:
        await call.write(hello())
        await call.write(proof)
        while not over.is_set():
            await call.write(interest)
            for _ in range(_OF_A_STREAM):
                await call.write(forget)

    return await follow(order, over, round(FORGETS / _OF_A_STREAM * order.times), say)
