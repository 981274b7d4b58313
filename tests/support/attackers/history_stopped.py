"""A key asks for history and does not read it: 10,000 stopped readers (a thousand were seen to do harm), raw and in steps."""

import asyncio
from collections import Counter

import grpc

from consentry.devices.v1 import telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, customers, stop_reading

_READERS = 10_000


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    metadata = bearer(order.secrets.get("all_key", order.secrets.get("demo_key", "")))
    parents = customers(order)

    async def one(channel: grpc.aio.Channel, number: int) -> str:
        request = telemetry_pb2.QueryHistoryRequest(parent=parents[number % len(parents)])
        request.start_time.FromSeconds(0)
        if number % 2:
            request.step.FromMilliseconds(1)
        call = telemetry_pb2_grpc.TelemetryServiceStub(channel).QueryHistory(request, metadata=metadata)
        return await stop_reading(call, over)

    return await ask(order, over, int(_READERS * order.times), one)
