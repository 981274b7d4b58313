"""A rehearsed withdrawal, as a reader of the feed sees it: like any withdrawal and consent, live and on resume."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from consentry.authority.v1 import keys_pb2
from consentry_authority.commands.ports import Transaction
from consentry_rule import PartnerId
from support.pair import Pair, Reader, running_pair


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        demo = await pair.gateway("demo", secret=pair.authority.gateway)
        await demo.publish(load=[1.0])
        yield pair


def rehearse(tx: Transaction) -> None:
    """Begin a rehearsal, or end it."""
    partner = tx.partners.get(PartnerId("acme"))
    assert partner is not None
    tx.partners.save(replace(partner, rehearsing=not partner.rehearsing))


async def test_a_rehearsal_is_a_withdrawal_and_its_end_a_consent(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)

    async def comes_back(cursor: str) -> Reader:
        async with pair.watch(key.secret, after_cursor=cursor, stop_when_synced=True) as reader:
            await reader.until("synced")
        return reader

    async with pair.watch(key.secret) as live:
        before = (await live.until("synced")).cursor
        assert (await comes_back(before)).events() == ["synced"]
        seen = len(live.received)
        await pair.authority.store.write(rehearse)
        removed = (await live.until("customer_removed")).customer_removed
        assert (removed.customer, removed.reason) == ("customers/demo", "REHEARSING_WITHDRAWAL")
        away = await comes_back(before)
        assert away.events() == ["customer_removed", "synced"]
        assert (await comes_back(away.cursor)).events() == ["synced"]
        await pair.authority.store.write(rehearse)
        await live.until("telemetry")
        entered = ["customer_removed", "customer_added", "gap", "inventory_change", "telemetry"]
        assert [event for event in live.events()[seen:] if event != "heartbeat"] == entered
        assert (await comes_back(before)).events() == [*entered, "synced"]
