"""A key asks for history in the smallest steps: 3,000 questions at once (300 were seen to do harm)."""

import asyncio
from collections import Counter

import grpc

from consentry.devices.v1 import telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, customers, read_all

_QUESTIONS = 3_000


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    metadata = bearer(order.secrets.get("all_key", order.secrets.get("demo_key", "")))
    parents = customers(order)

    async def one(channel: grpc.aio.Channel, number: int) -> str:
        request = telemetry_pb2.QueryHistoryRequest(parent=parents[number % len(parents)])
        request.start_time.FromSeconds(0)
        request.step.FromMilliseconds(1)
        return await read_all(telemetry_pb2_grpc.TelemetryServiceStub(channel).QueryHistory(request, metadata=metadata))

    return await ask(order, over, int(_QUESTIONS * order.times), one)
