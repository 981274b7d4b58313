"""Refusals leave at a set pace; a few go at once, and nobody waits for ever."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import RpcServer
from consentry_core.rpc.server.turning_away import TurningAway
from consentry_core.values import errors


def test_a_few_go_at_once_and_the_rest_one_by_one() -> None:
    away = TurningAway(per_second=10, at_once=3, longest=5)
    assert [away.delay(100.0) for _ in range(3)] == pytest.approx([0, 0, 0])
    assert [away.delay(100.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    assert [away.delay(200.0) for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])


def test_nobody_waits_longer_than_the_longest() -> None:
    away = TurningAway(per_second=10, at_once=1, longest=2)
    assert max(away.delay(0.0) for _ in range(1_000)) == 2.0
    assert away.delay(2.0) == pytest.approx(0.1)


async def test_those_for_whom_there_is_no_place_are_answered_at_once() -> None:
    away = TurningAway(per_second=0.001, at_once=0, places=1)
    first = asyncio.create_task(away.wait_turn())
    await asyncio.sleep(0)
    await asyncio.wait_for(away.wait_turn(), 1)
    assert not first.done()
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(away.wait_turn())
    await asyncio.sleep(0)
    assert not second.done()
    second.cancel()


class _Known:
    """Lets in who says `known`."""

    async def admit(self, call: OpenCall) -> None:
        if ("who", "known") not in call.metadata:
            raise errors.Unauthenticated("the credential is not valid")

    def refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        """Nothing to let go."""


async def _echo(request: bytes, _context: object) -> bytes:
    return request


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    def add(server: grpc.aio.Server) -> None:
        handlers: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(_echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))

    server = RpcServer(_Known(), (), add, reflection=False)
    address = await server.start("127.0.0.1:0")
    async with open_channel(address) as opened:
        yield opened
    await server.stop(0)


async def test_who_is_let_in_does_not_wait_for_those_who_are_turned_away(channel: grpc.aio.Channel) -> None:
    """300 refusals take two seconds, of which none is the others'."""
    say: Any = channel.unary_unary("/test.Echo/Say")

    async def stranger() -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await say(b"")
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED

    began = time.monotonic()
    strangers = [asyncio.create_task(stranger()) for _ in range(300)]
    async with asyncio.timeout(30):
        while sum(task.done() for task in strangers) < 100:  # noqa: ASYNC110 - those who need not wait
            await asyncio.sleep(0.01)
        assert await say(b"hello", metadata=(("who", "known"),)) == b"hello"
        assert not all(task.done() for task in strangers)
        await asyncio.gather(*strangers)
    assert time.monotonic() - began >= 1.5
