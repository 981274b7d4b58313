"""A key watches everything that it covers, 10,000 times (a thousand were seen to do harm), half of it without reading."""

import asyncio
from collections import Counter

import grpc

from consentry.devices.v1 import feed_pb2, feed_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, read_all, stop_reading

_READERS = 10_000


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    metadata = bearer(order.secrets["all_key"])

    async def one(channel: grpc.aio.Channel, number: int) -> str:
        call = feed_pb2_grpc.FeedServiceStub(channel).Watch(feed_pb2.WatchRequest(), metadata=metadata)
        return await (stop_reading(call, over) if number % 2 else read_all(call, 500))

    return await ask(order, over, int(_READERS * order.times), one)
