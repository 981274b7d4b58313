"""ListConsentEvents: a customer's whole history, by a real authority; and why partners are told that a customer left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import (
    consent_pb2,
    coverage_pb2,
    data_class_pb2,
    directory_pb2,
    enforcement_pb2,
    keys_pb2,
    tokens_pb2,
)
from consentry_core.protocol.times import from_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority
from support.clocks import START, FakeClock

SECOND = 1_000_000_000
TELEMETRY, ALARMS = data_class_pb2.DATA_CLASS_TELEMETRY, data_class_pb2.DATA_CLASS_ALARMS
Kind = consent_pb2.ConsentEvent.Kind
PATIENCE = 10.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    """An authority with partners acme and rival, and customer north, connected to acme."""
    async with running_authority(tmp_path, clock=clock) as running:
        for partner in ("acme", "rival"):
            await running.partner(partner)
        await running.customer("north")
        await running.connect("acme", "north")
        yield running


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND))


async def events(
    authority: RunningAuthority, partner: str = "", *, page_size: int = 0, customer: str = "north"
) -> list[consent_pb2.ConsentEvent]:
    """The whole history, oldest first, in pages of this size."""
    found: list[consent_pb2.ConsentEvent] = []
    request = consent_pb2.ListConsentEventsRequest(parent=f"customers/{customer}", partner=partner, page_size=page_size)
    metadata = bearer(await authority.admin(f"customers/{customer}"))
    while True:
        page = await authority.consents.ListConsentEvents(request, metadata=metadata)
        found.extend(page.consent_events)
        if not page.next_page_token:
            return found[::-1]
        assert len(page.consent_events) == page_size
        request.page_token = page.next_page_token


def kinds(told: Sequence[consent_pb2.ConsentEvent]) -> list[str]:
    return [Kind.Name(event.kind).removeprefix("KIND_") for event in told]


async def test_everything_that_happens_is_told_in_order_with_who_did_it(authority: RunningAuthority, clock: FakeClock) -> None:
    async def step(*done: Awaitable[Any]) -> None:
        clock.advance(10)
        for each in done:
            await each

    await step(authority.consent("north", "acme"))
    await step(authority.consent("north", "acme", data_classes=[TELEMETRY]))
    await step(authority.consent("north", "acme", data_classes=[TELEMETRY, ALARMS]))
    await step(authority.consent("north", "acme", data_classes=[ALARMS], data_start_time=at(0)))
    await step(authority.revoke("north", "acme"))
    await step(authority.consent("north", "acme", expire_time=at(65)))
    await step()
    await step(authority.consent("north", "acme"))
    await step(authority.unsubscribe("north"))
    await step(authority.subscribe("north", expire_time=at(105)))
    await step()
    await step(authority.subscribe("north", expire_time=at(125)))
    await step(authority.connect("rival", "north"), authority.disconnect("acme", "north"))
    await step()
    told = await events(authority)
    assert kinds(told) == [
        "REGISTERED", "CONNECTED", "TOKEN_ISSUED",
        "GRANTED", "NARROWED", "WIDENED", "CHANGED", "REVOKED", "GRANTED", "ENDED", "GRANTED",
        "SUBSCRIPTION_CANCELLED", "SUBSCRIPTION_SET", "SUBSCRIPTION_LAPSED", "SUBSCRIPTION_SET", "SUBSCRIPTION_LAPSED",
        "CONNECTED", "DISCONNECTED",
    ]  # fmt: skip
    by_kind = {Kind.Name(event.kind).removeprefix("KIND_"): event for event in told}
    operator, admin = await me(authority, authority.operator), await me(authority, await authority.admin("customers/north"))
    for kind in ("GRANTED", "NARROWED", "WIDENED", "REVOKED"):
        assert (by_kind[kind].actor, by_kind[kind].actor_organization) == (admin, "customers/north"), kind
        assert by_kind[kind].partner == "partners/acme"
    for kind in ("REGISTERED", "CONNECTED", "DISCONNECTED", "SUBSCRIPTION_SET", "TOKEN_ISSUED"):
        assert (by_kind[kind].actor, by_kind[kind].actor_organization) == (operator, ""), kind
    for kind, end in (("ENDED", 65), ("SUBSCRIPTION_LAPSED", 125)):
        assert by_kind[kind].actor == ""
        assert from_timestamp(by_kind[kind].event_time, "") == at(end), "an end is told as of its own moment"
    assert by_kind["TOKEN_ISSUED"].token == admin
    assert by_kind["TOKEN_ISSUED"].token_role == tokens_pb2.Token.ROLE_CUSTOMER_ADMIN
    assert list(by_kind["NARROWED"].data_classes) == [TELEMETRY]
    assert from_timestamp(by_kind["CHANGED"].data_start_time, "") == at(0)
    assert by_kind["SUBSCRIPTION_SET"].plan == directory_pb2.Subscription.PLAN_PAID
    taken = {"NARROWED", "CHANGED", "REVOKED", "SUBSCRIPTION_CANCELLED"}
    assert {kind for kind, event in by_kind.items() if event.HasField("enforcement")} == taken
    assert all(by_kind[kind].enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED for kind in taken)


async def test_an_end_that_has_just_come_is_told_before_anything_follows_it_and_once(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    await authority.consent("north", "acme", expire_time=at(10))
    await authority.subscribe("north", expire_time=at(20))
    assert kinds(await events(authority))[-1] == "SUBSCRIPTION_SET"
    clock.advance(30)
    before = await events(authority)
    assert kinds(before)[-2:] == ["ENDED", "SUBSCRIPTION_LAPSED"]
    await authority.subscribe("north")
    await authority.consent("north", "acme")
    after = await events(authority)
    assert after[: len(before)] == before
    assert kinds(after)[len(before) :] == ["SUBSCRIPTION_SET", "GRANTED"]


async def test_pages_of_any_size_hold_the_same(authority: RunningAuthority, clock: FakeClock) -> None:
    await authority.connect("rival", "north")
    for partner, end in (("acme", 10), ("rival", 60), ("acme", 60), ("rival", 60)):
        await authority.consent("north", partner, expire_time=at(end))
        clock.advance(15)
    await authority.subscribe("north", expire_time=at(70))
    clock.advance(100)
    whole = await events(authority)
    assert len(whole) > 8
    for size in (1, 2, 3, 7):
        assert await events(authority, page_size=size) == whole, size


async def test_of_one_partner_only_what_concerns_it_or_the_customer_alone(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    await authority.connect("rival", "north")
    for partner in ("acme", "rival"):
        await authority.consent("north", partner, expire_time=at(10))
    clock.advance(20)
    told = await events(authority, "partners/rival")
    assert kinds(told) == ["REGISTERED", "CONNECTED", "TOKEN_ISSUED", "GRANTED", "ENDED"]
    assert {event.partner for event in told} == {"", "partners/rival"}


async def test_a_token_that_an_operator_issued_and_deleted_in_the_customers_name_is_told(authority: RunningAuthority) -> None:
    issued = await authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")
    request = tokens_pb2.DeleteTokenRequest(name=issued.token.name)
    await authority.tokens.DeleteToken(request, metadata=bearer(authority.operator))
    told = [event for event in await events(authority) if event.token == issued.token.name]
    assert kinds(told) == ["TOKEN_ISSUED", "TOKEN_DELETED"]
    assert told[1].enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED


async def test_others_tokens_and_customers_are_not_told_of(authority: RunningAuthority) -> None:
    before = await events(authority)
    await authority.valid_customer("south", "acme")
    await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["south"])
    assert await events(authority) == before
    assert {event.partner for event in await events(authority, customer="south")} == {"", "partners/acme"}


# Why a customer left, as partners are told


async def revoke(authority: RunningAuthority, _clock: FakeClock, _key: str) -> None:
    await authority.revoke("south", "acme")


async def end(_authority: RunningAuthority, clock: FakeClock, _key: str) -> None:
    clock.advance(60)


async def end_of_subscription(authority: RunningAuthority, clock: FakeClock, _key: str) -> None:
    await authority.subscribe("south", expire_time=Instant(clock.now() + 5 * SECOND))
    clock.advance(10)


async def cancel(authority: RunningAuthority, _clock: FakeClock, _key: str) -> None:
    await authority.unsubscribe("south")


async def disconnect(authority: RunningAuthority, _clock: FakeClock, _key: str) -> None:
    await authority.disconnect("acme", "south")


async def take_off_the_key(authority: RunningAuthority, _clock: FakeClock, key: str) -> None:
    changed = keys_pb2.Key(name=key, customers=["customers/north"])
    await authority.keys.UpdateKey(
        keys_pb2.UpdateKeyRequest(key=changed, update_mask=FieldMask(paths=["customers"])),
        metadata=bearer(await authority.admin("partners/acme")),
    )


async def narrow(authority: RunningAuthority, _clock: FakeClock, _key: str) -> None:
    await authority.consent("south", "acme", data_classes=[TELEMETRY])


Change = Callable[[RunningAuthority, FakeClock, str], Awaitable[None]]
LEFT: Sequence[tuple[Change, str]] = (
    (revoke, "CONSENT_REVOKED"),
    (end, "CONSENT_EXPIRED"),
    (end_of_subscription, "SUBSCRIPTION_EXPIRED"),
    (cancel, "SUBSCRIPTION_CANCELLED"),
    (disconnect, "NOT_CONNECTED"),
    (take_off_the_key, "NOT_ON_KEY"),
    (narrow, "covered with TELEMETRY"),
)


@pytest.mark.parametrize(("change", "reason"), LEFT, ids=[change.__name__ for change, _ in LEFT])
async def test_a_partner_is_told_why_a_customer_left(
    authority: RunningAuthority, clock: FakeClock, change: Change, reason: str
) -> None:
    """While it watches, and when it comes back."""
    await authority.consent("north", "acme")
    await authority.valid_customer("south", "acme", expire_time=at(60))
    key = await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north", "south"])
    watch = authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(key.secret))
    synced = await told_until(watch, "synced")
    await change(authority, clock, key.name)
    if change in (end, end_of_subscription):
        await authority.customer("anybody")  # the clock of the test wakes nobody
        await authority.connect("rival", "anybody")
    assert said((await told_until(watch, "uncovered", "covered"))[-1]) == ("customers/south", reason)
    watch.cancel()
    again = authority.coverage.WatchCoverage(
        coverage_pb2.WatchCoverageRequest(after_revision=synced[-1].revision), metadata=bearer(key.secret)
    )
    assert [said(event) for event in (await told_until(again, "synced"))[:-1]] == [("customers/south", reason)]
    again.cancel()


async def told_until(watch: Any, *last: str) -> list[coverage_pb2.WatchCoverageResponse]:
    told: list[coverage_pb2.WatchCoverageResponse] = []
    while not (told and told[-1].WhichOneof("event") in last):
        told.append(await asyncio.wait_for(watch.read(), PATIENCE))
    return told


def said(event: coverage_pb2.WatchCoverageResponse) -> tuple[str, str]:
    if event.HasField("uncovered"):
        return event.uncovered.customer, event.uncovered.reason
    classes = (data_class_pb2.DataClass.Name(each).removeprefix("DATA_CLASS_") for each in event.covered.data_classes)
    return event.covered.customer, f"covered with {' '.join(classes)}"


async def me(authority: RunningAuthority, secret: str) -> str:
    return (await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))).name
