"""The channel to a service that is far away, or busy at the moment when it is connected to."""

import asyncio
import contextlib
from typing import Any

import grpc

from consentry_core.rpc.client.channels import open_channel

DISTANCE = 0.4
"""Seconds until the other side is heard for the first time: some round trips around the world, or a loop that is busy."""


async def test_a_first_call_waits_for_a_connection_that_takes_its_time() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def far_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(DISTANCE)
        near, out = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as both:
            both.create_task(carry(reader, out))
            both.create_task(carry(near, writer))

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()

    proxy = await asyncio.start_server(far_away, "127.0.0.1", 0)
    address = proxy.sockets[0].getsockname()
    async with open_channel(f"127.0.0.1:{address[1]}") as channel:
        method: Any = channel.unary_unary("/no.Service/Method")
        assert await method(b"", timeout=10).code() is grpc.StatusCode.UNIMPLEMENTED, "it was heard, and answered"
    proxy.close()
    await server.stop(0)
