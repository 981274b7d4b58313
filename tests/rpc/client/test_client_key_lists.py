"""Both clients change a key's list, in as many calls as it takes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consentry.authority.v1 import keys_pb2
from consentry_client import AsyncClient, CallFailed, Client
from consentry_client import requests as client_requests
from support.authority import IssuedKey, RunningAuthority, running_authority

NORTH, SOUTH, EAST = "customers/north", "customers/south", "customers/east"


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        for customer in ("north", "south", "east"):
            await running.valid_customer(customer, "acme")
        yield running


@pytest.fixture
async def key(authority: RunningAuthority) -> IssuedKey:
    return await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])


async def test_a_list_is_changed_in_as_many_calls_as_it_takes(
    authority: RunningAuthority, key: IssuedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_requests, "_CUSTOMERS_AT_ONCE", 1)
    secret = await authority.admin("partners/acme")
    async with AsyncClient(authority=authority.address, secret=secret) as client:
        assert list((await client.add_key_customers(key.name, [SOUTH, EAST, SOUTH])).customers) == [EAST, NORTH, SOUTH]

    def without_an_event_loop() -> tuple[list[str], list[str]]:
        with Client(authority=authority.address, secret=secret) as client:
            removed = client.remove_key_customers(key.name, [SOUTH, EAST])
            return list(removed.customers), list(client.add_key_customers(key.name, [EAST]).customers)

    assert await asyncio.to_thread(without_an_event_loop) == ([NORTH], [EAST, NORTH])
    async with AsyncClient(authority=authority.address, secret=secret) as client:
        assert list((await client.remove_key_customers(key.name, [EAST])).customers) == [NORTH]


async def test_nobody_named_is_refused_as_the_service_refuses_it(authority: RunningAuthority, key: IssuedKey) -> None:
    async with AsyncClient(authority=authority.address, secret=await authority.admin("partners/acme")) as client:
        with pytest.raises(CallFailed) as refused:
            await client.add_key_customers(key.name, [])
        assert refused.value.reason == "CUSTOMERS_REQUIRED"
