"""A backup put back: another history begins, and nobody serves by the one that was lost."""

import asyncio
import shutil
import time
from pathlib import Path

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2, enforcement_pb2
from consentry_authority.app import restored
from consentry_core.process.settings import SettingError
from consentry_core.protocol.follow import BOUND_SECONDS
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SystemClock
from support.authority import running_authority, settings_of


@pytest.mark.slow
async def test_a_restored_authority_begins_a_new_epoch_and_waits_for_former_leases(tmp_path: Path) -> None:
    live, backup = tmp_path / "live", tmp_path / "backup"
    async with running_authority(live, clock=SystemClock()) as authority:
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        await authority.valid_customer("south", "acme")
        await authority.revoke("south", "acme")
        key = await authority.key("acme")
    shutil.copytree(live, backup)
    async with running_authority(live, clock=SystemClock()) as authority:
        await authority.revoke("north", "acme")
        await authority.consent("south", "acme")
        listed = await authority.coverage.ListCoveredCustomers(
            coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(key.secret)
        )
        lost = listed.revision
        with pytest.raises(SettingError, match="authority"):
            restored(settings_of(live))
    shutil.rmtree(live)
    shutil.copytree(backup, live)
    restored(settings_of(live))
    async with running_authority(live, clock=SystemClock()) as authority:
        listed = await authority.coverage.ListCoveredCustomers(
            coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(key.secret)
        )
        assert [customer.name for customer in listed.customers] == ["customers/north"], "as the backup has it"
        assert listed.revision.partition(".")[0] != lost.partition(".")[0]
        call = authority.coverage.WatchCoverage(
            coverage_pb2.WatchCoverageRequest(after_revision=lost), metadata=bearer(key.secret)
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert error_info(caught.value).reason == "RESYNC_REQUIRED"
        began = time.monotonic()
        asked_again = asyncio.create_task(authority.revoke("south", "acme"))
        revoked = await authority.revoke("north", "acme")
        took = time.monotonic() - began
        epoch, _, number = revoked.enforcement.revision.partition(".")
        lost_epoch, _, lost_number = lost.partition(".")
        assert int(number) >= int(lost_number), "numbers go on from the backup's, so those that were told once come again"
        assert epoch not in ("", lost_epoch), "and means nothing that it meant before"
        (point,) = revoked.enforcement.points
        assert point.state == enforcement_pb2.EnforcementPointReceipt.STATE_EXPIRED
        assert BOUND_SECONDS - 0.5 < took < BOUND_SECONDS + 0.5
        # Revoked by the backup, and granted in what was lost: the receipt of the revocation says nothing of who serves by that.
        (point,) = (await asked_again).enforcement.points
        assert point.state == enforcement_pb2.EnforcementPointReceipt.STATE_EXPIRED
        await authority.consent("north", "acme")
        again = await authority.revoke("north", "acme")
        assert (again.enforcement.state, len(again.enforcement.points)) == (enforcement_pb2.Enforcement.STATE_ENFORCED, 0)
