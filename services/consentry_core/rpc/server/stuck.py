"""Clients that have stopped reading: hung up on once a write has been stuck for too long, so that what they hold is freed.

A write that waits for its client holds the call, its message, and what the transport has buffered of it. Nothing that gRPC
offers a server frees that while the client does not read: `abort` queues the status behind the message, and a handler that is
cancelled leaves both the message and the client where they are (tried with a hundred readers of 4 MB each). Ending the
connection does, at once, whatever the client does: it gets UNAVAILABLE when it looks, and resumes after its last cursor. Its
other calls on this connection end as well, and come back likewise.

A client that is gone altogether, or stopped, is no different.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import unquote

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.clock import SECOND, BootTime, Clock
from consentry_core.values.errors import Unavailable

_log = logging.getLogger(__name__)
_OPEN_FILES = Path("/dev/fd")  # Linux and macOS
_LOOKS = 4  # within the limit


class StuckWrites:
    """Looks after the calls of a server. `limit`: seconds, and at most a quarter more, that a write may be stuck."""

    def __init__(self, calls: Callable[[], Iterable[OpenCall]], clock: Clock, limit: float) -> None:
        self._calls = calls
        self._clock = clock
        self._limit = limit
        self._stuck: dict[OpenCall, tuple[int, BootTime]] = {}

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        while True:
            late = self.look()
            for call in late:
                call.end(
                    Unavailable("you have stopped reading; open the call again after the last cursor", reason="CLIENT_STUCK")
                )
                _log.warning("a client has stopped reading: hanging up; peer=%s method=%s", call.context.peer(), call.method)
            if late:
                hang_up({call.context.peer() for call in late})
            await asyncio.sleep(self._limit / _LOOKS)

    def look(self) -> Sequence[OpenCall]:
        """The calls that have been in one and the same write for too long, by what was seen whenever this was asked."""
        now, before, self._stuck = self._clock.boot(), self._stuck, {}
        for call in self._calls():
            if call.stuck_in_write:
                number, since = before.get(call, (call.writes, now))
                self._stuck[call] = (number, since) if number == call.writes else (call.writes, now)
        return [call for call, (_, since) in self._stuck.items() if now - since >= self._limit * SECOND]


def _stuck() -> Unavailable:
    return Unavailable("the client has stopped reading; open the call again after the last cursor", reason="CLIENT_STUCK")


def hang_up(peers: Iterable[str]) -> None:
    """End this process's TCP connections to these peers, named as gRPC names them."""
    wanted = {_endpoint(unquote(peer).partition(":")[2]) for peer in peers} - {None}
    for endpoint, connection in connected_sockets():
        if endpoint in wanted:
            with contextlib.suppress(OSError):  # gone meanwhile
                connection.shutdown(socket.SHUT_RDWR)


def connected_sockets(ports: Collection[int] = ()) -> Iterator[tuple[tuple[str, int], socket.socket]]:
    """This process's TCP connections, with the address and port of the other side; if given, those of these own ports only.

    Each socket is open until the next one is asked for.
    """
    try:
        descriptors = [int(file.name) for file in _OPEN_FILES.iterdir()]
    except OSError as error:  # too many open files, say: the next look comes soon
        _log.error("cannot look at the connections: %s", error)
        return
    for descriptor in descriptors:
        connection = _socket(descriptor)
        if connection is None:
            continue
        with connection:
            try:
                address, own = connection.getpeername(), connection.getsockname()
            except OSError:  # not connected (any longer)
                continue
            if not isinstance(address, tuple) or (ports and own[1] not in ports):
                continue
            endpoint = _endpoint(f"[{address[0]}]:{address[1]}")
            if endpoint is not None:
                yield endpoint, connection


def _socket(descriptor: int) -> socket.socket | None:
    """A socket by a descriptor of our own: gRPC may close its one meanwhile, and the number would be another file's.

    No other file is ever opened anew: closing any descriptor of a file lets go of all locks that the process holds on it, and
    SQLite's would be gone. (Another process, a backup, would then take the database for one that nobody uses.)
    """
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        own = os.dup(descriptor)
        if not stat.S_ISSOCK(os.fstat(own).st_mode):
            return None  # the number became a file's in between; so it stays open
        return socket.socket(fileno=own)
    except OSError:
        return None


def _endpoint(text: str) -> tuple[str, int] | None:
    """Address and port of `1.2.3.4:5` or `[::1]:5`; an IPv4 address that comes as an IPv6 one is the IPv4 one."""
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address), int(port)
