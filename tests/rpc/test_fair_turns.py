"""One organisation that asks, or changes things, as fast as it can; and all the others."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import consent_pb2, coverage_pb2, keys_pb2
from consentry.authority.v1.enforcement_pb2 import FollowRequest
from consentry_authority.commands.coverage.list_covered_customers import STEP
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_core.pacing.turns import Turns
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority
from support.pair import PATIENCE

MANY = 400


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        for customer in ("north", "south"):
            await running.valid_customer(customer, "acme")
            await running.admin(f"customers/{customer}")
        yield running


async def test_a_flood_of_one_customers_changes_holds_up_neither_others_nor_leases(authority: RunningAuthority) -> None:
    """Leases are written too: behind thousands of changes they would all have ended."""
    writer, go_on, order = authority.store._database._writer, threading.Event(), list[str]()
    guard = await follow(authority)
    held = [asyncio.create_task(authority.store.write_aside(lambda _: go_on.wait(PATIENCE)))]
    flood = [asyncio.create_task(grant(authority, "north", number, order)) for number in range(MANY)]
    await waiting(writer, MANY)
    renewal = asyncio.create_task(renewed(guard, order))
    await waiting(writer, MANY + 1)
    other = asyncio.create_task(grant(authority, "south", 0, order))
    await waiting(writer, MANY + 2)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*held, renewal, other, *flood), PATIENCE)
    guard.cancel()
    assert order.index("south") < MANY // 2
    assert order.index("lease") < MANY // 2


async def test_a_flood_of_one_keys_questions_holds_up_neither_others_nor_leases(authority: RunningAuthority) -> None:
    """A lease stands on what is read, too. Nobody but the guard has been looked up before."""
    reader, go_on, order = authority.store._database._readers, threading.Event(), list[str]()
    guard, key = await follow(authority), await authority.key("acme", keys_pb2.Key.KIND_ALL_CUSTOMERS)
    await authority.admin("customers/south")
    await renewed(guard, [])
    authority.clock.advance(2)  # type: ignore[attr-defined] # the next lease is due
    held = [asyncio.create_task(authority.store.read_aside(lambda _: go_on.wait(PATIENCE))) for _ in range(4)]
    flood = [asyncio.create_task(covered(authority, key.secret, order)) for _ in range(MANY)]
    await waiting(reader, 1)  # all of them wait for one proof
    asked = [asyncio.create_task(renewed(guard, order)), asyncio.create_task(consents(authority, order))]
    await waiting(reader, 3)
    await authority.store.write(lambda tx: tx.kill_secret("tokens/nobody", "nothing"))
    assert len(reader._urgent) + len(reader._lanes) == 3
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*held, *asked, *flood), PATIENCE)
    guard.cancel()
    assert order.index("south") < MANY // 2
    assert order.index("lease") < MANY // 2
    assert order.count("RESOURCE_EXHAUSTED") > MANY // 2, "more at once than one key is answered"


async def test_what_one_key_asks_is_read_in_short_steps_one_at_a_time(authority: RunningAuthority) -> None:
    """So that those who are answered take one reader of several, and leave it after each step."""
    under_way = most = 0
    key = await authority.key("acme", keys_pb2.Key.KIND_ALL_CUSTOMERS)
    before = SqlFacts.standings_of

    def counted(self: SqlFacts, *which: Any, limit: int, **others: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        assert limit <= STEP
        try:
            return before(self, *which, limit=limit, **others)
        finally:
            under_way -= 1

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SqlFacts, "standings_of", counted)
        calls = [covered(authority, key.secret, []) for _ in range(8)]
        await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)
    assert most == 1


async def follow(authority: RunningAuthority) -> Any:
    guard: Any = authority.enforcement.Follow(metadata=bearer(authority.service))
    await guard.write(FollowRequest(hello=FollowRequest.Hello(incarnation="incarnation-0123456789", service="test")))
    return guard


async def covered(authority: RunningAuthority, secret: str, order: list[str]) -> None:
    try:
        await authority.coverage.ListCoveredCustomers(coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(secret))
        order.append("acme")
    except grpc.aio.AioRpcError as error:
        order.append(error.code().name)


async def consents(authority: RunningAuthority, order: list[str]) -> None:
    request = consent_pb2.ListConsentsRequest(parent="customers/south")
    await authority.consents.ListConsents(request, metadata=bearer(await authority.admin("customers/south")))
    order.append("south")


async def grant(authority: RunningAuthority, customer: str, number: int, order: list[str]) -> None:
    request = consent_pb2.GrantConsentRequest(customer=f"customers/{customer}", partner="partners/acme", purpose=f"{number}")
    await authority.consents.GrantConsent(request, metadata=bearer(await authority.admin(f"customers/{customer}")))
    order.append(customer)


async def renewed(guard: Any, order: list[str]) -> None:
    await guard.write(FollowRequest(renewal=FollowRequest.Renewal(stamp_nano=1)))
    while not (await guard.read()).HasField("lease"):
        pass
    order.append("lease")


async def waiting(turns: Turns, count: int) -> None:
    """Until so much waits for its turn."""
    async with asyncio.timeout(PATIENCE):
        while len(turns._urgent) + len(turns._lanes) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
