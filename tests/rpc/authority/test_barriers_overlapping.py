"""Changes that follow one another before the first is enforced, and callers that do not wait to see it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import consent_pb2, data_class_pb2, directory_pb2, enforcement_pb2, keys_pb2
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SystemClock
from consentry_rule import CustomerId, PartnerId
from support.authority import RunningAuthority, running_authority
from support.members import silent_member

Enforcement = enforcement_pb2.Enforcement
AT_ONCE = Duration()


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    """An authority with partner acme, its valid customer north, and a member that acknowledges nothing."""
    async with running_authority(tmp_path, clock=SystemClock()) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        async with silent_member(running):
            yield running


async def revoke(authority: RunningAuthority, patience: Duration | None = None) -> Enforcement:
    request = consent_pb2.RevokeConsentRequest(
        customer="customers/north", partner="partners/acme", enforcement_timeout=patience
    )
    metadata = bearer(await authority.admin("customers/north"))
    return (await authority.consents.RevokeConsent(request, metadata=metadata)).enforcement


async def unsubscribe(authority: RunningAuthority, patience: Duration | None = None) -> Enforcement:
    request = directory_pb2.CancelSubscriptionRequest(customer="customers/north", enforcement_timeout=patience)
    return (await authority.directory.CancelSubscription(request, metadata=bearer(authority.operator))).enforcement


async def test_what_is_denied_already_is_not_enforced_before_the_denial_is(authority: RunningAuthority) -> None:
    """Who still hands out what the first change denies hands out what the second one denies."""
    assert (await revoke(authority, AT_ONCE)).state == Enforcement.STATE_PENDING
    assert (await unsubscribe(authority, AT_ONCE)).state == Enforcement.STATE_PENDING
    only_alarms = consent_pb2.GrantConsentRequest(
        customer="customers/north",
        partner="partners/acme",
        data_classes=[data_class_pb2.DATA_CLASS_ALARMS],
        enforcement_timeout=AT_ONCE,
    )
    metadata = bearer(await authority.admin("customers/north"))
    granted = await authority.consents.GrantConsent(only_alarms, metadata=metadata)
    assert granted.enforcement.state == Enforcement.STATE_PENDING, "telemetry is denied, and may still be handed out"


async def test_a_narrower_grant_that_is_repeated_is_one_change(authority: RunningAuthority) -> None:
    """Whoever asks again how far it is starts nothing anew."""
    metadata = bearer(await authority.admin("customers/north"))
    only_alarms = consent_pb2.GrantConsentRequest(
        customer="customers/north",
        partner="partners/acme",
        data_classes=[data_class_pb2.DATA_CLASS_ALARMS],
        enforcement_timeout=AT_ONCE,
    )
    first = (await authority.consents.GrantConsent(only_alarms, metadata=metadata)).enforcement
    again = (await authority.consents.GrantConsent(only_alarms, metadata=metadata)).enforcement
    assert first.state == Enforcement.STATE_PENDING
    assert again == first


async def test_the_same_for_keys(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    metadata = bearer(await authority.admin("partners/acme"))
    disabled = await authority.keys.DisableKey(
        keys_pb2.DisableKeyRequest(name=key.name, enforcement_timeout=AT_ONCE), metadata=metadata
    )
    deleted = await authority.keys.DeleteKey(
        keys_pb2.DeleteKeyRequest(name=key.name, enforcement_timeout=AT_ONCE), metadata=metadata
    )
    assert disabled.enforcement.state == deleted.enforcement.state == Enforcement.STATE_PENDING


async def test_two_calls_at_the_same_time_wait_for_the_same_barrier(authority: RunningAuthority) -> None:
    both = [asyncio.create_task(revoke(authority)) for _ in range(2)]
    first, second = await asyncio.gather(*both)
    assert first == second
    assert first.state == Enforcement.STATE_ENFORCED


async def test_a_change_whose_caller_is_gone_is_enforced_all_the_same(authority: RunningAuthority) -> None:
    """Gone between the commit and the barrier. Whoever comes later learns how far it is, and can wait for it."""
    north, acme = CustomerId("north"), PartnerId("acme")
    committed = await authority.store.write(lambda transaction: revoke_consent(transaction, north, acme))
    later = await revoke(authority, AT_ONCE)
    assert (later.revision, later.state) == (str(committed.revision), Enforcement.STATE_PENDING)
    assert [point.service for point in later.points] == ["silent"]
    enforced = await revoke(authority)
    assert (enforced.revision, enforced.state) == (str(committed.revision), Enforcement.STATE_ENFORCED)


async def test_a_change_that_is_seen_in_the_database_before_it_is_heard_of_is_waited_for(authority: RunningAuthority) -> None:
    """A caller may read a commit that another caller's call has not yet been told of."""
    north, acme = CustomerId("north"), PartnerId("acme")
    authority.store.write_now(lambda transaction: revoke_consent(transaction, north, acme))
    assert (await revoke(authority)).state == Enforcement.STATE_ENFORCED
