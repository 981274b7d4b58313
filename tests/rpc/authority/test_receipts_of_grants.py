"""Receipts of changes that took nothing away: each tells of its own change, or of none."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from consentry.authority.v1 import data_class_pb2, directory_pb2, enforcement_pb2, keys_pb2
from consentry_authority.setup.audit_log import entries
from consentry_core.rpc.client.channels import bearer
from support.authority import PLAN_PAID, RunningAuthority, running_authority, settings_of
from support.clocks import FakeClock
from support.refusals import refusal_of

ENFORCED = enforcement_pb2.Enforcement.STATE_ENFORCED
BOTH = [data_class_pb2.DATA_CLASS_INVENTORY, data_class_pb2.DATA_CLASS_TELEMETRY]


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def asked(authority: RunningAuthority, revision: str, secret: str) -> enforcement_pb2.Enforcement:
    request = enforcement_pb2.GetEnforcementRequest(revision=revision)
    return (await authority.enforcement.GetEnforcement(request, metadata=bearer(secret))).enforcement


async def test_a_grant_is_enforced_from_its_commit_on_for_whoever_made_it(authority: RunningAuthority) -> None:
    granted = (await authority.consent("north", "acme", data_classes=BOTH)).enforcement
    narrowed = (await authority.consent("north", "acme", data_classes=BOTH[:1])).enforcement
    widened = (await authority.consent("north", "acme", data_classes=BOTH)).enforcement
    for receipt in (granted, narrowed, widened):
        for secret in (authority.operator, await authority.admin("customers/north")):
            answer = await asked(authority, receipt.revision, secret)
            assert answer == receipt
    assert (widened.state, len(widened.points), widened.enforce_time) == (ENFORCED, 0, widened.commit_time)


async def test_nobody_else_learns_whether_there_was_such_a_change(authority: RunningAuthority) -> None:
    receipt = (await authority.consent("north", "acme", data_classes=BOTH[:1])).enforcement
    epoch, _, number = receipt.revision.rpartition(".")
    await authority.customer("south")
    for secret in (await authority.admin("customers/south"), await authority.admin("partners/acme")):
        answers = [
            await refusal_of(asked(authority, revision, secret))
            for revision in (receipt.revision, f"{epoch}.{int(number) + 1_000}", f"{epoch}.1")
        ]
        assert {(answer.code, answer.reason) for answer in answers} == {
            (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_ORGANIZATION")
        }
        assert answers[0] == answers[1] == answers[2]
    later = await refusal_of(asked(authority, f"{epoch}.{int(number) + 1_000}", authority.operator))
    assert later.code == grpc.StatusCode.NOT_FOUND


async def test_the_first_receipt_of_a_customer_is_not_of_an_older_change(authority: RunningAuthority) -> None:
    """Nobody's access depends on its subscription yet; the change has its place all the same, and its entry says which."""
    clock = authority.clock
    assert isinstance(clock, FakeClock)
    clock.advance(60)
    await authority.customer("lonely", plan=None)
    customer = await authority.directory.GetCustomer(
        directory_pb2.GetCustomerRequest(name="customers/lonely"), metadata=bearer(authority.operator)
    )
    clock.advance(60)
    first = (await authority.subscribe("lonely")).enforcement
    assert first.commit_time.ToNanoseconds() == clock.now() > customer.customer.create_time.ToNanoseconds()
    clock.advance(60)
    assert (await authority.subscribe("lonely")).enforcement == first, "found so: the same receipt"
    last = list(entries(settings_of(authority.folder), after=0))[-1].entry
    assert last.revision == int(first.revision.rpartition(".")[2])
    assert await asked(authority, first.revision, authority.operator) == first


async def test_what_was_never_otherwise_names_no_change(authority: RunningAuthority) -> None:
    admin = bearer(await authority.admin("partners/acme"))
    await authority.customer("lonely")
    await authority.revoke("north", "acme")  # somebody else's change, and the newest
    same = await authority.subscribe("lonely", PLAN_PAID)
    rehearsal = await authority.keys.SetRehearsal(keys_pb2.SetRehearsalRequest(partner="partners/acme"), metadata=admin)
    for receipt in (same.enforcement, rehearsal.enforcement):
        assert receipt == enforcement_pb2.Enforcement(state=ENFORCED)


async def test_a_key_that_was_never_changed_is_as_its_creation_left_it(authority: RunningAuthority) -> None:
    key = await authority.key("acme", display_name="one")
    await authority.revoke("north", "acme")
    admin = bearer(await authority.admin("partners/acme"))
    request = keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=key.name, display_name="one"))
    request.update_mask.paths.append("display_name")
    receipt = (await authority.keys.UpdateKey(request, metadata=admin)).enforcement
    answer = await asked(authority, receipt.revision, await authority.admin("partners/acme"))
    assert (receipt.state, len(receipt.points), answer) == (ENFORCED, 0, receipt)
