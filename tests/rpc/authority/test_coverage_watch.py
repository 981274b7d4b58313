"""WatchCoverage: what is told to who comes back, and to who waits while others are busy."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import coverage_pb2, keys_pb2
from consentry_authority.commands.ports import Transaction
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_rule import CustomerId, Instant, PartnerId
from support.authority import IssuedKey, RunningAuthority, running_authority
from support.clocks import FakeClock
from support.refusals import refusal_of

PATIENCE = 10.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    """An authority with partner acme and its valid customer north."""
    async with running_authority(tmp_path, clock=clock) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def until(call: Any, event: str) -> list[coverage_pb2.WatchCoverageResponse]:
    """What is told, up to and with the first event of this kind."""
    told: list[coverage_pb2.WatchCoverageResponse] = []
    while not (told and told[-1].WhichOneof("event") == event):
        told.append(await asyncio.wait_for(call.read(), PATIENCE))
    return told


def watch(authority: RunningAuthority, secret: str, after: str = "") -> Any:
    request = coverage_pb2.WatchCoverageRequest(after_revision=after)
    return authority.coverage.WatchCoverage(request, metadata=bearer(secret))


async def test_heartbeats_come_however_much_happens_to_others(authority: RunningAuthority, clock: FakeClock) -> None:
    """And with them a revision to come back after that lies behind all of it."""
    key = await authority.key("acme")
    call = watch(authority, key.secret)
    synced = (await until(call, "synced"))[-1]
    await authority.partner("other")
    await authority.customer("stranger")
    clock.advance(10)
    await authority.connect("other", "stranger")
    clock.advance(10)
    await authority.consent("stranger", "other")
    (heartbeat,) = await until(call, "heartbeat")
    assert heartbeat.revision != synced.revision
    call.cancel()


async def test_a_heartbeat_says_when_it_was_made_and_comes_as_often_as_asked(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    key = await authority.key("acme")
    request = coverage_pb2.WatchCoverageRequest()
    request.heartbeat_interval.FromSeconds(2)
    call = authority.coverage.WatchCoverage(request, metadata=bearer(key.secret))
    await until(call, "synced")
    clock.advance(2)
    (heartbeat,) = await until(call, "heartbeat")
    assert heartbeat.heartbeat.time.ToNanoseconds() == clock.now()
    call.cancel()
    request.heartbeat_interval.FromMilliseconds(999)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await until(authority.coverage.WatchCoverage(request, metadata=bearer(key.secret)), "synced")
    assert error_info(caught.value).reason == "HEARTBEAT_INVALID"


async def test_who_comes_back_hears_nothing_of_a_customer_that_had_left_before(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    """Whether it still is there, and what it buys, is none of its former partner's business."""
    await authority.valid_customer("south", "acme")
    key = await authority.key("acme")
    await authority.disconnect("acme", "south")
    clock.advance(1)
    await authority.revoke("north", "acme")
    call = watch(authority, key.secret)
    after = (await until(call, "synced"))[-1].revision
    call.cancel()
    clock.advance(1)
    await authority.unsubscribe("south")
    await authority.consent("north", "acme")
    again = watch(authority, key.secret, after)
    told = await until(again, "synced")
    assert [event.covered.customer for event in told[:-1]] == ["customers/north"]
    again.cancel()


def said(told: list[coverage_pb2.WatchCoverageResponse]) -> list[tuple[str, str]]:
    """What is told of customers: `covered`, or why not."""
    return [
        (event.covered.customer, "covered") if event.HasField("covered") else (event.uncovered.customer, event.uncovered.reason)
        for event in told
        if event.WhichOneof("event") in ("covered", "uncovered")
    ]


async def synced_after(authority: RunningAuthority, secret: str, after: str = "") -> tuple[list[tuple[str, str]], str]:
    """What a watch begins with, and the revision to come back after."""
    call = watch(authority, secret, after)
    told = await until(call, "synced")
    call.cancel()
    return said(told), told[-1].revision


async def change_list(authority: RunningAuthority, key: IssuedKey, *customers: str) -> None:
    changed = keys_pb2.Key(name=key.name, customers=[f"customers/{customer}" for customer in customers])
    await authority.keys.UpdateKey(
        keys_pb2.UpdateKeyRequest(key=changed, update_mask=FieldMask(paths=["customers"])),
        metadata=bearer(await authority.admin("partners/acme")),
    )


async def test_who_comes_back_hears_who_was_taken_off_its_list_and_who_was_put_on_it(authority: RunningAuthority) -> None:
    """And nothing else: neither of who stays, nor of the partner's other customers, which this key never covered."""
    for customer in ("south", "east", "west"):
        await authority.valid_customer(customer, "acme")
    key = await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north", "south"])
    _, before = await synced_after(authority, key.secret)
    await change_list(authority, key, "north", "east")
    told, taken_off = await synced_after(authority, key.secret, before)
    assert told == [("customers/east", "covered"), ("customers/south", "NOT_ON_KEY")]
    assert await synced_after(authority, key.secret, taken_off) == ([], taken_off)
    await change_list(authority, key, "north", "east", "south")
    told, back = await synced_after(authority, key.secret, taken_off)
    assert told == [("customers/south", "covered")]
    await change_list(authority, key, "north", "east")
    await change_list(authority, key, "north", "east", "south")
    again = [("customers/south", "NOT_ON_KEY"), ("customers/south", "covered")]
    assert (await synced_after(authority, key.secret, back))[0] == again, "what came between was taken away"


async def test_who_was_on_the_list_only_meanwhile_is_not_spoken_of(authority: RunningAuthority) -> None:
    await authority.valid_customer("south", "acme")
    key = await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
    _, before = await synced_after(authority, key.secret)
    await change_list(authority, key, "north", "south")
    await change_list(authority, key, "north")
    assert (await synced_after(authority, key.secret, before))[0] == []


async def test_a_rehearsal_is_told_live_and_to_who_comes_back(authority: RunningAuthority) -> None:
    def rehearse(tx: Transaction) -> None:
        partner = tx.partners.get(PartnerId("acme"))
        assert partner is not None
        tx.partners.save(replace(partner, rehearsing=not partner.rehearsing))

    key = await authority.key("acme", keys_pb2.Key.KIND_DEMO)
    all_key = await authority.key("acme")
    live, of_all = watch(authority, key.secret), watch(authority, all_key.secret)
    before = (await until(live, "synced"))[-1].revision
    await until(of_all, "synced")
    withdrawn, given = ("customers/demo", "REHEARSING_WITHDRAWAL"), ("customers/demo", "covered")
    await authority.store.write(rehearse)
    assert said(await until(live, "uncovered")) == [withdrawn]
    told, meanwhile = await synced_after(authority, key.secret, before)
    assert told == [withdrawn]
    await authority.store.write(rehearse)
    assert said(await until(live, "covered")) == [given]
    assert (await synced_after(authority, key.secret, meanwhile))[0] == [given]
    assert (await synced_after(authority, all_key.secret, before))[0] == []
    await authority.revoke("north", "acme")
    assert said(await until(of_all, "uncovered")) == [("customers/north", "CONSENT_REVOKED")]
    live.cancel()
    of_all.cancel()


WITHDRAWN = [("customers/north", "WITHDRAWN"), ("customers/north", "covered")]


async def test_who_comes_back_is_told_of_a_withdrawal_that_was_taken_back_meanwhile(authority: RunningAuthority) -> None:
    """Its data of the time between is not to be had, so whoever keeps a copy has to know."""
    key = await authority.key("acme")
    _, before = await synced_after(authority, key.secret)
    await authority.revoke("north", "acme")
    await authority.consent("north", "acme")
    told, now = await synced_after(authority, key.secret, before)
    assert told == WITHDRAWN
    assert (await synced_after(authority, key.secret, now))[0] == []


async def test_who_comes_back_is_told_of_an_end_that_came_and_was_followed_by_a_grant(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    await authority.consent("north", "acme", expire_time=Instant(clock.now() + 10 * 10**9))
    key = await authority.key("acme")
    _, before = await synced_after(authority, key.secret)
    clock.advance(20)
    await authority.consent("north", "acme")
    assert (await synced_after(authority, key.secret, before))[0] == WITHDRAWN


async def test_every_open_watch_is_told_of_each_withdrawal_however_fast_it_is_taken_back(authority: RunningAuthority) -> None:
    """Nobody looks between the two: the standing's own marks tell."""
    key = await authority.key("acme")
    watches = [watch(authority, key.secret) for _ in range(100)]
    for call in watches:
        await until(call, "synced")

    def toggle(tx: Transaction, *, revoke: bool) -> None:
        consent = tx.consents.get(CustomerId("north"), PartnerId("acme"))
        assert consent is not None
        tx.consents.save(replace(consent, revoke_time=tx.now if revoke else None))

    # Both are heard of before anybody can look: the look that the first asks for waits for a reader.
    go_on = threading.Event()
    held = [asyncio.create_task(authority.store.read_aside(lambda _: go_on.wait(PATIENCE))) for _ in range(4)]
    await authority.store.write(partial(toggle, revoke=True))
    await authority.store.write(partial(toggle, revoke=False))
    go_on.set()
    for call in watches:
        assert said([await asyncio.wait_for(call.read(), PATIENCE), await asyncio.wait_for(call.read(), PATIENCE)]) == WITHDRAWN
        call.cancel()
    await asyncio.gather(*held)


async def test_a_thousand_watches_of_a_key_look_once(authority: RunningAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the beginning, and whenever something of theirs has changed; not at all for what others do."""
    key = await authority.key("acme")
    looks: list[int] = []
    before_to, before_of = SqlFacts.standings_to, SqlFacts.standings_of

    def to(self: SqlFacts, partner: PartnerId, customers: Any) -> Any:
        looks.append(1)
        return before_to(self, partner, customers)

    def of(self: SqlFacts, partner: PartnerId, **which: Any) -> Any:
        looks.append(1)
        return before_of(self, partner, **which)

    first = watch(authority, key.secret)
    await until(first, "synced")
    with monkeypatch.context() as patched:
        patched.setattr(SqlFacts, "standings_of", of)
        watches = [first, *(watch(authority, key.secret) for _ in range(50))]
        await asyncio.gather(*(until(call, "synced") for call in watches[1:]))
        assert sum(looks) == 0, "the first watch's look does for all"
        await authority.partner("other")
        await authority.customer("stranger")
        await authority.connect("other", "stranger")
        await authority.consent("stranger", "other")
        patched.setattr(SqlFacts, "standings_to", to)
        looks.clear()
        await authority.store.write(lambda tx: _revoke(tx, "stranger", "other"))
        await authority.store.write(lambda tx: _revoke(tx, "north", "acme"))
        for call in watches:
            assert said(await until(call, "uncovered")) == [("customers/north", "CONSENT_REVOKED")]
            call.cancel()
        assert sum(looks) == 1 + 2 * 3, "once for all, and the writer thrice for each change"


def _revoke(tx: Transaction, customer: str, partner: str) -> None:
    consent = tx.consents.get(CustomerId(customer), PartnerId(partner))
    assert consent is not None
    tx.consents.save(replace(consent, revoke_time=tx.now))


async def test_a_watch_ends_with_the_secret_that_opened_it_and_the_others_go_on(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    admin = bearer(await authority.admin("partners/acme"))
    overlap = keys_pb2.RotateKeyRequest(name=key.name)
    overlap.overlap.FromSeconds(3600)
    second = (await authority.keys.RotateKey(overlap, metadata=admin)).secret
    by_first, by_second = watch(authority, key.secret), watch(authority, second)
    await until(by_first, "synced")
    await until(by_second, "synced")
    await authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(key.secret))
    refusal = await refusal_of(by_first.read())
    assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
    await authority.revoke("north", "acme")
    assert said(await until(by_second, "uncovered")) == [("customers/north", "CONSENT_REVOKED")]
    await authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=key.name), metadata=admin)
    refusal = await refusal_of(by_second.read())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "KEY_DISABLED")


async def test_what_a_partner_watches_is_bounded(tmp_path: Path) -> None:
    """However many keys and watches it opens; and whoever watches already goes on."""
    async with running_authority(tmp_path / "bounded", watched_customers=3) as authority:
        await authority.partner("acme")
        for customer in ("north", "south"):
            await authority.valid_customer(customer, "acme")
        keys = [await authority.key("acme") for _ in range(2)]
        open_ones = [watch(authority, keys[0].secret) for _ in range(3)]
        for call in open_ones:
            await until(call, "synced")
        refusal = await refusal_of(watch(authority, keys[1].secret).read())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHED_CUSTOMERS_EXCEEDED")
        assert refusal.retry_after is not None
        await authority.revoke("north", "acme")
        for call in open_ones:
            assert said(await until(call, "uncovered")) == [("customers/north", "CONSENT_REVOKED")]
            call.cancel()
