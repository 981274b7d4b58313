"""A gRPC server as both services run it: gated, with health and reflection, drained before it stops."""

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_channelz.v1 import channelz

from consentry_core.observing.admin import Readiness
from consentry_core.observing.metrics import Observer
from consentry_core.process.lifecycle import ended, signals, until_signalled
from consentry_core.process.settings import SettingError
from consentry_core.process.tls import ServerTls
from consentry_core.process.transport import TransportSettings, require_address
from consentry_core.rpc.certificates import server_credentials
from consentry_core.rpc.server.connections import Connections
from consentry_core.rpc.server.doorkeeper import MAX_METADATA_BYTES, Doorkeeper, draining
from consentry_core.rpc.server.first_message import FirstMessages
from consentry_core.rpc.server.gate import Gate, GatedServer, Room
from consentry_core.rpc.server.health import Health, add_health
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.reflection import add_reflection
from consentry_core.rpc.server.turning_away import TurningAway
from consentry_core.rpc.server.wakeups import take_all_at_once
from consentry_rule import Network

__all__ = [
    "MAX_MESSAGE_BYTES",
    "AddServicers",
    "ConnectionLimits",
    "RpcServer",
    "announce",
    "connection_limits",
    "draining",
    "serve_channelz",
    "signals",
    "until_signalled",
]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    # A client may send as much as is read, and 64 kB more: with a window that grows with what it sends, a hundred streams of
    # one client that are not read as fast as it writes held 400 MB.
    ("grpc.http2.bdp_probe", 0),
    # The two are the same: between them gRPC refuses by chance.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # A second process on the same port would take half of the connections; it is told that the port is taken.
    ("grpc.so_reuseport", 0),
    # Clients ping every 20 s (see client.py); the default tolerates one ping in 5 minutes and then hangs up.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # None of our clients compresses; what others send compressed is refused by its headers: 4 kB can be 4 MB.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # gRPC keeps all that it reads of a call's metadata, however much that is, and a header in its table is named by one byte.
    ("grpc.http2.hpack_table_size.decoder", 0),
    # Otherwise only two pings are sent to a client that nothing else is sent to.
    ("grpc.http2.max_pings_without_data", 0),
    # Thousands of streams that are opened at once wait here instead of being lost.
    ("grpc.server.max_pending_requests", 5_000),
    ("grpc.server.max_pending_requests_hard_limit", 5_000),
)

AddServicers = Callable[[grpc.aio.Server], None]

_LONG_QUIET, _MOST_DRAINING = 1.0, 2.0
"""Seconds without a call before it goes down, after which a service need not wait for one; and how long it waits at most."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """For how long a connection takes new calls, and how long its open ones then have, in seconds; how many may be open.

    `ping`: seconds after which a client that is silent is asked whether it is there, and after as many again is given up.
    `connections`: how many there may be in all, at one address that is served, and of one client's address; 0 is any number of
    these. `exempt`: networks of which any number may come, such as proxies'.
    `quiet`: seconds without a new call after which none is under way any more, once the service goes down.
    """

    age: float = math.inf
    grace: float = 60.0
    calls: int = 1000
    ping: float = 20.0
    quiet: float = 0.05
    connections: int = 4_000
    connections_per_address: int = 0
    exempt: Sequence[Network] = ()

    def options(self) -> Sequence[tuple[str, int]]:
        """These limits as options of gRPC, which varies the age by up to a tenth, so that not all come back at once."""
        ping = math.ceil(self.ping * 1000)
        calls = (
            ("grpc.max_concurrent_streams", self.calls),
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.keepalive_time_ms", ping),
            ("grpc.keepalive_timeout_ms", ping),
            ("grpc.http2.ping_timeout_ms", ping),
        )
        if not 0 < self.age < math.inf:
            return calls
        age, grace = math.ceil(self.age * 1000), math.ceil(self.grace * 1000)
        return (*calls, ("grpc.max_connection_age_ms", age), ("grpc.max_connection_age_grace_ms", grace))


_LIMITS = ConnectionLimits()


def connection_limits(settings: TransportSettings, exempt: Sequence[Network] = ()) -> ConnectionLimits:
    """The limits that a service was told; none on how many connections the `exempt` networks have."""
    return ConnectionLimits(
        age=settings.connection_age or math.inf,
        grace=settings.connection_grace,
        calls=settings.connection_calls,
        quiet=settings.drain_quiet,
        connections=settings.connections,
        connections_per_address=settings.connections_per_address,
        exempt=exempt,
    )


class RpcServer:
    """One server. `gate` decides who gets in; public methods (health, reflection) pass it by."""

    def __init__(
        self,
        gate: Gate,
        services: Sequence[ServiceDescriptor],
        add_servicers: AddServicers,
        *,
        reflection: bool = True,
        limits: ConnectionLimits = _LIMITS,
        observer: Observer | None = None,
    ) -> None:
        take_all_at_once()
        self._gate = Doorkeeper(gate)
        crowded = self._gate.crowding.crowded
        self._turning_away = TurningAway()
        room = Room(self._turning_away, FirstMessages(crowded=crowded), crowded, observer)
        self._limits = limits
        self._looking: asyncio.Task[None] | None = None
        self._names = [service.full_name for service in services]
        self._server = grpc.aio.server(options=(*OPTIONS, *limits.options()))
        self.mutual_address = ""
        """Where clients show certificates, if that is an address of its own."""
        gated = cast("grpc.aio.Server", GatedServer(self._server, self._gate, room))  # what servicers need of a server
        self._health = Health(self._names)
        self._tasks: set[asyncio.Future[None]] = set()
        health = add_health(gated, self._health)
        add_servicers(gated)
        if reflection:
            add_reflection(gated, [*self._names, health])

    async def start(self, listen: str, *, missing: str = "", tls: ServerTls | None = None, mutual_listen: str = "") -> str:
        """Serve on `listen` (`host:port`, port 0 for a free one) and return the address. SettingError when that cannot be.

        With a `tls.client_ca` clients must show certificates: at `mutual_listen`, or everywhere when that is empty. (gRPC in
        Python cannot ask for one and do without.)
        """
        address = _add_port(self._server, listen, tls, demand=tls is not None and bool(tls.client_ca) and not mutual_listen)
        if mutual_listen:
            self.mutual_address = _add_port(self._server, mutual_listen, tls, demand=True)
        await self._server.start()
        if self._limits.connections_per_address:
            ports = {int(each.rpartition(":")[2]) for each in (address, self.mutual_address) if each}
            most, exempt = self._limits.connections_per_address, self._limits.exempt
            self._looking = asyncio.create_task(Connections(ports, most=most, exempt=exempt).run(), name="connections")
        await self.serving(not missing, missing)
        return address

    async def serving(self, yes: bool, cause: str = "", services: Sequence[str] = ()) -> None:
        """Tell health checks whether these services (none named: all) can do their work, as far as this cause goes."""
        await self._health.set_working(cause, yes, services)

    def set_serving(self, yes: bool, cause: str = "", services: Sequence[str] = ()) -> None:
        """Do the same as `serving`, in a task of its own: for callers that cannot await."""
        task = asyncio.ensure_future(self.serving(yes, cause, services))
        self._tasks.add(task)  # or it may be collected before it has run
        task.add_done_callback(self._tasks.discard)

    def readiness(self) -> Readiness:
        """Whether it can do its work, and what keeps it from it."""
        return Readiness((*self._health.missing(), *(("it is going down",) if self._gate.draining else ())))

    def open_calls(self) -> Collection[OpenCall]:
        """The calls that are under way."""
        return tuple(self._gate.calls)

    async def stop(self, grace: float = 3.0) -> None:
        """Drain: refuse new calls, end open ones with UNAVAILABLE, wait at most `grace` seconds for them, stop.

        Calls that have come and that no handler has seen yet are cancelled by gRPC once it stops, without a word to their
        clients. So it goes on until none has come for a moment, but not for ever: somebody may call without a pause.
        """
        await self._health.enter_graceful_shutdown()
        self._gate.draining = True
        calls = self.open_calls()
        for call in calls:
            call.end(draining(len(calls)))
        self._turning_away.finish()
        await self._until_none_comes(min(grace, _MOST_DRAINING))
        await self._server.stop(grace)
        if self._looking is not None:
            await ended(self._looking)

    async def _until_none_comes(self, longest: float) -> None:
        loop, quiet = asyncio.get_running_loop(), self._limits.quiet
        now = began = loop.time()
        if now - self._gate.last_came > max(quiet, _LONG_QUIET):
            return
        # None since the last look, and that one not long ago: in a busy loop calls wait for the loop too.
        while now - began < longest:
            looked, now = now, loop.time()
            if self._gate.last_came < looked and quiet <= now - looked < 2 * quiet:
                return
            await asyncio.sleep(quiet)


async def serve_channelz(listen: str) -> grpc.aio.Server:
    """Channelz, for operators, on a port of its own: it shows peers' addresses, so it is not for everybody's port."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    channelz.add_channelz_servicer(server)
    _add_port(server, listen)
    await server.start()
    return server


def _add_port(server: grpc.aio.Server, listen: str, tls: ServerTls | None = None, *, demand: bool = False) -> str:
    """Open the port; the address, with the number that a port 0 became."""
    require_address(listen)
    credentials = None if tls is None else server_credentials(tls, demand=demand)
    try:
        taken = server.add_insecure_port(listen) if credentials is None else server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise SettingError(f"cannot listen on {listen}: the address is taken or not this machine's; choose another") from error
    return f"{listen.rpartition(':')[0]}:{taken}"


def announce(address: str, ready_file: Path | None) -> None:
    """Write the served address into a file, if one is wanted; all at once, for whoever waits for the file to be there."""
    if ready_file is not None:
        part = ready_file.with_name(f"{ready_file.name}.part")
        part.write_text(address, encoding="utf-8")
        part.replace(ready_file)
