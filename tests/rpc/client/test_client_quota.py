"""What a client is told of its key's quota: what is left, and when to come back. On a real pair, through both clients."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consentry.authority.v1 import keys_pb2
from consentry_client import AsyncClient, Client, PermissionDenied, QuotaLeft, ResourceExhausted
from consentry_core.rpc.client.channels import bearer
from support.pair import PATIENCE, Pair, running_pair

DEMO = "customers/demo"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        yield running


async def limited(pair: Pair, **quota: int) -> str:
    """The secret of a demo key with this quota."""
    key = keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, quota=keys_pb2.Key.Quota(**quota))
    request = keys_pb2.CreateKeyRequest(parent="partners/acme", key=key)
    admin = await pair.authority.admin("partners/acme")
    return (await pair.authority.keys.CreateKey(request, metadata=bearer(admin))).secret


async def test_every_answer_tells_what_is_left(pair: Pair) -> None:
    secret = await limited(pair, calls_per_minute=4, open_streams=3)
    async with AsyncClient(devices=pair.devices.address, secret=secret) as client:
        assert client.quota_left is None, "nobody has told yet"
        await client.latest(DEMO)
        assert client.quota_left == QuotaLeft(calls=3, streams=3)
        assert [table async for table in client.history(DEMO, 1, 2)] == []
        told_of_itself = client.quota_left
        assert told_of_itself == QuotaLeft(calls=2, streams=2), "a stream tells at its end what was left once it was open"
        with pytest.raises(PermissionDenied):
            await client.latest("customers/north")
        refused = client.quota_left
        assert refused is not None
        assert refused.calls == 1, "a refusal tells it too"


async def test_every_answer_tells_what_is_left_without_an_event_loop(pair: Pair) -> None:
    secret = await limited(pair, calls_per_minute=4)

    def ask() -> None:
        with Client(devices=pair.devices.address, secret=secret) as client:
            assert client.quota_left is None
            client.latest(DEMO)
            assert client.quota_left == QuotaLeft(calls=3)
            assert list(client.history(DEMO, 1, 2)) == []
            assert client.quota_left == QuotaLeft(calls=2)
            with pytest.raises(PermissionDenied):
                client.latest("customers/north")
            assert client.quota_left == QuotaLeft(calls=1)
            for _ in client.watch():
                break  # left while it is open, which tells nothing
            assert client.quota_left == QuotaLeft(calls=1)

    await asyncio.to_thread(ask)


async def test_beyond_the_quota_the_exception_says_when_to_come_back(pair: Pair) -> None:
    secret = await limited(pair, calls_per_minute=1)

    def ask() -> ResourceExhausted:
        with Client(devices=pair.devices.address, secret=secret) as client:
            client.latest(DEMO)
            with pytest.raises(ResourceExhausted) as caught:
                client.latest(DEMO)
            return caught.value

    async with AsyncClient(devices=pair.devices.address, secret=secret) as client:
        refused = [await asyncio.to_thread(ask)]
        with pytest.raises(ResourceExhausted) as caught:
            await client.latest(DEMO)
        refused.append(caught.value)
    for exhausted in refused:
        assert (exhausted.reason, exhausted.metadata["quota"]) == ("CALLS_PER_MINUTE_EXCEEDED", "1")
        assert exhausted.retry_after is not None
        assert 50 < exhausted.retry_after <= 60


async def test_a_call_that_waits_as_long_as_it_is_told_gets_through(pair: Pair) -> None:
    secret = await limited(pair, calls_per_minute=300)
    async with asyncio.timeout(PATIENCE), AsyncClient(devices=pair.devices.address, secret=secret) as client:
        while True:
            try:
                await client.latest(DEMO)
            except ResourceExhausted as exhausted:
                wait = exhausted.retry_after
                break
        assert wait is not None
        assert 0 < wait <= 0.2
        await asyncio.sleep(wait)
        await client.latest(DEMO)
