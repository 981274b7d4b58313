"""What a key is labelled with, from where it can be used, and how much: set, changed, enforced."""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import coverage_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import feed_pb2, inventory_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import running_authority
from support.pair import PATIENCE, Pair, running_pair
from support.refusals import Refusal, refusal, refusal_of

HERE, ELSEWHERE = "127.0.0.0/8", "192.0.2.0/24"
LIST = inventory_pb2.ListDevicesRequest(parent="customers/demo")
COVERED = coverage_pb2.ListCoveredCustomersRequest()
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        yield running


async def create(pair: Pair, **terms: Any) -> keys_pb2.CreateKeyResponse:
    request = keys_pb2.CreateKeyRequest(parent="partners/acme", key=keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, **terms))
    return await pair.authority.keys.CreateKey(request, metadata=bearer(await pair.authority.admin("partners/acme")))


async def update(pair: Pair, name: str, *paths: str, **terms: Any) -> keys_pb2.UpdateKeyResponse:
    request = keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=name, **terms), update_mask=FieldMask(paths=paths))
    return await pair.authority.keys.UpdateKey(request, metadata=bearer(await pair.authority.admin("partners/acme")))


async def read(pair: Pair, secret: str) -> Any:
    call: Any = pair.inventory.ListDevices(LIST, metadata=bearer(secret))
    await call
    return {key: value for key, value in await call.trailing_metadata() if key.startswith("consentry-")}


async def test_they_are_kept_and_changed(pair: Pair) -> None:
    quota = keys_pb2.Key.Quota(calls_per_minute=600, open_streams=4)
    key = (await create(pair, labels={"team": "ops"}, allowed_networks=["2001:db8::/32", HERE, HERE], quota=quota)).key
    assert (dict(key.labels), list(key.allowed_networks), key.quota) == ({"team": "ops"}, [HERE, "2001:db8::/32"], quota)
    labelled = (await update(pair, key.name, "labels", labels={"env": "test", "team": "dev"})).key
    assert dict(labelled.labels) == {"env": "test", "team": "dev"}
    assert (list(labelled.allowed_networks), labelled.quota) == (list(key.allowed_networks), quota)
    emptied = (await update(pair, key.name, "labels", "allowed_networks", "quota")).key
    assert not emptied.labels
    assert not emptied.allowed_networks
    assert not emptied.HasField("quota")


async def test_a_part_is_changed_alone(pair: Pair) -> None:
    Quota = keys_pb2.Key.Quota  # noqa: N806 - a class
    key = (await create(pair, labels={"team": "ops", "env": "test"}, quota=Quota(calls_per_minute=600, open_streams=4))).key
    lowered = (await update(pair, key.name, "quota.open_streams", quota=Quota(calls_per_minute=1, open_streams=2))).key
    assert lowered.quota == Quota(calls_per_minute=600, open_streams=2)
    unlimited = (await update(pair, key.name, "quota.calls_per_minute")).key
    assert unlimited.quota == Quota(open_streams=2)
    none_left = (await update(pair, key.name, "quota.open_streams")).key
    assert not none_left.HasField("quota")
    set_and_taken_off = (await update(pair, key.name, "labels.team", "labels.env", labels={"team": "dev", "other": "x"})).key
    assert dict(set_and_taken_off.labels) == {"team": "dev"}
    assert dict((await update(pair, key.name, "labels.nothing")).key.labels) == {"team": "dev"}
    many = {f"l{number}": "" for number in range(32)}
    told = await refusal_of(update(pair, key.name, *(f"labels.{name}" for name in many), labels=many))
    assert (told.reason, told.fields) == ("LABELS_INVALID", ("key.labels",)), "the one that it has is one too many"
    for path, reason in (
        ("labels.", "LABELS_INVALID"),
        ("labels.Team", "LABELS_INVALID"),
        ("labels.a.b", "LABELS_INVALID"),
        ("quota.", "UPDATE_MASK_INVALID"),
        ("quota.calls", "UPDATE_MASK_INVALID"),
    ):
        told = await refusal_of(update(pair, key.name, path))
        assert (told.reason, told.fields) == (reason, ("update_mask",)), path


@pytest.mark.parametrize(
    ("terms", "field", "reason"),
    [
        ({"labels": {"Team": "x"}}, "key.labels", "LABELS_INVALID"),
        ({"labels": {"": "x"}}, "key.labels", "LABELS_INVALID"),
        ({"labels": {"team": "x" * 64}}, "key.labels.team", "LABELS_INVALID"),
        ({"labels": {f"l{number}": "" for number in range(33)}}, "key.labels", "LABELS_INVALID"),
        ({"allowed_networks": ["192.0.2.0/24", "10.0.0.1/8"]}, "key.allowed_networks[1]", "NETWORK_INVALID"),
        ({"allowed_networks": ["everywhere"]}, "key.allowed_networks[0]", "NETWORK_INVALID"),
        ({"allowed_networks": [f"192.0.2.{number}" for number in range(101)]}, "key.allowed_networks", "NETWORK_INVALID"),
        ({"quota": keys_pb2.Key.Quota(calls_per_minute=-1)}, "key.quota.calls_per_minute", "QUOTA_INVALID"),
        ({"quota": keys_pb2.Key.Quota(open_streams=1_000_001)}, "key.quota.open_streams", "QUOTA_INVALID"),
    ],
)
async def test_what_cannot_stand_there(tmp_path: Path, terms: dict[str, Any], field: str, reason: str) -> None:
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        admin = bearer(await authority.admin("partners/acme"))
        key = keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, **terms)
        told = await refusal_of(
            authority.keys.CreateKey(keys_pb2.CreateKeyRequest(parent="partners/acme", key=key), metadata=admin)
        )
        assert (told.code, told.reason, told.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, (field,))


async def test_a_key_is_used_from_its_networks_only(pair: Pair) -> None:
    here, elsewhere = await create(pair, allowed_networks=[HERE]), await create(pair, allowed_networks=[ELSEWHERE])
    await read(pair, here.secret)
    await pair.authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(here.secret))
    for call in (
        read(pair, elsewhere.secret),
        pair.authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(elsewhere.secret)),
    ):
        told = await refusal_of(call)
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NETWORK_NOT_ALLOWED")


async def test_nobody_says_of_itself_where_it_is(pair: Pair) -> None:
    """Without a proxy that is trusted."""
    key = await create(pair, allowed_networks=[ELSEWHERE])
    metadata = (*bearer(key.secret), ("x-forwarded-for", "192.0.2.1"))
    assert (await refusal_of(pair.inventory.ListDevices(LIST, metadata=metadata))).reason == "NETWORK_NOT_ALLOWED"


async def test_a_trusted_proxy_says_where_its_client_is(tmp_path: Path) -> None:
    async with running_authority(tmp_path, trusted_proxies="127.0.0.1") as authority:
        await authority.partner("acme")
        admin = bearer(await authority.admin("partners/acme"))
        key = keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, allowed_networks=[ELSEWHERE])
        request = keys_pb2.CreateKeyRequest(parent="partners/acme", key=key)
        secret = (await authority.keys.CreateKey(request, metadata=admin)).secret

        async def ask(forwarded: str) -> Any:
            metadata = (*bearer(secret), ("x-forwarded-for", forwarded))
            return await authority.coverage.ListCoveredCustomers(COVERED, metadata=metadata)

        await ask("192.0.2.1")
        assert (await refusal_of(ask("192.0.2.1, 198.51.100.1"))).reason == "NETWORK_NOT_ALLOWED"


async def test_taking_a_network_away_is_a_barrier_and_ends_what_is_open_from_there(pair: Pair) -> None:
    key = await create(pair)
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        narrowed = await update(pair, key.key.name, "allowed_networks", allowed_networks=[ELSEWHERE])
        assert narrowed.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
        assert narrowed.enforcement.points
        assert refusal(await reader.error()).reason == "NETWORK_NOT_ALLOWED"
    widened = await update(pair, key.key.name, "allowed_networks", allowed_networks=[ELSEWHERE, HERE])
    assert not widened.enforcement.points
    await reads_again(pair, key.secret)


async def reads_again(pair: Pair, secret: str) -> None:
    """Widening is no barrier: it is on its way when it is answered."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await read(pair, secret)
            return
    await read(pair, secret)


async def test_a_quota_of_calls(pair: Pair) -> None:
    key = await create(pair, quota=keys_pb2.Key.Quota(calls_per_minute=2))
    assert await read(pair, key.secret) == {"consentry-calls-left": "1"}
    foreign = inventory_pb2.ListDevicesRequest(parent="customers/north")
    call: Any = pair.inventory.ListDevices(foreign, metadata=bearer(key.secret))
    assert (await refusal_of(call)).code == grpc.StatusCode.PERMISSION_DENIED
    assert ("consentry-calls-left", "0") in tuple(await call.trailing_metadata()), "refusals tell it too"
    told = await refusal_of(read(pair, key.secret))
    assert_exhausted(told, "CALLS_PER_MINUTE_EXCEEDED")
    other = await create(pair)
    assert await read(pair, other.secret) == {}, "another key has no part in it"


async def test_a_quota_of_streams(pair: Pair) -> None:
    key = await create(pair, quota=keys_pb2.Key.Quota(open_streams=1))
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        async with pair.watch(key.secret) as one_too_many:
            assert_exhausted(refusal(await one_too_many.error()), "OPEN_STREAMS_EXCEEDED")
        assert await read(pair, key.secret) == {"consentry-streams-left": "0"}


async def test_a_key_without_a_quota_of_streams_has_so_many_at_each_service(tmp_path: Path) -> None:
    most = {"streams_per_key": 2}
    async with running_pair(tmp_path, of_authority=most, of_devices=most) as pair:
        await pair.authority.partner("acme")
        secret = (await create(pair)).secret
        streams: list[tuple[Any, Any]] = [
            (pair.feed.Watch, feed_pb2.WatchRequest()),
            (pair.authority.coverage.WatchCoverage, coverage_pb2.WatchCoverageRequest()),
        ]
        for method, request in streams:
            open_ones: list[Any] = [method(request, metadata=bearer(secret)) for _ in range(2)]
            for each in open_ones:
                await each.read()
            answer = await refusal_of(method(request, metadata=bearer(secret)).read())
            assert_exhausted(answer, "OPEN_STREAMS_EXCEEDED")
            for each in open_ones:
                each.cancel()


async def test_asking_who_it_is_counts_for_a_keys_quota(pair: Pair) -> None:
    key = await create(pair, quota=keys_pb2.Key.Quota(calls_per_minute=2))
    for _ in range(2):
        await pair.authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(key.secret))
    again = pair.authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(key.secret))
    assert_exhausted(await refusal_of(again), "CALLS_PER_MINUTE_EXCEEDED")
    await pair.authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(key.secret))


async def test_a_quota_holds_for_what_a_key_covers_too(pair: Pair) -> None:
    """Every watch looks at the database at every change: who may have one may not have a thousand of them."""
    authority = pair.authority
    key = await create(pair, quota=keys_pb2.Key.Quota(open_streams=1, calls_per_minute=3))
    watch: Any = authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(key.secret))
    await watch.read()
    second: Any = authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(key.secret))
    assert_exhausted(await refusal_of(second.read()), "OPEN_STREAMS_EXCEEDED")
    listed: Any = authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(key.secret))
    await listed
    told = {name: value for name, value in await listed.trailing_metadata() if name.startswith("consentry-")}
    assert told == {"consentry-calls-left": "1", "consentry-streams-left": "0"}
    watch.cancel()
    await authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(key.secret))
    spent = authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(key.secret))
    assert_exhausted(await refusal_of(spent), "CALLS_PER_MINUTE_EXCEEDED")
    await update(pair, key.key.name, "quota", quota=keys_pb2.Key.Quota(open_streams=1))
    again: Any = authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(key.secret))
    assert await again.read(), "the one that was left does not count any more"


def assert_exhausted(told: Refusal, reason: str) -> None:
    assert (told.code, told.reason) == (EXHAUSTED, reason)
    assert told.retry_after is not None
    assert told.retry_after > 0


@pytest.mark.parametrize("behind_a_guard", [False, True])
async def test_a_secret_that_lets_nobody_in_was_not_used(tmp_path: Path, behind_a_guard: bool) -> None:
    """Whose secret it is decides nothing yet: the guard that asks refuses it, and tells only of what it let in."""
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        key = await create(pair, allowed_networks=[ELSEWHERE])
        if behind_a_guard:
            refused = await refusal_of(read(pair, key.secret))
        else:
            refused = await refusal_of(pair.authority.coverage.ListCoveredCustomers(COVERED, metadata=bearer(key.secret)))
        assert refused.reason == "NETWORK_NOT_ALLOWED"
    async with running_authority(tmp_path / "authority") as authority:  # what was used has been written
        get = keys_pb2.GetKeyRequest(name=key.key.name)
        found = await authority.keys.GetKey(get, metadata=bearer(await authority.admin("partners/acme")))
        assert not found.key.HasField("last_use_time")
