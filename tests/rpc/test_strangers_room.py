"""What callers may take whom nobody knows, and calls that were begun and not sent: on a real server, over real connections."""

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.errors import error_info
from consentry_core.rpc.server.first_message import FirstMessages
from consentry_core.rpc.server.gate import GatedServer, Room
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import RpcServer
from consentry_core.values import errors
from support.attackers._http2 import Connection, framed, indexed, literal, request_headers

SAY = "/test.Echo/Say"
KNOWN = (("who", "known"),)


class _Knows:
    """Lets in who says `known`."""

    def admit(self, call: OpenCall) -> None:
        if KNOWN[0] not in call.metadata:
            raise errors.Unauthenticated("the credential is not valid")
        call.caller = "somebody"

    def refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        """Nothing to let go."""


async def _echo(request: bytes, _context: object) -> bytes:
    if request == b"wait":
        await asyncio.Event().wait()
    return request


def _add(server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(_echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))


@dataclass
class Served:
    """A server, and two ways to it."""

    server: RpcServer
    address: str
    channel: grpc.aio.Channel
    answers: Counter[str]

    async def connection(self) -> Connection:
        """As an attacker has it."""
        connection = await Connection.open(self.address, self.answers)
        assert connection is not None
        return connection

    async def say(self, word: bytes = b"hello") -> bytes:
        """As somebody who is known."""
        method: Any = self.channel.unary_unary(SAY)
        return cast("bytes", await method(word, metadata=KNOWN, timeout=20))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    server = RpcServer(_Knows(), (), _add)
    address = await server.start("127.0.0.1:0")
    async with open_channel(address) as channel:
        yield Served(server, address, channel, Counter())
    await server.stop(0)


async def until(happened: Any) -> None:
    """Wait for something on the other side of a connection, of which nothing tells."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_has_no_credential_is_refused_before_its_message_is_taken(served: Served) -> None:
    connection = await served.connection()
    connection.begin(request_headers(SAY))
    await until(lambda: served.answers["UNAUTHENTICATED"])
    await connection.close()


async def test_nothing_compressed_is_taken(served: Served) -> None:
    connection = await served.connection()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = framed(packer.compress(bytes(4_000_000)) + packer.flush(), compressed=True)
    headers = request_headers(SAY, encoding="gzip") + literal(*KNOWN[0])
    for _ in range(20):
        await connection.send(connection.begin(headers), bomb)
    await until(lambda: not connection.open_streams)
    assert served.answers == {"UNIMPLEMENTED": 20}
    assert await served.say() == b"hello"
    await connection.close()


async def test_more_metadata_than_there_may_be_ends_the_connection(served: Served) -> None:
    """4 MB of it in 1.2 kB."""
    connection = await served.connection()
    headers = request_headers(SAY)
    connection.begin(headers + literal("x", "y" * 3_700, keep=True) + indexed(62) * 1_000, end=True)
    await until(lambda: connection.over)
    assert await served.say() == b"hello", "other connections stay"


async def test_a_table_for_headers_is_not_kept(served: Served) -> None:
    connection = await served.connection()
    connection.begin(request_headers(SAY) + literal("x", "y" * 3_700, keep=True), end=True)
    await until(lambda: served.answers["UNAUTHENTICATED"])
    connection.begin(request_headers(SAY) + indexed(62), end=True)
    await until(lambda: connection.over or not connection.open_streams)
    assert served.answers["UNAUTHENTICATED"] == 1
    await connection.close()


async def test_strangers_for_whom_there_is_no_place_are_hung_up_on(served: Served) -> None:
    first, second = await served.connection(), await served.connection()
    for connection in (first, second):
        for _ in range(700):
            connection.begin(request_headers(SAY), end=True)
        await connection.flush()
    await until(lambda: first.over or second.over)
    assert await served.say() == b"hello"
    for connection in (first, second):
        await connection.close()


async def test_nobody_who_is_known_is_hung_up_on_for_a_strangers_sake(served: Served) -> None:
    """Behind a proxy they share a connection."""
    shared = await served.connection()
    await shared.send(shared.begin(request_headers(SAY) + literal(*KNOWN[0])), framed(b"wait"))
    await until(lambda: any(call.caller for call in served.server.open_calls()))
    for _ in range(900):
        shared.begin(request_headers(SAY), end=True)
    other = await served.connection()
    for _ in range(900):
        other.begin(request_headers(SAY), end=True)
    await until(lambda: other.over)
    shared.begin(request_headers(SAY), end=True)
    await until(lambda: served.answers["UNAUTHENTICATED"] >= 100)
    assert not shared.over
    for connection in (shared, other):
        await connection.close()


async def test_streams_that_anybody_may_open_are_counted(served: Served) -> None:
    async def refused(call: Any) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return str(error_info(caught.value).reason)

    request = health_pb2.HealthCheckRequest()
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    watches = [health.Watch(request) for _ in range(10)]
    for watch in watches:
        await watch.read()
    assert await refused(health.Watch(request)) == "PUBLIC_STREAMS_EXCEEDED"
    assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    async with open_channel(served.address) as elsewhere:
        stub: Any = health_pb2_grpc.HealthStub(elsewhere)
        await stub.Watch(request).read()
    watches.pop().cancel()
    await until(lambda: len(served.server.open_calls()) < 10)
    await health.Watch(request).read()


class _Everybody(_Knows):
    """Lets everybody in."""

    def admit(self, call: OpenCall) -> None:
        call.caller = None


async def _waiting_for_messages(first_messages: FirstMessages) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    _add(cast("Any", GatedServer(server, _Everybody(), Room(first_messages=first_messages))))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


async def test_a_call_whose_message_does_not_come_is_ended() -> None:
    server, address = await _waiting_for_messages(FirstMessages(longest=0.05))
    answers: Counter[str] = Counter()
    connection = await Connection.open(address, answers)
    assert connection is not None
    for _ in range(3):
        connection.begin(request_headers(SAY))
    await until(lambda: not connection.open_streams)
    assert answers == {"INVALID_ARGUMENT": 3}
    await connection.close()
    await server.stop(None)


async def test_of_the_calls_whose_message_does_not_come_the_oldest_make_room() -> None:
    crowded: list[OpenCall] = []
    server, address = await _waiting_for_messages(FirstMessages(places=2, crowded=crowded.append))
    answers: Counter[str] = Counter()
    connection = await Connection.open(address, answers)
    assert connection is not None
    streams = [connection.begin(request_headers(SAY)) for _ in range(5)]
    await until(lambda: len(connection.open_streams) == 2)
    assert connection.open_streams == set(streams[-2:])
    assert len(crowded) == 3
    async with open_channel(address) as channel:
        method: Any = channel.unary_unary(SAY)
        assert await method(b"hello", timeout=10) == b"hello", "whoever sends its message is answered"
    await connection.close()
    await server.stop(None)


async def test_a_call_that_ends_without_its_message_is_told_so() -> None:
    server, address = await _waiting_for_messages(FirstMessages())
    answers: Counter[str] = Counter()
    connection = await Connection.open(address, answers)
    assert connection is not None
    connection.begin(request_headers(SAY), end=True)
    await until(lambda: answers["INVALID_ARGUMENT"])
    await connection.close()
    await server.stop(None)
