"""A revocation is a barrier: what its answer says, how long it takes, and what is kept of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import consent_pb2, data_class_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.protocol.follow import BOUND_SECONDS
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.pair import PATIENCE, Pair, running_pair

Enforcement = enforcement_pb2.Enforcement
Point = enforcement_pb2.EnforcementPointReceipt
ALARMS = data_class_pb2.DATA_CLASS_ALARMS


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair, with partner acme and its valid customers north and south."""
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        await running.authority.valid_customer("north", "acme")
        await running.authority.valid_customer("south", "acme")
        yield running


async def silent_member(pair: Pair) -> Any:
    """An enforcement point that takes a lease and then never says anything again; its stream stays open."""
    call: Any = pair.authority.enforcement.Follow(metadata=bearer(pair.authority.service))
    hello = enforcement_pb2.FollowRequest.Hello(incarnation="silent-0123456789", service="silent")
    await call.write(enforcement_pb2.FollowRequest(hello=hello))
    await call.write(enforcement_pb2.FollowRequest(renewal=enforcement_pb2.FollowRequest.Renewal(stamp_nano=1)))
    while not (await asyncio.wait_for(call.read(), PATIENCE)).HasField("lease"):
        pass
    return call


async def revoke(pair: Pair, customer: str = "north", **fields: Any) -> Enforcement:
    request = consent_pb2.RevokeConsentRequest(customer=f"customers/{customer}", partner="partners/acme", **fields)
    metadata = bearer(await pair.authority.admin(f"customers/{customer}"))
    return (await pair.authority.consents.RevokeConsent(request, metadata=metadata)).enforcement


async def test_a_revocation_answers_enforced_with_its_receipt(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        began = time.monotonic()
        enforcement = await revoke(pair)
        took = time.monotonic() - began
        (point,) = enforcement.points
        assert enforcement.state == Enforcement.STATE_ENFORCED
        assert (point.service, point.state) == ("devices", Point.STATE_ACKNOWLEDGED)
        assert enforcement.commit_time.ToNanoseconds() <= point.acknowledge_time.ToNanoseconds()
        assert point.acknowledge_time.ToNanoseconds() <= enforcement.enforce_time.ToNanoseconds()
        assert took < 1.0


async def test_after_enforced_nothing_of_the_customer_begins(pair: Pair) -> None:
    """The very next thing that the reader is handed is not the customer's, whatever is published meanwhile."""
    key = await pair.authority.key("acme")
    north, south = await pair.gateway("north"), await pair.gateway("south")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        for round_ in range(5):
            publishing = asyncio.create_task(_publish(north, 50))
            enforcement = await revoke(pair)
            assert enforcement.state == Enforcement.STATE_ENFORCED
            await publishing
            await north.publish(load=[-1.0])  # committed after ENFORCED
            await south.publish(load=[float(round_)])
            while float(round_) not in reader.values("south"):
                await reader.next()
            assert -1.0 not in reader.values("north")
            await pair.authority.consent("north", "acme")
            await reader.until("customer_added")


async def _publish(gateway: Any, frames: int) -> None:
    for number in range(frames):
        await gateway.publish(load=[float(number)])


async def test_a_change_that_takes_nothing_away_is_enforced_at_once(pair: Pair) -> None:
    granted = await pair.authority.consent("north", "acme")
    assert granted.enforcement.state == Enforcement.STATE_ENFORCED
    assert not granted.enforcement.points


async def test_every_way_of_taking_away_is_a_barrier(pair: Pair) -> None:
    """Whichever method made the change; `points` say that somebody was waited for."""
    authority = pair.authority
    admin = bearer(await authority.admin("partners/acme"))
    operator = bearer(authority.operator)
    soon = Instant(time.time_ns() + 3600 * SECOND)
    key = await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north", "south"])
    token = await authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")

    async def update(path: str, **fields: Any) -> Enforcement:
        request = keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=key.name, **fields))
        request.update_mask.paths.append(path)
        return (await authority.keys.UpdateKey(request, metadata=admin)).enforcement

    narrowed = await authority.consent("north", "acme", data_classes=[ALARMS])
    shortened = await authority.consent("north", "acme", data_classes=[ALARMS], expire_time=soon)
    later = await authority.consent(
        "north", "acme", data_classes=[ALARMS], expire_time=soon, data_start_time=Instant(time.time_ns())
    )
    off_the_list = await update("customers", customers=["customers/south"])
    key_shortened = await update("expire_time", expire_time={"seconds": soon // SECOND})
    disabled = await authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=key.name), metadata=admin)
    await authority.keys.EnableKey(keys_pb2.EnableKeyRequest(name=key.name), metadata=admin)
    deleted = await authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=key.name), metadata=admin)
    token_deleted = await authority.tokens.DeleteToken(tokens_pb2.DeleteTokenRequest(name=token.token.name), metadata=operator)
    subscription_shortened = await authority.subscribe("north", expire_time=Instant(soon - 60 * SECOND))
    cancelled = await authority.unsubscribe("north")
    disconnected = await authority.disconnect("acme", "south")
    for index, enforcement in enumerate(
        (
            narrowed.enforcement,
            shortened.enforcement,
            later.enforcement,
            off_the_list,
            key_shortened,
            disabled.enforcement,
            deleted.enforcement,
            token_deleted.enforcement,
            subscription_shortened.enforcement,
            cancelled.enforcement,
            disconnected.enforcement,
        )
    ):
        assert enforcement.state == Enforcement.STATE_ENFORCED, index
        assert [point.state for point in enforcement.points] == [Point.STATE_ACKNOWLEDGED], index


async def test_repeating_the_call_gives_the_same_receipt(pair: Pair) -> None:
    first = await revoke(pair)
    assert await revoke(pair) == first
    cancelled = await pair.authority.unsubscribe("south")
    assert (await pair.authority.unsubscribe("south")).enforcement == cancelled.enforcement


async def test_a_silent_enforcement_point_holds_a_barrier_for_the_bound_and_no_longer(pair: Pair) -> None:
    """It is named in the receipt, and to operators; the others have long acknowledged."""
    call = await silent_member(pair)
    pending = await revoke(pair, enforcement_timeout=Duration())
    assert pending.state == Enforcement.STATE_PENDING
    began = time.monotonic()
    points = await pair.authority.enforcement.ListEnforcementPoints(
        enforcement_pb2.ListEnforcementPointsRequest(), metadata=bearer(pair.authority.operator)
    )
    owed = {point.service: list(point.owed_revisions) for point in points.enforcement_points}
    assert owed["silent"] == [pending.revision]
    enforced = await revoke(pair)
    took = time.monotonic() - began
    states = {point.service: point.state for point in enforced.points}
    assert enforced.state == Enforcement.STATE_ENFORCED
    assert states == {"devices": Point.STATE_ACKNOWLEDGED, "silent": Point.STATE_EXPIRED}
    assert BOUND_SECONDS - 0.5 < took < BOUND_SECONDS + 1.5, "a busy machine takes a moment more"
    again = await revoke(pair, "south")
    assert {point.service for point in again.points} == {"devices"}, "one that has expired is waited for no more"
    call.cancel()


async def test_pending_comes_before_the_callers_deadline(pair: Pair) -> None:
    """A call that failed after its commit would leave its caller not knowing."""
    call = await silent_member(pair)
    request = consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme")
    metadata = bearer(await pair.authority.admin("customers/north"))
    answer = await pair.authority.consents.RevokeConsent(request, metadata=metadata, timeout=1.0)
    assert answer.enforcement.state == Enforcement.STATE_PENDING
    assert answer.consent.state == consent_pb2.Consent.STATE_REVOKED
    call.cancel()


async def test_a_caller_that_goes_away_leaves_no_change_unenforced(pair: Pair) -> None:
    """Its change is enforced all the same, and its receipt is there for whoever asks."""
    silent = await silent_member(pair)
    request = consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme")
    metadata = bearer(await pair.authority.admin("customers/north"))
    call = pair.authority.consents.RevokeConsent(request, metadata=metadata)
    get = consent_pb2.GetConsentRequest(name="customers/north/consents/acme")
    while not (found := await pair.authority.consents.GetConsent(get, metadata=metadata)).HasField("enforcement"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # nothing else tells that the change was committed
    call.cancel()
    assert found.enforcement.state == Enforcement.STATE_PENDING
    await silent.write(enforcement_pb2.FollowRequest(farewell=enforcement_pb2.FollowRequest.Farewell()))
    enforced = await revoke(pair)
    assert (enforced.revision, enforced.state) == (found.enforcement.revision, Enforcement.STATE_ENFORCED)


async def test_an_enforcement_point_that_gives_its_lease_back_delays_nobody(pair: Pair) -> None:
    call = await silent_member(pair)
    pending = await revoke(pair, enforcement_timeout=Duration())
    await call.write(enforcement_pb2.FollowRequest(farewell=enforcement_pb2.FollowRequest.Farewell()))
    enforced = await revoke(pair)
    assert enforced.revision == pending.revision
    assert {point.service: point.state for point in enforced.points}["silent"] == Point.STATE_LEFT


async def test_a_service_that_stops_gives_its_lease_back(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        await pair.authority.valid_customer("north", "acme")
        key = await pair.authority.key("acme")
        async with pair.watch(key.secret) as reader:
            await reader.until("synced")
        await pair.devices.stop()
        points = await pair.authority.enforcement.ListEnforcementPoints(
            enforcement_pb2.ListEnforcementPointsRequest(), metadata=bearer(pair.authority.operator)
        )
        assert not points.enforcement_points
        enforcement = await revoke(pair)
        assert (enforcement.state, list(enforcement.points)) == (Enforcement.STATE_ENFORCED, [])


async def test_the_receipt_can_be_had_later_by_whoever_made_the_change(pair: Pair) -> None:
    enforcement = await revoke(pair)
    request = enforcement_pb2.GetEnforcementRequest(revision=enforcement.revision)
    get = pair.authority.enforcement.GetEnforcement
    for who in (await pair.authority.admin("customers/north"), pair.authority.operator):
        assert (await get(request, metadata=bearer(who))).enforcement == enforcement
    for who in (await pair.authority.admin("customers/south"), await pair.authority.admin("partners/acme")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(request, metadata=bearer(who))
        assert error_info(caught.value).reason == "NOT_YOUR_ORGANIZATION"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(
            enforcement_pb2.GetEnforcementRequest(revision="x.1"),
            metadata=bearer(await pair.authority.admin("customers/north")),
        )
    assert error_info(caught.value).reason == "NOT_YOUR_ORGANIZATION"


async def test_the_consent_shows_when_access_ended(pair: Pair) -> None:
    """What a customer wants to see: at which moment, and at how many of how many enforcement points."""
    name = consent_pb2.GetConsentRequest(name="customers/north/consents/acme")
    metadata = bearer(await pair.authority.admin("customers/north"))
    before = await pair.authority.consents.GetConsent(name, metadata=metadata)
    assert not before.HasField("enforcement")
    enforcement = await revoke(pair)
    after = await pair.authority.consents.GetConsent(name, metadata=metadata)
    assert after.enforcement == enforcement
    await pair.authority.consent("north", "acme")
    again = await pair.authority.consents.GetConsent(name, metadata=metadata)
    assert again.enforcement == enforcement, "granting again takes nothing away"


async def test_a_timeout_below_zero_is_refused_before_anything_is_changed(pair: Pair) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await revoke(pair, enforcement_timeout=Duration(seconds=-1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    consent = await pair.authority.consents.GetConsent(
        consent_pb2.GetConsentRequest(name="customers/north/consents/acme"),
        metadata=bearer(await pair.authority.admin("customers/north")),
    )
    assert consent.consent.state == consent_pb2.Consent.STATE_ACTIVE


async def test_a_subscription_of_many_partners_is_one_barrier(pair: Pair) -> None:
    await pair.authority.partner("globex")
    await pair.authority.connect("globex", "north")
    await pair.authority.consent("north", "globex")
    response = await pair.authority.directory.CancelSubscription(
        directory_pb2.CancelSubscriptionRequest(customer="customers/north"), metadata=bearer(pair.authority.operator)
    )
    assert response.enforcement.state == Enforcement.STATE_ENFORCED
