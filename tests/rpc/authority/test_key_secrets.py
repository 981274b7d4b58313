"""A key's secrets: rotation with and without overlap, killing one by possession, and what both do to what is open."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import coverage_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import IssuedKey, running_authority
from support.pair import PATIENCE, Pair, running_pair
from support.refusals import Refusal, refusal, refusal_of

ENFORCED = enforcement_pb2.Enforcement.STATE_ENFORCED
ACKNOWLEDGED = enforcement_pb2.EnforcementPointReceipt.STATE_ACKNOWLEDGED
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
WHO = tokens_pb2.WhoAmIRequest()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair, with partner acme and its valid customer north."""
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        await running.authority.valid_customer("north", "acme")
        yield running


async def rotate(pair: Pair, key: IssuedKey, overlap: int = 0, etag: str = "") -> keys_pb2.RotateKeyResponse:
    request = keys_pb2.RotateKeyRequest(name=key.name, overlap=Duration(seconds=overlap), etag=etag)
    return await pair.authority.keys.RotateKey(request, metadata=bearer(await pair.authority.admin("partners/acme")))


async def get(pair: Pair, key: IssuedKey) -> keys_pb2.Key:
    metadata = bearer(await pair.authority.admin("partners/acme"))
    return (await pair.authority.keys.GetKey(keys_pb2.GetKeyRequest(name=key.name), metadata=metadata)).key


async def kill(pair: Pair, secret: str) -> keys_pb2.RevokeSecretResponse:
    return await pair.authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(secret))


async def name_of(pair: Pair, secret: str) -> str:
    return (await pair.authority.tokens.WhoAmI(WHO, metadata=bearer(secret))).name


async def refused(pair: Pair, secret: str) -> Refusal:
    return await refusal_of(pair.authority.tokens.WhoAmI(WHO, metadata=bearer(secret)))


def assert_waited_for(enforcement: enforcement_pb2.Enforcement) -> None:
    assert (enforcement.state, [point.state for point in enforcement.points]) == (ENFORCED, [ACKNOWLEDGED])


async def test_a_rotation_keeps_everything_but_the_secret(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"], display_name="nightly")
    rotated = await rotate(pair, key)
    kept = ("name", "display_name", "kind", "customers", "state", "create_time", "creator")
    assert [getattr(rotated.key, field) for field in kept] == [getattr(key.key, field) for field in kept]
    assert rotated.secret.startswith(f"{rotated.key.hint}_")
    assert rotated.key.hint != key.key.hint
    assert rotated.key.etag != key.key.etag
    assert rotated.key == await get(pair, key)
    assert await name_of(pair, rotated.secret) == key.name
    assert (await refused(pair, key.secret)).code == UNAUTHENTICATED


async def test_without_overlap_it_is_a_barrier_and_the_streams_of_the_former_secret_end(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        rotated = await rotate(pair, key)
        assert_waited_for(rotated.enforcement)
        assert refusal(await reader.error()).code == UNAUTHENTICATED
        async with pair.watch(rotated.secret, after_cursor=reader.cursor) as resumed:
            await resumed.until("synced")
            assert "customer_added" not in resumed.events(), "the key is the same, so nothing is new to it"


async def test_with_overlap_both_let_in_until_the_former_ones_end(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        rotated = await rotate(pair, key, overlap=1)
        newest, former = rotated.key.secrets
        assert (newest.hint, former.hint) == (rotated.key.hint, key.key.hint)
        assert not newest.HasField("expire_time")
        assert former.expire_time.ToNanoseconds() == newest.create_time.ToNanoseconds() + 10**9
        assert await name_of(pair, key.secret) == await name_of(pair, rotated.secret) == key.name
        ended = refusal(await reader.error())  # at the second, with nobody doing anything
    assert (ended.code, ended.reason) == (UNAUTHENTICATED, "CREDENTIAL_EXPIRED")
    while len(secrets := (await get(pair, key)).secrets) > 1:
        pass  # a guard ends access early by up to a round trip, and never late
    assert secrets[0].hint == rotated.key.hint
    assert (await refused(pair, key.secret)).reason == "CREDENTIAL_EXPIRED"


async def test_a_key_has_two_live_secrets_at_most(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    second = await rotate(pair, key, overlap=3600)
    third = await rotate(pair, key, overlap=3600)
    assert [secret.hint for secret in third.key.secrets] == [third.key.hint, second.key.hint]
    assert (await refused(pair, key.secret)).code == UNAUTHENTICATED
    assert await name_of(pair, second.secret) == key.name


async def test_what_a_rotation_refuses(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    for overlap in (-1, 30 * 86_400 + 1):
        told = await refusal_of(rotate(pair, key, overlap=overlap))
        assert (told.code, told.reason, told.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT, "OVERLAP_INVALID", ("overlap",),
        )  # fmt: skip
    first = await rotate(pair, key, etag=key.key.etag)
    assert (await refusal_of(rotate(pair, key, etag=key.key.etag))).code == grpc.StatusCode.ABORTED
    assert await name_of(pair, first.secret) == key.name, "a rotation that was refused has ended nothing"


async def test_whoever_holds_a_secret_can_kill_it_and_the_other_goes_on(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    rotated = await rotate(pair, key, overlap=3600)
    async with pair.watch(key.secret) as stolen, pair.watch(rotated.secret) as other:
        await stolen.until("synced")
        await other.until("synced")
        killed = await kill(pair, key.secret)
        assert (killed.credential, killed.hint) == (key.name, key.key.hint)
        assert_waited_for(killed.enforcement)
        assert refusal(await stolen.error()).code == UNAUTHENTICATED
        gateway = await pair.gateway("north")
        await gateway.publish(load=[7.0])
        while 7.0 not in other.values():
            await other.next()
    assert (await refusal_of(kill(pair, key.secret))).code == UNAUTHENTICATED
    assert (await get(pair, key)).etag != rotated.key.etag
    admin = bearer(await pair.authority.admin("partners/acme"))
    asked = enforcement_pb2.GetEnforcementRequest(revision=killed.enforcement.revision)
    receipt = (await pair.authority.enforcement.GetEnforcement(asked, metadata=admin)).enforcement
    assert receipt == killed.enforcement, "the key's organisation finds the receipt"


async def test_a_suspended_keys_secret_can_be_killed(pair: Pair) -> None:
    """It would come back with the key."""
    key = await pair.authority.key("acme")
    admin = bearer(await pair.authority.admin("partners/acme"))
    await pair.authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=key.name), metadata=admin)
    await kill(pair, key.secret)
    await pair.authority.keys.EnableKey(keys_pb2.EnableKeyRequest(name=key.name), metadata=admin)
    assert (await refused(pair, key.secret)).code == UNAUTHENTICATED
    assert not (await get(pair, key)).secrets
    assert await name_of(pair, (await rotate(pair, key)).secret) == key.name, "and the key can have another"


async def test_a_tokens_secret_can_be_killed(pair: Pair) -> None:
    gateway = await pair.authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")
    publishing = await pair.gateway("north", secret=gateway.secret)
    await publishing.publish(load=[1.0])
    assert_waited_for((await kill(pair, gateway.secret)).enforcement)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(publishing.call.read(), PATIENCE)
    assert ended.value.code() == UNAUTHENTICATED


async def test_a_coverage_watch_ends_with_its_secret(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    await rotate(pair, key, overlap=3600)
    request = coverage_pb2.WatchCoverageRequest()
    call: Any = pair.authority.coverage.WatchCoverage(request, metadata=bearer(key.secret))
    while (await asyncio.wait_for(call.read(), PATIENCE)).WhichOneof("event") != "synced":
        pass
    await kill(pair, key.secret)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(call.read(), PATIENCE)
    assert ended.value.code() == UNAUTHENTICATED


async def test_a_rehearsal_is_a_withdrawal_on_the_demo_customer(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
    await pair.authority.partner("other")
    others = await pair.authority.key("other", keys_pb2.Key.KIND_DEMO)
    admin = bearer(await pair.authority.admin("partners/acme"))

    async def rehearse(rehearsing: bool) -> keys_pb2.SetRehearsalResponse:
        request = keys_pb2.SetRehearsalRequest(partner="partners/acme", rehearsing=rehearsing)
        return await pair.authority.keys.SetRehearsal(request, metadata=admin)

    async with pair.watch(key.secret) as reader, pair.watch(others.secret) as theirs:
        await reader.until("synced")
        await theirs.until("synced")
        begun = await rehearse(True)
        assert begun.rehearsing
        assert_waited_for(begun.enforcement)
        removed = await reader.until("customer_removed")
        assert (removed.customer_removed.customer, removed.customer_removed.reason) == (
            "customers/demo", "REHEARSING_WITHDRAWAL",
        )  # fmt: skip
        assert (await rehearse(True)).enforcement == begun.enforcement, "asked again: the same receipt"
        demo = await pair.gateway("demo", secret=pair.authority.gateway)
        await demo.publish(load=[1.0])
        while 1.0 not in theirs.values():
            await theirs.next()
        ended = await rehearse(False)
        assert not ended.rehearsing
        await reader.until("customer_added")
    assert reader.values().count(1.0) <= 1, "only as the present state, if at all"


async def test_a_rehearsal_of_a_partner_without_a_demo_key(pair: Pair) -> None:
    admin = bearer(await pair.authority.admin("partners/acme"))
    for rehearsing in (True, True, False):
        request = keys_pb2.SetRehearsalRequest(partner="partners/acme", rehearsing=rehearsing)
        answer = await pair.authority.keys.SetRehearsal(request, metadata=admin)
        assert (answer.rehearsing, answer.enforcement.state) == (rehearsing, ENFORCED)


async def test_a_use_behind_a_guard_is_told_to_the_authority(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
        unused = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
        before = pair.authority.clock.now()
        async with pair.watch(key.secret) as reader:
            await reader.until("synced")
        assert not (await get(pair, key)).HasField("last_use_time")
    async with running_authority(tmp_path / "authority") as authority:  # both told when they were stopped
        metadata = bearer(await authority.admin("partners/acme"))
        listed = (await authority.keys.ListKeys(keys_pb2.ListKeysRequest(parent="partners/acme"), metadata=metadata)).keys
        found = {each.name: each for each in listed}
        assert found[key.name].last_use_time.ToNanoseconds() >= before
        assert found[key.name].secrets[0].last_use_time == found[key.name].last_use_time
        assert not found[unused.name].HasField("last_use_time")
        tokens = await authority.tokens.ListTokens(tokens_pb2.ListTokensRequest(), metadata=bearer(authority.operator))
        assert any(token.HasField("last_use_time") for token in tokens.tokens)
