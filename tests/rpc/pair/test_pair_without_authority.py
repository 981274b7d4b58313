"""The authority down, in the middle and at the start: what the guard knows it uses for five seconds, then nobody is served."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consentry.authority.v1 import enforcement_pb2, tokens_pb2
from consentry.devices.v1 import inventory_pb2
from consentry_authority.app import initialize
from consentry_authority.app import start as start_authority
from consentry_core.protocol.follow import LEASE_SECONDS
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.values.clock import SystemClock
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from support.authority import RunningAuthority, prepare, settings_of
from support.pair import PATIENCE, Pair

SLACK = 0.5


async def start_running_authority(folder: Path, listen: str = "127.0.0.1:0") -> tuple[RunningAuthority, Any]:
    authority = await start_authority(settings_of(folder, listen=listen), clock=SystemClock())
    channel = open_channel(authority.address)
    return RunningAuthority(authority, folder, SystemClock(), channel), channel


async def stop(authority: RunningAuthority, channel: Any) -> None:
    await channel.close()
    await authority.authority.stop()


async def served_again(pair: Pair, secret: str) -> None:
    """Wait until a call is answered; until then the answer is UNAVAILABLE and nothing else."""
    request = inventory_pb2.ListDevicesRequest(parent="customers/north")
    while (code := await pair.inventory.ListDevices(request, metadata=bearer(secret)).code()) is not grpc.StatusCode.OK:
        assert code is grpc.StatusCode.UNAVAILABLE
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_without_the_authority_nobody_is_served_after_the_lease(tmp_path: Path) -> None:
    """Streams end with UNAVAILABLE and come back by their cursor; calls are answered the same; recovery needs nobody."""
    folder = tmp_path / "authority"
    prepare(folder)
    authority, channel = await start_running_authority(folder)
    settings = DevicesSettings(
        listen="127.0.0.1:0",
        authority=authority.address,
        token_file=folder / "devices.token",
        data_dir=tmp_path / "devices",
    )
    devices = await start_devices(settings)
    async with open_channel(devices.address) as devices_channel:
        pair = Pair(authority, devices, devices_channel, tmp_path)
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        key = await authority.key("acme")
        north = await pair.gateway("north")
        async with pair.watch(key.secret) as reader:
            await reader.until("synced")
            await north.publish(load=[1.0])
            await reader.until("telemetry")
            await stop(authority, channel)
            gone = time.monotonic()
            await north.publish(load=[2.0])
            await reader.until("telemetry")
            assert reader.values() == [1.0, 2.0], "what is known is used, for as long as the lease lasts"
            error = await reader.error()
            took = time.monotonic() - gone
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEASE_LOST")
        assert retry_after(error) is not None
        assert took < LEASE_SECONDS + SLACK
        assert took > LEASE_SECONDS / 2, "a lease is good for more than a moment"
        assert await asyncio.wait_for(north.call.code(), PATIENCE) is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pair.inventory.ListDevices(
                inventory_pb2.ListDevicesRequest(parent="customers/north"), metadata=bearer(key.secret)
            )
        assert (caught.value.code(), error_info(caught.value).reason) == (grpc.StatusCode.UNAVAILABLE, "LEASE_LOST")
        assert not await healthy(devices_channel)

        authority, channel = await start_running_authority(folder, listen=authority.address)
        await asyncio.wait_for(served_again(pair, key.secret), PATIENCE)
        assert await healthy(devices_channel)
        north = await pair.gateway(
            "north", secret=(await authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")).secret
        )
        async with pair.watch(key.secret, after_cursor=reader.cursor) as again:
            await again.until("synced")
            await north.publish(load=[3.0])
            await again.until("telemetry")
            assert again.values() == [3.0]
    await devices.stop()
    await stop(authority, channel)


async def test_an_authority_that_does_not_know_its_proofs_again_is_asked_anew(tmp_path: Path) -> None:
    """Its database was put back without the key that they were made with, and `consentry init` has made another."""
    folder = tmp_path / "authority"
    prepare(folder)
    authority, channel = await start_running_authority(folder)
    settings = DevicesSettings(
        listen="127.0.0.1:0", authority=authority.address, token_file=folder / "devices.token", data_dir=tmp_path / "devices"
    )
    devices = await start_devices(settings)
    async with open_channel(devices.address) as devices_channel:
        pair = Pair(authority, devices, devices_channel, tmp_path)
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        key = await authority.key("acme")
        async with pair.watch(key.secret) as reader:
            await reader.until("synced")
            await stop(authority, channel)
            with sqlite3.connect(folder / "authority.db") as database:
                assert database.execute("DELETE FROM settings WHERE name = 'page_token_key'").rowcount == 1
            initialize(settings_of(folder))
            authority, channel = await start_running_authority(folder, listen=authority.address)
            error = await reader.error()
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEASE_LOST")
        assert retry_after(error) is not None
        await asyncio.wait_for(served_again(pair, key.secret), PATIENCE)
        async with pair.watch(key.secret, after_cursor=reader.cursor, customers=[]) as again:
            await again.until("synced")
            revoked = await authority.revoke("north", "acme")
            assert revoked.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
            await again.until("customer_removed", customer="customers/north")
        assert await healthy(devices_channel)
    await devices.stop()
    await stop(authority, channel)


async def test_it_starts_without_the_authority_and_serves_when_it_comes(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    prepare(folder)
    authority, channel = await start_running_authority(folder)
    address = authority.address
    await authority.partner("acme")
    await authority.valid_customer("north", "acme")
    key = await authority.key("acme")
    await stop(authority, channel)
    settings = DevicesSettings(
        listen="127.0.0.1:0", authority=address, token_file=folder / "devices.token", data_dir=tmp_path / "devices"
    )
    devices = await start_devices(settings)
    async with open_channel(devices.address) as devices_channel:
        pair = Pair(authority, devices, devices_channel, tmp_path)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pair.inventory.ListDevices(
                inventory_pb2.ListDevicesRequest(parent="customers/north"), metadata=bearer(key.secret), timeout=PATIENCE
            )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(caught.value).reason == "AUTHORITY_UNREACHABLE"
        assert not await healthy(devices_channel)
        authority, channel = await start_running_authority(folder, listen=address)
        await asyncio.wait_for(served_again(pair, key.secret), PATIENCE)
        assert await healthy(devices_channel)
    await devices.stop()
    await stop(authority, channel)


async def healthy(channel: Any) -> bool:
    """What a load balancer is told."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service="consentry.devices.v1.FeedService"))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
