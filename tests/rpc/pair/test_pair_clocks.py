"""The pair, and the clock of the machine that the device-data service runs on."""

from pathlib import Path

import grpc

from consentry_client import AsyncClient, CustomerAdded
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.values.clock import SECOND, BootTime, SystemClock
from support.pair import running_pair


class StandingClock(SystemClock):
    """Of a virtual machine: its boot clock stands still while the machine is paused, and its wall clock is set afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self._stood = 0

    def stand_still(self, seconds: float) -> None:
        """The machine was paused."""
        self._stood += round(seconds * SECOND)

    def boot(self) -> BootTime:
        return BootTime(super().boot() - self._stood)


async def test_a_machine_that_was_paused_has_no_lease_when_it_goes_on_and_soon_another_one(tmp_path: Path) -> None:
    """Nothing is handed over by the lease of before, which is older than it shows; what comes after the cursor is told."""
    clock = StandingClock()
    async with running_pair(tmp_path, of_devices_clock=clock) as pair:
        await pair.authority.partner("acme")
        await pair.authority.valid_customer("north", "acme")
        key, north = await pair.authority.key("acme"), await pair.gateway("north")
        await north.publish(load=[1.0])
        async with pair.watch(key.secret) as reader:
            await reader.until("synced")
            clock.stand_still(2)
            await pair.authority.valid_customer("south", "acme")
            error = await reader.error()
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEASE_LOST")
        assert retry_after(error) is not None
        assert reader.events()[-1] == "synced", "nor that south enters"
        async with AsyncClient(authority=pair.authority.address, devices=pair.devices.address, secret=key.secret) as client:
            async for event in client.watch(after_cursor=reader.cursor):  # comes back by itself, until there is a lease
                if isinstance(event, CustomerAdded):
                    assert event.customer == "customers/south"
                    break
