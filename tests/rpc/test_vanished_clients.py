"""Clients that are gone without a word, behind a proxy that keeps its side of the connection: the server asks after them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import ConnectionLimits, RpcServer
from consentry_core.values.errors import ConsentryError
from support.tcp_proxy import TcpProxy

PING = 0.5


class _Everybody:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def admit(self, call: OpenCall) -> None:
        """Everybody."""

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        self.released.set()


async def _silent(request: bytes, _context: object) -> AsyncIterator[bytes]:
    yield request
    await asyncio.Event().wait()


def _add(server: grpc.aio.Server) -> None:
    handler: Any = grpc.unary_stream_rpc_method_handler(_silent)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Silent", {"Watch": handler}),))


async def test_a_client_that_vanished_frees_its_stream_and_one_that_is_silent_keeps_it() -> None:
    gate = _Everybody()
    server = RpcServer(gate, (), _add, limits=ConnectionLimits(ping=PING))
    address = await server.start("127.0.0.1:0")
    proxy = TcpProxy(address)
    await proxy.start()
    async with open_channel(proxy.address) as channel:
        watch: Any = channel.unary_stream("/test.Silent/Watch")
        call = watch(b"x")
        assert await call.read() == b"x"
        await asyncio.sleep(4 * PING)  # it answers the pings; that nothing happens can only be waited for
        assert not gate.released.is_set()
        proxy.hold()
        await asyncio.wait_for(gate.released.wait(), 10)
    await proxy.close()
    await server.stop(0)


def test_as_it_is_delivered_a_vanished_client_is_found_within_a_minute() -> None:
    options = dict(ConnectionLimits().options())
    assert options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"] <= 60_000
