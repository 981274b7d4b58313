"""The only place where the service's objects meet."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry.devices.v1.alarms_pb2_grpc import add_AlarmServiceServicer_to_server
from consentry.devices.v1.gateway_pb2_grpc import add_GatewayServiceServicer_to_server
from consentry.devices.v1.inventory_pb2_grpc import add_InventoryServiceServicer_to_server
from consentry_core.callers.policy import Caller
from consentry_core.observing.metrics import Metrics
from consentry_core.observing.serving import seen
from consentry_core.pacing.turns import Turns
from consentry_core.process import logs
from consentry_core.process.lifecycle import ended, settle
from consentry_core.rpc.certificates import RequiredCertificates
from consentry_core.rpc.server.gate import Gate
from consentry_core.rpc.server.peers import trusted_proxies
from consentry_core.rpc.server.serving import RpcServer, announce, connection_limits, serve_channelz, signals, until_signalled
from consentry_core.rpc.server.stuck import StuckWrites
from consentry_core.sql.probing import probe_writes
from consentry_core.values.clock import SECOND, Clock, SystemClock
from consentry_core.values.encoding import RandomBytes
from consentry_core.values.paging import PageTokens
from consentry_devices.history.ranges import History, Work
from consentry_devices.ingest.streams import Ingest
from consentry_devices.log.retention import Retention
from consentry_devices.log.ring import Ring
from consentry_devices.rpc.alarms import AlarmServicer
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.rpc.gateway.gateway import GatewayServicer
from consentry_devices.rpc.inventory import InventoryServicer
from consentry_devices.rpc.messages import add_servicer
from consentry_devices.rpc.policies import POLICIES
from consentry_devices.rpc.reading import Pages, lane
from consentry_devices.rpc.telemetry.history_gaps import HistoryGaps
from consentry_devices.rpc.telemetry.telemetry import TelemetryServicer
from consentry_devices.rpc.watch.feed import FeedServicer
from consentry_devices.rpc.watch.shared import Feed
from consentry_devices.settings import DevicesSettings
from consentry_devices.storage.store import Store, open_store
from consentry_guard import Guard

__all__ = ["Devices", "DevicesSettings", "run", "start"]

_log = logging.getLogger(__name__)
_WORKSHOP = 2  # threads for what takes long: more of them only keep the event loop waiting
_NO_LEASE = "it has no lease from the authority"
DAY = 24 * 60 * 60 * SECOND

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
    """The running service. `address` is where it serves, `mutual_address` where it asks for certificates, if elsewhere.

    `admin_address`: where it is seen by those who run it, if anywhere.
    """

    def __init__(
        self,
        address: str,
        store: Store,
        parts: contextlib.AsyncExitStack,
        *,
        mutual_address: str = "",
        admin_address: str = "",
    ) -> None:
        self.address = address
        self.mutual_address = mutual_address
        self.admin_address = admin_address
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
    tls = settings.server_tls(settings.listen, settings.channelz_listen)
    async with contextlib.AsyncExitStack() as parts:  # undone in reverse: the server first, the store last
        guard = None
        if gate is None:

            def on_serving(yes: bool) -> None:
                server.set_serving(yes, _NO_LEASE)  # made below, with the guard as its gate

            gate = guard = _guard(settings, clock, random, on_serving)
        store = open_store(settings.data_dir, encoder=WireEncoder(), clock=clock, random=random, lane=lane)
        parts.push_async_callback(store.close)
        parts.push_async_callback(ended, asyncio.create_task(_retention(settings, store, clock).run(), name="retention"))
        if settings.channelz_listen:
            channelz = await serve_channelz(settings.channelz_listen)
            parts.push_async_callback(channelz.stop, None)
        workshop = Turns("workshop", threads=_WORKSHOP)
        parts.callback(workshop.close)
        ingest = Ingest(store.log, clock, settings.quotas())
        ring = Ring(store.log.tail(), max_bytes=settings.ring_mib * 1024 * 1024)
        store.log.subscribe(ring.take)
        add_servicers = partial(
            _add_servicers,
            store=store,
            ingest=ingest,
            ring=ring,
            work=_off_the_loop(workshop),
            clock=clock,
            random=random,
            folder=settings.data_dir,
        )
        metrics = Metrics() if settings.admin_listen else None
        server = RpcServer(
            gate,
            SERVICES,
            add_servicers,
            reflection=settings.reflection,
            limits=connection_limits(settings, trusted_proxies(settings.trusted_proxies)),
            observer=metrics,
        )
        if metrics is not None:
            metrics.looked_at("consentry_log_entries", "Entries that the log has numbered.", store.log.tail)
            metrics.looked_at("consentry_calls_open", "Calls under way.", lambda: len(server.open_calls()))
        admin_address = await parts.enter_async_context(seen(settings.admin_listen, metrics, server.readiness))
        if guard is not None:
            parts.push_async_callback(guard.stop)
        parts.push_async_callback(server.stop)
        stuck = StuckWrites(server.open_calls, clock, settings.write_timeout)
        parts.push_async_callback(ended, asyncio.create_task(stuck.run(), name="stuck-writes"))
        writing = ["consentry.devices.v1.GatewayService"]
        tell = partial(server.set_serving, cause="the database cannot be written", services=writing)
        parts.push_async_callback(ended, asyncio.create_task(probe_writes(store.database, tell), name="probe-writes"))
        address = await server.start(
            settings.listen, missing=_NO_LEASE if guard else "", tls=tls, mutual_listen=settings.mutual_listen
        )
        if guard is not None:
            await guard.start()
        _log.info("serving on %s", address)
        return Devices(address, store, parts.pop_all(), mutual_address=server.mutual_address, admin_address=admin_address)
    raise AssertionError("unreachable")


def _retention(settings: DevicesSettings, store: Store, clock: Clock) -> Retention:
    age = settings.retention_days * DAY
    return Retention(store.log, store.tidying, clock, age=age, size=settings.retention_bytes)


def _off_the_loop(workshop: Turns) -> Work:
    """Work in turns, by who asks for it."""

    async def work(what: Callable[[], Any]) -> Any:
        return await workshop.run(what, lane=lane())

    return work


def _guard(settings: DevicesSettings, clock: Clock, random: RandomBytes, on_serving: Callable[[bool], None]) -> Guard:
    gateways = settings.names_of(settings.gateway_clients, "--gateway-clients")
    return Guard(
        target=settings.authority,
        tls=settings.to_authority(),
        plaintext=settings.plaintext,
        certificates=RequiredCertificates(POLICIES, Caller.GATEWAY, gateways, flag="--gateway-clients"),
        token=settings.own_token(),
        service="devices",
        policies=POLICIES,
        clock=clock,
        random=random,
        on_serving=on_serving,
        accesses=settings.data_dir / "accesses",
        trusted_proxies=trusted_proxies(settings.trusted_proxies),
        streams_per_key=settings.streams_per_key,
    )


def _add_servicers(
    server: grpc.aio.Server,
    *,
    store: Store,
    ingest: Ingest,
    ring: Ring,
    work: Work,
    clock: Clock,
    random: RandomBytes,
    folder: Path,
) -> None:
    state, log = store.state, store.log
    pages = Pages(PageTokens(store.page_token_key), work)
    feed = Feed(log, state, ring, clock, folder)
    add_AlarmServiceServicer_to_server(AlarmServicer(state, pages), server)
    add_GatewayServiceServicer_to_server(GatewayServicer(ingest, clock, work), server)
    add_InventoryServiceServicer_to_server(InventoryServicer(state, pages), server)
    telemetry = TelemetryServicer(
        state, History(log, state, work), HistoryGaps(log, state), pages=pages, turns=feed.turns, clock=clock, random=random
    )  # fmt: skip
    add_servicer(server, telemetry_pb2.DESCRIPTOR.services_by_name["TelemetryService"], telemetry)
    add_servicer(server, feed_pb2.DESCRIPTOR.services_by_name["FeedService"], FeedServicer(feed, store.cursor_key))


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
