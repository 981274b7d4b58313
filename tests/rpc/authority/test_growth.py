"""What one organisation can add to the database is bounded, what takes access away never is, and what is over goes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import consent_pb2, coverage_pb2, data_class_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_authority.admission.policies import POLICIES
from consentry_authority.commands.change_limits import WITHDRAWALS
from consentry_authority.setup.audit_log import problems
from consentry_authority.setup.retention import Kept, Retention
from consentry_authority.storage.schema import tables as t
from consentry_core.rpc.client.channels import bearer
from support.authority import IssuedKey, RunningAuthority, running_authority, settings_of
from support.clocks import FakeClock
from support.refusals import Refusal, refusal_of

BURST = 10
EXHAUSTED, FAILED = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.FAILED_PRECONDITION
DAY = 24 * 3600


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path, changes_burst=BURST, keys_per_partner=3, tokens_per_organization=3) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def label(authority: RunningAuthority, key: IssuedKey, value: int) -> None:
    changed = keys_pb2.Key(name=key.name, labels={"round": str(value)})
    request = keys_pb2.UpdateKeyRequest(key=changed, update_mask=FieldMask(paths=["labels"]))
    await authority.keys.UpdateKey(request, metadata=bearer(await authority.admin("partners/acme")))


async def exhaust(authority: RunningAuthority, key: IssuedKey) -> Refusal:
    """Change labels until that is refused."""
    for value in range(BURST + 1):
        try:
            await label(authority, key, value)
        except grpc.aio.AioRpcError:
            return await refusal_of(label(authority, key, value))
    raise AssertionError("never refused")


async def test_changes_of_one_organisation_are_limited_and_come_back_with_time(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    refusal = await exhaust(authority, key)
    assert (refusal.code, refusal.reason) == (EXHAUSTED, "CHANGES_EXCEEDED")
    assert refusal.retry_after is not None
    await authority.consent("north", "acme", data_classes=[data_class_pb2.DATA_CLASS_ALARMS])  # another's change
    clock = authority.clock
    assert isinstance(clock, FakeClock)
    clock.advance(refusal.retry_after + 1)
    await label(authority, key, 99)


async def test_a_refused_change_leaves_nothing(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    await exhaust(authority, key)
    admin = bearer(await authority.admin("partners/acme"))
    before = await authority.keys.GetKey(keys_pb2.GetKeyRequest(name=key.name), metadata=admin)
    await refusal_of(label(authority, key, 1_000))
    assert await authority.keys.GetKey(keys_pb2.GetKeyRequest(name=key.name), metadata=admin) == before
    assert problems(settings_of(authority.folder), [])[1] == []


async def test_nothing_that_takes_access_away_is_refused(authority: RunningAuthority) -> None:
    """As a whole it does not even wait; in part, it is made all the same."""
    keys = [await authority.key("acme") for _ in range(3)]
    admin = await authority.admin("partners/acme")
    await exhaust(authority, keys[0])
    narrower = keys_pb2.Key(name=keys[0].name, allowed_networks=["127.0.0.0/8"])
    narrowed = keys_pb2.UpdateKeyRequest(key=narrower, update_mask=FieldMask(paths=["allowed_networks"]))
    other = (await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")).secret
    await authority.keys.UpdateKey(narrowed, metadata=bearer(other))
    disabled = await authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=keys[0].name), metadata=bearer(admin))
    assert disabled.key.state == keys_pb2.Key.STATE_DISABLED
    await authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=keys[1].name), metadata=bearer(admin))
    await authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(keys[2].secret))
    enabling = authority.keys.EnableKey(keys_pb2.EnableKeyRequest(name=keys[0].name), metadata=bearer(other))
    assert (await refusal_of(enabling)).reason == "CHANGES_EXCEEDED"


async def test_whoever_toggles_its_consent_ends_up_with_it_revoked(authority: RunningAuthority) -> None:
    grants = 0
    while True:
        await authority.revoke("north", "acme")
        try:
            await authority.consent("north", "acme")
        except grpc.aio.AioRpcError as error:
            assert error.code() == EXHAUSTED  # noqa: PT017 - the loop ends with it
            break
        grants += 1
    assert grants <= BURST
    consent = await authority.consents.GetConsent(
        consent_pb2.GetConsentRequest(name="customers/north/consents/acme"),
        metadata=bearer(await authority.admin("customers/north")),
    )
    assert consent.consent.state == consent_pb2.Consent.STATE_REVOKED


def test_what_withdraws_is_a_method() -> None:
    assert set(POLICIES) >= WITHDRAWALS


async def test_keys_and_tokens_of_an_organisation_are_limited(authority: RunningAuthority) -> None:
    keys = [await authority.key("acme") for _ in range(3)]
    refusal = await refusal_of(authority.key("acme"))
    assert (refusal.code, refusal.reason) == (FAILED, "KEYS_EXCEEDED")
    admin = await authority.admin("partners/acme")
    await authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=keys[0].name), metadata=bearer(admin))
    await authority.key("acme")
    role = tokens_pb2.Token.ROLE_PARTNER_ADMIN
    await authority.token(role, "partners/acme", by=admin)
    await authority.token(role, "partners/acme", by=admin)
    refusal = await refusal_of(authority.token(role, "partners/acme", by=admin))
    assert (refusal.code, refusal.reason) == (FAILED, "TOKENS_EXCEEDED")
    await authority.token(role, "partners/acme")  # by the operator: whoever lost its own gets another


async def count(authority: RunningAuthority, table: sa.Table) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    return await authority.store.read_aside(lambda connection: int(connection.execute(query).scalar_one()))


async def test_what_is_over_goes_and_what_is_left_is_whole(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running_authority(tmp_path, clock=clock) as authority:
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        keys = [await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"]) for _ in range(3)]
        admin = bearer(await authority.admin("partners/acme"))
        watched = authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(keys[2].secret))
        told: Any = await watched.read()
        while not told.HasField("synced"):
            told = await watched.read()
        watched.cancel()
        for _ in range(20):
            rotated = await authority.keys.RotateKey(
                keys_pb2.RotateKeyRequest(name=keys[0].name, request_id=f"rotation-{_}"), metadata=admin
            )
        await authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=keys[1].name), metadata=admin)
        revoked = await authority.revoke("north", "acme")
        clock.advance(500 * DAY)
        await authority.consent("north", "acme")
        lines = await count(authority, t.changes)
        retention = Retention(authority.store, clock, Kept(receipts=400, history=400, ended=90))
        removed = await retention.remove()
        assert removed > 60
        assert await count(authority, t.receipts) == 0
        assert 0 < await count(authority, t.changes) < lines
        assert await count(authority, t.requests) == 0
        assert await count(authority, t.keys) == 2
        dead = sa.select(sa.func.count()).where(t.secrets.c.argon2_hash.is_(None))
        assert await authority.store.read_aside(lambda connection: connection.execute(dead).scalar_one()) == 0
        # What is left is as the log says, who holds a live secret still does, and who comes back is told what it missed.
        assert problems(settings_of(authority.folder), [])[1] == []
        who = await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(rotated.secret))
        assert who.name == keys[0].name
        again = authority.coverage.WatchCoverage(
            coverage_pb2.WatchCoverageRequest(after_revision=told.revision), metadata=bearer(keys[2].secret)
        )
        events: list[Any] = [await asyncio.wait_for(again.read(), 10) for _ in range(3)]
        assert [event.WhichOneof("event") for event in events] == ["uncovered", "covered", "synced"]
        again.cancel()
        asked = enforcement_pb2.GetEnforcementRequest(revision=revoked.enforcement.revision)
        refusal = await refusal_of(authority.enforcement.GetEnforcement(asked, metadata=bearer(authority.operator)))
        assert refusal.code == grpc.StatusCode.NOT_FOUND
        assert await retention.remove() == 0


async def test_a_rotation_writes_as_much_as_the_one_before_it(authority: RunningAuthority) -> None:
    """However many there were: what is described of a key is its live secrets."""
    key = await authority.key("acme")
    admin = bearer(await authority.admin("partners/acme"))
    sizes: list[int] = []
    newest = sa.select(sa.func.length(t.audit.c.document)).order_by(t.audit.c.number.desc()).limit(1)
    for _ in range(4):
        await authority.keys.RotateKey(keys_pb2.RotateKeyRequest(name=key.name), metadata=admin)
        sizes.append(await authority.store.read_aside(lambda connection: int(connection.execute(newest).scalar_one())))
    assert len(set(sizes)) == 1
