"""Watches the coverage with one key: 10,000 watches at a time, opened anew when they end, a tenth of which are never read."""

import asyncio
from collections import Counter
from typing import Any

import grpc

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.attackers import Order

WATCHES = 1_000
TIMES = 10
PER_CONNECTION = 500
UNREAD = 10  # every so-manieth


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Until it is over."""
    answers: Counter[str] = Counter()
    watches = round(WATCHES * TIMES * order.times)
    async with asyncio.TaskGroup() as group:
        for start in range(0, watches, PER_CONNECTION):
            group.create_task(_connection(order, min(PER_CONNECTION, watches - start), answers, over))
    return answers


async def _connection(order: Order, watches: int, answers: Counter[str], over: asyncio.Event) -> None:
    async with open_channel(order.authority) as channel:
        stub = coverage_pb2_grpc.CoverageServiceStub(channel)
        watching = [_watch(stub, order.secrets["all_key"], number, answers, over) for number in range(watches)]
        tasks = [asyncio.create_task(each) for each in watching]
        await over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(stub: Any, secret: str, number: int, answers: Counter[str], over: asyncio.Event) -> None:
    while not over.is_set():
        call = stub.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(secret))
        try:
            if number % UNREAD == 0:
                await call.initial_metadata()
                await over.wait()
            while (response := await call.read()) is not grpc.aio.EOF:
                answers[response.WhichOneof("event")] += 1
        except grpc.aio.AioRpcError as error:
            answers[error.code().name] += 1
        finally:
            call.cancel()
