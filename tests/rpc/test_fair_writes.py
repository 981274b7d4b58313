"""One organisation that changes things as fast as it can, and all the others."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from consentry.authority.v1 import consent_pb2
from consentry.authority.v1.enforcement_pb2 import FollowRequest
from consentry_core.rpc.client import bearer
from support.authority import RunningAuthority, running_authority
from support.pair import PATIENCE

MANY = 50


async def test_a_flood_of_one_customers_changes_holds_up_neither_others_nor_leases(tmp_path: Path) -> None:
    """Leases are written too: behind thousands of changes they would all have ended."""
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        for customer in ("north", "south"):
            await authority.valid_customer(customer, "acme")
            await authority.admin(f"customers/{customer}")
        guard: Any = authority.enforcement.Follow(metadata=bearer(authority.service))
        await guard.write(FollowRequest(hello=FollowRequest.Hello(incarnation="incarnation-0123456789", service="test")))
        go_on, order = threading.Event(), list[str]()
        held = asyncio.create_task(authority.store.write_aside(lambda _: go_on.wait(PATIENCE)))
        flood = [asyncio.create_task(grant(authority, "north", number, order)) for number in range(MANY)]
        await waiting(authority, MANY)
        renewal = asyncio.create_task(renewed(guard, order))
        await waiting(authority, MANY + 1)
        other = asyncio.create_task(grant(authority, "south", 0, order))
        await waiting(authority, MANY + 2)
        go_on.set()
        await asyncio.wait_for(asyncio.gather(held, renewal, other, *flood), PATIENCE)
        guard.cancel()
    assert order.index("south") < MANY // 2
    assert order.index("lease") < MANY // 2


async def grant(authority: RunningAuthority, customer: str, number: int, order: list[str]) -> None:
    request = consent_pb2.GrantConsentRequest(customer=f"customers/{customer}", partner="partners/acme", purpose=f"{number}")
    await authority.consents.GrantConsent(request, metadata=bearer(await authority.admin(f"customers/{customer}")))
    order.append(customer)


async def renewed(guard: Any, order: list[str]) -> None:
    await guard.write(FollowRequest(renewal=FollowRequest.Renewal(stamp_nano=1)))
    while not (await guard.read()).HasField("lease"):
        pass
    order.append("lease")


async def waiting(authority: RunningAuthority, count: int) -> None:
    """Until so much waits to be written."""
    turns = authority.store._database._writer
    async with asyncio.timeout(PATIENCE):
        while len(turns._urgent) + sum(map(len, turns._lanes.values())) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
