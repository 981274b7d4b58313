"""Changes what is its own in a loop, 20 calls of each kind at a time, where one was enough to fill a disk.

Labels and secrets of keys, as a partner's administrator; grants and withdrawals of its consent, as a customer's.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import consent_pb2, consent_pb2_grpc, keys_pb2, keys_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.attackers import Order

AT_A_TIME = 2
TIMES = 10
PARTNER, CUSTOMER = "partners/hostile", "customers/hostile"
_NOT_WAITED_FOR = Duration()


async def attack(order: Order, over: asyncio.Event) -> Counter[str]:
    """Until it is over."""
    answers: Counter[str] = Counter()
    by_partner, by_customer = bearer(order.secrets["partner_admin"]), bearer(order.secrets["customer_admin"])
    numbers = itertools.count()
    async with open_channel(order.authority) as channel:
        keys: Any = keys_pb2_grpc.KeyServiceStub(channel)
        consents: Any = consent_pb2_grpc.ConsentServiceStub(channel)
        new = keys_pb2.CreateKeyRequest(parent=PARTNER, key=keys_pb2.Key(kind=keys_pb2.Key.KIND_ALL_CUSTOMERS))
        key = (await keys.CreateKey(new, metadata=by_partner)).key.name

        async def relabel() -> None:
            changed = keys_pb2.Key(name=key, labels={"round": str(next(numbers))})
            request = keys_pb2.UpdateKeyRequest(key=changed, update_mask=FieldMask(paths=["labels"]))
            request.enforcement_timeout.CopyFrom(_NOT_WAITED_FOR)
            await keys.UpdateKey(request, metadata=by_partner, timeout=30)

        async def rotate() -> None:
            request = keys_pb2.RotateKeyRequest(name=key, enforcement_timeout=_NOT_WAITED_FOR)
            await keys.RotateKey(request, metadata=by_partner, timeout=30)

        async def toggle() -> None:
            revoke = consent_pb2.RevokeConsentRequest(customer=CUSTOMER, partner=PARTNER, enforcement_timeout=_NOT_WAITED_FOR)
            await consents.RevokeConsent(revoke, metadata=by_customer, timeout=30)
            grant = consent_pb2.GrantConsentRequest(customer=CUSTOMER, partner=PARTNER)
            await consents.GrantConsent(grant, metadata=by_customer, timeout=30)

        async with asyncio.TaskGroup() as group:
            for what in (relabel, rotate, toggle):
                for _ in range(round(AT_A_TIME * TIMES * order.times)):
                    group.create_task(_again_and_again(what, answers, over))
    return answers


async def _again_and_again(what: Callable[[], Awaitable[None]], answers: Counter[str], over: asyncio.Event) -> None:
    while not over.is_set():
        try:
            await what()
            answers[f"{what.__name__} OK"] += 1
        except grpc.aio.AioRpcError as error:
            answers[f"{what.__name__} {error.code().name}"] += 1
