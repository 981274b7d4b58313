"""Who is known, and far over its bounds, loses the connections on which it goes on; nobody else does. Over real connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.server import crowding
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import RpcServer
from consentry_core.values import errors
from support.attackers._http2 import Connection, framed, literal, request_headers

SAY = "/test.Echo/Say"
PATIENCE = 20


class _Bounds:
    """Lets in who says who it is. `greedy` is over its bounds with whatever it asks."""

    reason = "TOO_MANY"

    def admit(self, call: OpenCall) -> None:
        who = next((str(value) for name, value in call.metadata if name == "who"), "")
        call.caller = call.known_as = who
        if who.startswith("greedy"):
            raise errors.ResourceExhausted("too many", reason=self.reason)

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
    """A server, and who calls it."""

    gate: _Bounds
    server: RpcServer
    address: str
    channel: grpc.aio.Channel
    answers: Counter[str]

    async def connection(self) -> Connection:
        """As an attacker has it."""
        connection = await Connection.open(self.address, self.answers)
        assert connection is not None
        return connection

    async def say(self, who: str, word: bytes = b"hello") -> Any:
        """As somebody whose client is ours."""
        method: Any = self.channel.unary_unary(SAY)
        return await method(word, metadata=(("who", who),), timeout=PATIENCE)


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(crowding, "_SECONDS", 1)
    monkeypatch.setattr(crowding, "_MANY", 50)  # on however slow a machine
    gate = _Bounds()
    server = RpcServer(gate, (), _add)
    address = await server.start("127.0.0.1:0")
    async with open_channel(address) as channel:
        yield Served(gate, server, address, channel, Counter())
    await server.stop(0)


async def insist(connection: Connection, until: Callable[[], bool]) -> None:
    """Ask again and again as `greedy`, until that has happened."""
    block = request_headers(SAY) + literal("who", "greedy")
    async with asyncio.timeout(PATIENCE):
        while not until():
            for _ in range(100 - len(connection.open_streams) if not connection.over else 0):
                connection.begin(block, end=True)
            await connection.flush()
            await asyncio.sleep(0.005)


async def test_who_insists_is_hung_up_on_and_who_comes_back_and_insists_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await served.connection()
    await insist(first, lambda: first.over)
    assert await served.say("honest") == b"hello", "from the same address"
    monkeypatch.setattr(crowding, "_MANY", 10**6)  # what it does from here on would be no reason by itself
    second = await served.connection()
    await insist(second, lambda: second.over)


async def test_a_connection_on_which_little_is_refused_stays(served: Served) -> None:
    first = await served.connection()
    await insist(first, lambda: first.over)
    for _ in range(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.say("greedy")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await served.say("honest") == b"hello"


async def test_a_connection_that_somebody_else_uses_too_stays(served: Served) -> None:
    """Behind a proxy they share it."""
    shared, own = await served.connection(), await served.connection()
    await shared.send(shared.begin(request_headers(SAY) + literal("who", "honest")), framed(b"wait"))
    await insist(own, lambda: own.over)
    before = served.answers["RESOURCE_EXHAUSTED"]
    await insist(shared, lambda: shared.over or served.answers["RESOURCE_EXHAUSTED"] > before + 5 * crowding._MANY)
    assert not shared.over
    await shared.close()


async def test_refusals_that_are_nobodys_fault_do_not_count(served: Served) -> None:
    served.gate.reason = "ARGON2_POOL_FULL"
    connection = await served.connection()
    await insist(connection, lambda: connection.over or served.answers["RESOURCE_EXHAUSTED"] > 8 * crowding._MANY)
    assert not connection.over
    await connection.close()
