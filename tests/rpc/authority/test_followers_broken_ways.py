"""The guard's and the gateway's long streams behind proxies whose upstream breaks, and on connections that fall silent."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from consentry_core.protocol.follow import LEASE_SECONDS
from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SystemClock
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from consentry_gateway.outbox.outbox import Draft, Outbox
from consentry_gateway.publishing.publisher import Publisher
from consentry_guard.follow.follower import Follower
from consentry_guard.rpc.authority import Authority
from support.authority import RunningAuthority, running_authority
from support.broken_upstream import CANCEL, INTERNAL_ERROR, REFUSED_STREAM, Page, Reset, broken_upstream
from support.pair import Pair
from support.publishing import Frame, ScriptedService, serving
from support.tcp_proxy import TcpProxy

RANDOM = random.Random(3)  # noqa: S311 - to be repeated
ENDS: list[list[Any]] = [
    [Reset(INTERNAL_ERROR)],
    [Reset(CANCEL)],
    [Reset(REFUSED_STREAM)],
    *([Page(status)] for status in (400, 401, 403, 404, 429, 500, 502, 503, 504)),
]


def draft(name: str) -> Draft:
    frame = Frame()
    frame.inventory.devices.add(name=name)
    return Draft(name, frame.SerializeToString())


@asynccontextmanager
async def proxied(address: str) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(address)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()


async def test_no_end_of_the_way_ends_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consentry_guard.rpc.authority._LONGEST_BACKOFF", 0.01)
    follower = Follower("incarnation", "service")
    async with broken_upstream(*ENDS) as upstream:
        authority = Authority(
            upstream.address, "token", follower, SystemClock(),
            applied=lambda _: None, renewing=lambda _: None, disowned=lambda: None,
        )  # fmt: skip
        authority.start()
        await upstream.asked_times(len(ENDS) + 2)
        await authority.stop()


async def test_no_end_of_the_way_ends_the_publishing(tmp_path: Path) -> None:
    async with broken_upstream(*ENDS) as upstream, publishing(tmp_path, upstream.address, silence=30.0) as publisher:
        await publisher.put([draft("a")], {})
        await upstream.asked_times(len(ENDS) + 2)


@asynccontextmanager
async def publishing(folder: Path, address: str, silence: float) -> AsyncIterator[Publisher]:
    channel = open_channel(address)
    publisher = Publisher(
        channel, lambda: "ct_secret", "gateway", Outbox(folder, RANDOM.randbytes), clock=SystemClock(), random=RANDOM.random,
        on_refused=lambda _: None, on_new_epoch=lambda: None, longest_wait=0.01, silence=silence,
    )  # fmt: skip
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await channel.close()
        publisher.close()


async def test_a_gateway_leaves_a_connection_on_which_nothing_is_acknowledged(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address, proxied(address) as proxy, publishing(tmp_path, proxy.address, 1.0) as publisher:
        async with asyncio.timeout(20):
            await publisher.put([draft("a")], {})
            await publisher.acknowledged()
            proxy.swallow()
            await publisher.put([draft("b")], {})
            await publisher.acknowledged()
    assert [frame.inventory.devices[0].name for frame in service.frames()] == ["a", "b"]
    assert proxy.accepted == 2


@pytest.mark.slow
async def test_a_guard_leaves_a_silent_connection_before_its_lease_is_lost(tmp_path: Path) -> None:
    """An open stream goes on for longer than the lease that there was, and a withdrawal is told over the new connection."""
    async with (
        running_authority(tmp_path / "authority", clock=SystemClock()) as authority,
        proxied(authority.address) as proxy,
        running_pair_through(proxy, authority, tmp_path) as pair,
    ):
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        key = await authority.key("acme")
        async with pair.watch(key.secret, heartbeat_interval=Duration(seconds=1)) as reader:
            await reader.until("synced")
            before, begun = proxy.accepted, time.monotonic()
            proxy.swallow()
            await proxy.accepted_times(before + 1)
            assert time.monotonic() - begun < LEASE_SECONDS
            while time.monotonic() - begun < LEASE_SECONDS + 1:
                await reader.until("heartbeat")
            await authority.revoke("north", "acme")
            assert (await reader.until("customer_removed")).customer_removed.customer == "customers/north"


@asynccontextmanager
async def running_pair_through(proxy: TcpProxy, authority: RunningAuthority, folder: Path) -> AsyncIterator[Pair]:
    settings = DevicesSettings(
        listen="127.0.0.1:0",
        authority=proxy.address,
        token_file=folder / "authority" / "devices.token",
        data_dir=folder / "devices",
    )
    devices = await start_devices(settings)
    try:
        async with open_channel(devices.address) as channel:
            yield Pair(authority, devices, channel, folder)
    finally:
        await devices.stop()
