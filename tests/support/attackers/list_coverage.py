"""Asks for the coverage list with one key: 2,560 calls at a time, each for the largest page, as fast as they are answered."""

import asyncio
from collections import Counter
from typing import Any

import grpc

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.attackers import Order

CALLS = 256
TIMES = 10
PER_CONNECTION = 500


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Until it is over."""
    answers: Counter[str] = Counter()
    calls = round(CALLS * TIMES * order.times)
    async with asyncio.TaskGroup() as group:
        for start in range(0, calls, PER_CONNECTION):
            group.create_task(_connection(order, min(PER_CONNECTION, calls - start), answers, over))
    return answers


async def _connection(order: Order, calls: int, answers: Counter[str], over: asyncio.Event) -> None:
    async with open_channel(order.authority) as channel:
        stub = coverage_pb2_grpc.CoverageServiceStub(channel)
        await asyncio.gather(*(_ask(stub, order.secrets["all_key"], answers, over) for _ in range(calls)))


async def _ask(stub: Any, secret: str, answers: Counter[str], over: asyncio.Event) -> None:
    request = coverage_pb2.ListCoveredCustomersRequest(page_size=10_000)
    while not over.is_set():
        try:
            page = await stub.ListCoveredCustomers(request, metadata=bearer(secret), timeout=30)
            answers["OK"] += 1
            answers["customers"] += len(page.customers)
        except grpc.aio.AioRpcError as error:
            answers[error.code().name] += 1
