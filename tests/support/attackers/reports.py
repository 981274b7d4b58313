"""Reports accesses that were none, as fast as a token can: rows without end, times that nobody reported, hours to come."""

import asyncio
import itertools
import random
import secrets
import time
from collections import Counter
from typing import Any

import grpc

from consentry.authority.v1 import data_class_pb2
from consentry.authority.v1.enforcement_pb2 import AccessCount, ReportAccessesRequest
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.attackers import Order
from support.hostile_service import stubs

SENDERS = 16
_COUNTS = 500
_YEAR_2262 = Instant(9_214_646_400 * SECOND)


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Some reports of new incarnations, some that leave gaps, some full of rows that nobody has seen, some of hours to come."""
    answers: Counter[str] = Counter()

    async def send(stub: Any, incarnation: str) -> None:
        for number in itertools.count(1):
            if over.is_set():
                return
            request = _report(incarnation, number)
            try:
                await stub.ReportAccesses(request, metadata=bearer(order.secrets["service"]), timeout=5)
                answers["OK"] += 1
            except grpc.aio.AioRpcError as error:
                answers[f"{error.code().name} {error_info(error).reason}".strip()] += 1
                await asyncio.sleep(0.02)

    async with stubs(order, 1) as (stub,):
        senders = [send(stub, f"hostile-{secrets.token_hex(12)}") for _ in range(round(SENDERS * order.times))]
        await asyncio.gather(*senders)
    return answers


def _report(incarnation: str, number: int) -> ReportAccessesRequest:
    now = Instant(time.time_ns())
    if number % 4 == 0:
        incarnation = f"hostile-{secrets.token_hex(12)}"
    counts = _COUNTS if number % 4 == 1 else 1
    hour = _YEAR_2262 if number % 4 == 2 else now
    return ReportAccessesRequest(
        incarnation=incarnation,
        service="hostile",
        number=number,
        start_time=to_timestamp(Instant(now - 1)),  # after the end of the one before: a time that nobody reported
        end_time=to_timestamp(now),
        counts=[
            AccessCount(
                key=f"partners/hostile/keys/k{random.getrandbits(60)}",
                customer="customers/demo",
                data_class=data_class_pb2.DATA_CLASS_TELEMETRY,
                hour=to_timestamp(hour),
                messages=1,
                readings=10**9,
            )
            for _ in range(counts)
        ],
    )
