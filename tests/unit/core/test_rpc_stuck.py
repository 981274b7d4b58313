"""A client that has stopped reading is hung up on, whatever it does; others notice nothing. On real connections."""

import asyncio
import contextlib
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import RpcServer
from consentry_core.rpc.server.stuck import StuckWrites, connected_sockets, hang_up
from consentry_core.values.errors import ConsentryError
from support.clocks import FakeClock

LIMIT = 60


class OpenGate:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.admitted: list[OpenCall] = []
        self.released = asyncio.Event()

    async def admit(self, call: OpenCall) -> None:
        self.admitted.append(call)

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        self.released.set()


async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
    while True:
        yield bytes(200_000)


def add_flood(server: grpc.aio.Server) -> None:
    handler: Any = grpc.unary_stream_rpc_method_handler(flood)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Flood", {"Flood": handler}),))


@contextlib.asynccontextmanager
async def serving(gate: OpenGate, host: str = "127.0.0.1") -> AsyncIterator[tuple[RpcServer, str]]:
    server = RpcServer(gate, [], add_flood)
    try:
        yield server, await server.start(f"{host}:0")
    finally:
        await server.stop(grace=1)


def open_call(channel: grpc.aio.Channel) -> Any:
    method: Any = channel.unary_stream("/test.Flood/Flood")
    return method(b"")


async def until_stuck(call: OpenCall) -> None:
    """Until the transport takes no more of it. Nothing tells of it: looks again."""
    writes = -1
    async with asyncio.timeout(10):
        while not (call.stuck_in_write and call.writes == writes):
            writes = call.writes
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_stuck_client_is_hung_up_on_and_nobody_else(host: str) -> None:
    gate, clock = OpenGate(), FakeClock()
    async with serving(gate, host) as (server, address), open_channel(address) as stalling, open_channel(address) as reading:
        stalled = open_call(stalling)
        await stalled.read()
        read = open_call(reading)
        await read.read()
        stuck, slow = gate.admitted
        await until_stuck(stuck)
        writes = StuckWrites(server.open_calls, clock, LIMIT)
        assert writes.look() == []
        clock.advance(LIMIT - 1)
        begun = slow.writes
        while slow.writes == begun:
            await read.read()
        assert writes.look() == []
        clock.advance(1)
        assert writes.look() == [stuck]
        hang_up([stuck.context.peer()])
        await asyncio.wait_for(gate.released.wait(), 5)
        assert tuple(server.open_calls()) == (slow,)
        assert await asyncio.wait_for(stalled.code(), 5) is grpc.StatusCode.UNAVAILABLE
        assert len(await asyncio.wait_for(read.read(), 5)) == 200_000
        read.cancel()
    await server.stop(grace=1)


async def test_the_watch_over_writes_hangs_up_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    gate = OpenGate()
    async with serving(gate) as (server, address), open_channel(address) as channel:
        call = open_call(channel)
        await call.read()
        await until_stuck(gate.admitted[0])
        clock = FakeClock()
        writes = StuckWrites(server.open_calls, clock, 0.02)
        writes.look()
        clock.advance(1)
        watching = asyncio.create_task(writes.run())
        await asyncio.wait_for(gate.released.wait(), 5)
        watching.cancel()
        assert "has stopped reading" in caplog.text


@pytest.mark.parametrize("peer", ["unix:/tmp/socket", "ipv4:127.0.0.1:1", "ipv6:%5B::1%5D:1", "", "nonsense"])
def test_who_is_not_connected_is_not_hung_up_on(peer: str) -> None:
    hang_up([peer])


def test_looking_at_connections_lets_go_of_no_lock_on_a_file(tmp_path: Path) -> None:
    """A process that closes any descriptor of a file loses all its locks on it. SQLite's are such locks."""
    database = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (a)")
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0],
    ):
        assert list(connected_sockets())
    # Another process that opens and closes it is not the last one: the -wal stays.
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM t').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", look, str(tmp_path / "locked.db")], check=True)
    assert (tmp_path / "locked.db-wal").exists()
    database.close()
