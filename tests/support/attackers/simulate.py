"""A demo key asks for made-up readings: 10,000 streams (a thousand were seen to do harm) of all sensors at the highest rate."""

import asyncio
from collections import Counter

import grpc

from consentry.devices.v1 import telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, read_all

_STREAMS = 10_000


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    request = telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=1_000_000, sensor_count=100_000)
    metadata = bearer(order.secrets["demo_key"])

    async def one(channel: grpc.aio.Channel, _: int) -> str:
        return await read_all(
            telemetry_pb2_grpc.TelemetryServiceStub(channel).SimulateTelemetry(request, metadata=metadata), 50
        )

    return await ask(order, over, int(_STREAMS * order.times), one)
