"""A gateway's token publishes under 200 ids at once (20 were seen to have 20 quotas), each with inventory without end."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import grpc

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc, inventory_pb2
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, read_all

_IDS = 200
_DEVICES = 1_000  # told in a frame, with the longest names
_DEVICE = "customers/hostile/devices"


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    metadata = bearer(order.secrets["gateway"])

    async def frames(number: int) -> AsyncIterator[gateway_pb2.PublishRequest]:
        hello = gateway_pb2.PublishRequest.Hello(gateway=f"gw-{number}", epoch=secrets.token_hex(16))
        yield gateway_pb2.PublishRequest(hello=hello)
        frame = 0
        while not over.is_set():
            frame += 1
            names = [f"{_DEVICE}/{secrets.token_hex(8)}" for _ in range(_DEVICES)]
            told = inventory_pb2.InventoryChange(
                devices=[inventory_pb2.Device(name=name, display_name="x" * 200, model_name="y" * 200) for name in names]
            )
            yield gateway_pb2.PublishRequest(frame=gateway_pb2.PublishRequest.Frame(number=frame, inventory=told))

    async def one(channel: grpc.aio.Channel, number: int) -> str:
        return await read_all(gateway_pb2_grpc.GatewayServiceStub(channel).Publish(frames(number), metadata=metadata))

    return await ask(order, over, int(_IDS * order.times), one)
