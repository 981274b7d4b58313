"""How many connections a server takes: of one address, and in all. On real connections."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from consentry_core.rpc.server.connections import Connections
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.serving import ConnectionLimits, RpcServer
from consentry_core.values.errors import ConsentryError


class _Everybody:
    """Lets everybody in."""

    def admit(self, call: OpenCall) -> None:
        """Everybody."""

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        """Nothing to let go."""


def _add(server: Any) -> None:
    """No method: what is counted is connections."""


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is there: the server has greeted."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    try:
        await reader.readexactly(9)
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
        raise
    return reader, writer


async def _hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.3):
            while await reader.read(65_536):
                pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("exempt", [(), (ip_network("127.0.0.0/8"),)], ids=["stranger", "proxy"])
async def test_of_one_address_those_that_came_last_are_hung_up_on(exempt: Any) -> None:
    server = RpcServer(_Everybody(), (), _add)
    address = await server.start("127.0.0.1:0")
    connections = Connections({int(address.rpartition(":")[2])}, most=3, exempt=exempt)
    opened = [await _open(address) for _ in range(3)]
    assert connections.look() == {}
    opened += [await _open(address) for _ in range(2)]
    assert connections.look() == ({} if exempt else {"127.0.0.1": 2})
    hung_up = await asyncio.gather(*(_hung_up(reader) for reader, _ in opened))
    assert hung_up == [False] * 3 + [not exempt] * 2
    for _, writer in opened:
        writer.close()
    await server.stop(0)


async def test_of_more_than_there_may_be_in_all_none_is_taken() -> None:
    server = RpcServer(_Everybody(), (), _add, limits=ConnectionLimits(connections=2))
    address = await server.start("127.0.0.1:0")
    opened = [await _open(address) for _ in range(2)]
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await _open(address)
    for _, writer in opened:
        writer.close()
    await server.stop(0)
