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
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from consentry_core.errors import ConsentryError, Unavailable
from consentry_core.lifecycle import signals, until_signalled
from consentry_core.returning import return_after
from consentry_core.rpc.certificates import server_credentials
from consentry_core.rpc.gate import Gate, GatedServer
from consentry_core.rpc.open_call import Later, OpenCall
from consentry_core.rpc.policy import PUBLIC_METHODS
from consentry_core.rpc.reflection import add_reflection
from consentry_core.settings import SettingError
from consentry_core.tls import ServerTls
from consentry_core.transport import TransportSettings, require_address

__all__ = [
    "MAX_MESSAGE_BYTES",
    "AddServicers",
    "ConnectionLimits",
    "RpcServer",
    "announce",
    "connection_limits",
    "draining",
    "serve_admin",
    "signals",
    "until_signalled",
]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 8 * 1024

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
    # Thousands of streams that are opened at once wait here instead of being lost.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)

AddServicers = Callable[[grpc.aio.Server], None]


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """For how long a connection takes new calls, and how long its open ones then have, in seconds; how many may be open."""

    age: float = math.inf
    grace: float = 60.0
    calls: int = 1000

    def options(self) -> Sequence[tuple[str, int]]:
        """As gRPC takes them. It lengthens or shortens the age by up to a tenth, so that not everybody comes back at once."""
        calls = (("grpc.max_concurrent_streams", self.calls),)
        if not 0 < self.age < math.inf:
            return calls
        age, grace = math.ceil(self.age * 1000), math.ceil(self.grace * 1000)
        return (*calls, ("grpc.max_connection_age_ms", age), ("grpc.max_connection_age_grace_ms", grace))


_LIMITS = ConnectionLimits()


def connection_limits(settings: TransportSettings) -> ConnectionLimits:
    """The limits that a service was told."""
    return ConnectionLimits(
        age=settings.connection_age or math.inf, grace=settings.connection_grace, calls=settings.connection_calls
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
    ) -> None:
        self._gate = _Doorkeeper(gate)
        self._names = [service.full_name for service in services]
        self._server = grpc.aio.server(options=(*OPTIONS, *limits.options()))
        self.mutual_address = ""
        """Where clients show certificates, if that is an address of its own."""
        gated = cast("grpc.aio.Server", GatedServer(self._server, self._gate))  # what servicers need of a server
        self._health = HealthServicer()
        self._tasks: set[asyncio.Future[None]] = set()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, gated)
        add_servicers(gated)
        if reflection:
            health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            add_reflection(gated, [*self._names, health])

    async def start(self, listen: str, *, healthy: bool = True, tls: ServerTls | None = None, mutual_listen: str = "") -> str:
        """Serve on `listen` (`host:port`, port 0 for a free one) and return the address. SettingError when that cannot be.

        With a `tls.client_ca` clients must show certificates: at `mutual_listen`, or everywhere when that is empty. (gRPC in
        Python cannot ask for one and do without.)
        """
        address = _add_port(self._server, listen, tls, demand=tls is not None and bool(tls.client_ca) and not mutual_listen)
        if mutual_listen:
            self.mutual_address = _add_port(self._server, mutual_listen, tls, demand=True)
        await self._server.start()
        await self.serving(healthy)
        return address

    async def serving(self, yes: bool) -> None:
        """Tell health checks whether this service can do its work."""
        state = health_pb2.HealthCheckResponse.SERVING if yes else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, state)

    def set_serving(self, yes: bool) -> None:
        """`serving`, for who cannot wait."""
        task = asyncio.ensure_future(self.serving(yes))
        self._tasks.add(task)  # or it may be collected before it has run
        task.add_done_callback(self._tasks.discard)

    def open_calls(self) -> Collection[OpenCall]:
        """The calls that are under way."""
        return tuple(self._gate.calls)

    async def stop(self, grace: float = 3.0) -> None:
        """Drain: refuse new calls, end open ones with UNAVAILABLE, wait at most `grace` seconds for them, stop."""
        await self._health.enter_graceful_shutdown()
        self._gate.draining = True
        calls = self.open_calls()
        for call in calls:
            call.end(draining(len(calls)))
        await self._server.stop(grace)


class _Doorkeeper:
    """A gate that knows which calls are open, lets public methods pass, and lets nobody in while draining."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.calls: set[OpenCall] = set()
        self.draining = False

    def admit(self, call: OpenCall) -> Later:
        """See `Gate.admit`. Registered first, so that a drain between admission and answer is not missed."""
        self.calls.add(call)
        if self.draining:
            raise draining()
        return None if call.method in PUBLIC_METHODS else self._gate.admit(call)

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """See `Gate.refused`."""
        if call.method not in PUBLIC_METHODS:
            self._gate.refused(call, error)

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""
        self.calls.discard(call)
        if call.method not in PUBLIC_METHODS:
            self._gate.release(call)


def draining(calls: int = 1) -> ConsentryError:
    """What one of so many calls is told when the service goes down."""
    return Unavailable(
        "the service is going down; open the call again, elsewhere or a little later",
        retry_after=return_after(calls),
        reason="DRAINING",
    )


async def serve_admin(listen: str) -> grpc.aio.Server:
    """Channelz, for operators, on a port of its own: it shows peers' addresses, so it is not for everybody's port."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    channelz.add_channelz_servicer(server)
    _add_port(server, listen)
    await server.start()
    return server


def _add_port(server: grpc.aio.Server, listen: str, tls: ServerTls | None = None, *, demand: bool = False) -> str:
    """The address that it has become."""
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
