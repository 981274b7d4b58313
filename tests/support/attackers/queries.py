"""A key asks for the largest pages of inventory, alarms and newest readings: 2,560 calls at once (256 were seen to do harm)."""

import asyncio
from collections import Counter
from typing import Any

import grpc

from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2,
    telemetry_pb2_grpc,
)
from consentry_core.rpc.client.channels import bearer
from support.attackers import Order
from support.attackers._asking import ask, customers

_CALLS = 2_560


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """See `support.attackers`."""
    metadata = bearer(order.secrets.get("all_key", order.secrets.get("demo_key", "")))
    parents = customers(order)

    async def one(channel: grpc.aio.Channel, number: int) -> str:
        call: Any
        page: Any = {"parent": parents[number // 5 % len(parents)], "page_size": 1_000}
        inventory = inventory_pb2_grpc.InventoryServiceStub(channel)
        match number % 5:
            case 0:
                call = inventory.ListDevices(inventory_pb2.ListDevicesRequest(**page), metadata=metadata)
            case 1:
                call = inventory.ListSensors(inventory_pb2.ListSensorsRequest(**page), metadata=metadata)
            case 2:
                stub = alarms_pb2_grpc.AlarmServiceStub(channel)
                call = stub.ListAlarms(alarms_pb2.ListAlarmsRequest(**page), metadata=metadata)
            case 3:
                call = inventory.ListLocations(inventory_pb2.ListLocationsRequest(**page), metadata=metadata)
            case _:
                latest = telemetry_pb2_grpc.TelemetryServiceStub(channel)
                call = latest.QueryLatest(telemetry_pb2.QueryLatestRequest(**page), metadata=metadata)
        await call
        return "OK"

    return await ask(order, over, int(_CALLS * order.times), one)
