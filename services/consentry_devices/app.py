"""The only place where the service's objects meet."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

import grpc

from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry.devices.v1.alarms_pb2_grpc import add_AlarmServiceServicer_to_server
from consentry.devices.v1.gateway_pb2_grpc import add_GatewayServiceServicer_to_server
from consentry.devices.v1.inventory_pb2_grpc import add_InventoryServiceServicer_to_server
from consentry_core import logs
from consentry_core.clock import Clock, SystemClock
from consentry_core.encoding import RandomBytes
from consentry_core.lifecycle import settle
from consentry_core.paging import PageTokens
from consentry_core.rpc.gate import Gate
from consentry_core.rpc.server import RpcServer, announce, serve_admin, signals, until_signalled
from consentry_devices.feed.log import Log
from consentry_devices.feed.ring import Ring
from consentry_devices.history import History
from consentry_devices.ingest import Ingest
from consentry_devices.rpc.alarms import AlarmServicer
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.rpc.feed import FeedServicer
from consentry_devices.rpc.gateway import GatewayServicer
from consentry_devices.rpc.inventory import InventoryServicer
from consentry_devices.rpc.messages import add_servicer
from consentry_devices.rpc.policies import POLICIES
from consentry_devices.rpc.shared import Feed
from consentry_devices.rpc.telemetry import TelemetryServicer
from consentry_devices.settings import DevicesSettings
from consentry_devices.storage.store import Store, open_store
from consentry_guard import Guard

__all__ = ["Devices", "DevicesSettings", "run", "start"]

_log = logging.getLogger(__name__)

SERVICES = [
    pb.DESCRIPTOR.services_by_name[name]
    for pb, name in (
        (alarms_pb2, "AlarmService"),
        (feed_pb2, "FeedService"),
        (gateway_pb2, "GatewayService"),
        (inventory_pb2, "InventoryService"),
        (telemetry_pb2, "TelemetryService"),
    )
]


class Devices:
    """The running service. `address` is where it serves."""

    def __init__(self, address: str, store: Store, parts: contextlib.AsyncExitStack) -> None:
        self.address = address
        self.store = store
        self._parts = parts

    async def stop(self) -> None:
        """Drain and stop: calls end, what gateways have sent is committed, the data folder is free."""
        await self._parts.aclose()


async def start(
    settings: DevicesSettings,
    *,
    clock: Clock | None = None,
    random: RandomBytes = secrets.token_bytes,
    gate: Gate | None = None,
) -> Devices:
    """Serve. SettingError when it can't as it was configured.

    The authority may be down: until it comes, calls are answered UNAVAILABLE. `gate` stands in for the guard.
    """
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as parts:  # undone in reverse: the server first, the store last
        guard = None
        if gate is None:

            def on_serving(yes: bool) -> None:
                server.set_serving(yes)  # made below, with the guard as its gate

            gate = guard = _guard(settings, clock, random, on_serving)
        store = open_store(settings.data_dir, encoder=WireEncoder(), clock=clock, random=random)
        parts.push_async_callback(store.close)
        if settings.admin_listen:
            admin = await serve_admin(settings.admin_listen)
            parts.push_async_callback(admin.stop, None)
        server = RpcServer(
            gate,
            SERVICES,
            lambda server: _add_servicers(server, store, clock, settings.data_dir),
            reflection=settings.reflection,
        )
        if guard is not None:
            parts.push_async_callback(guard.stop)
        parts.push_async_callback(server.stop)
        address = await server.start(settings.listen, healthy=guard is None)
        if guard is not None:
            await guard.start()
        _log.info("serving on %s", address)
        return Devices(address, store, parts.pop_all())
    raise AssertionError("unreachable")


def _guard(settings: DevicesSettings, clock: Clock, random: RandomBytes, on_serving: Callable[[bool], None]) -> Guard:
    return Guard(
        target=settings.authority,
        token=settings.own_token(),
        service="devices",
        policies=POLICIES,
        clock=clock,
        random=random,
        on_serving=on_serving,
    )


def _add_servicers(server: grpc.aio.Server, store: Store, clock: Clock, folder: Path) -> None:
    state, log, tokens = store.state, store.log, PageTokens(store.page_token_key)
    add_AlarmServiceServicer_to_server(AlarmServicer(state, tokens), server)
    add_GatewayServiceServicer_to_server(GatewayServicer(Ingest(log), clock), server)
    add_InventoryServiceServicer_to_server(InventoryServicer(state, tokens), server)
    telemetry = TelemetryServicer(state, History(log, state), clock)
    add_servicer(server, telemetry_pb2.DESCRIPTOR.services_by_name["TelemetryService"], telemetry)
    feed = FeedServicer(Feed(log, state, _ring(log), clock, folder), store.cursor_key)
    add_servicer(server, feed_pb2.DESCRIPTOR.services_by_name["FeedService"], feed)


def _ring(log: Log) -> Ring:
    ring = Ring(log.tail())
    log.subscribe(ring.take)
    return ring


def run(settings: DevicesSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure()
    asyncio.run(_run(settings))


async def _run(settings: DevicesSettings) -> None:
    signalled = signals()
    devices = await start(settings)
    settle()
    announce(devices.address, settings.ready_file)
    try:
        await until_signalled(signalled)
    finally:
        await devices.stop()
