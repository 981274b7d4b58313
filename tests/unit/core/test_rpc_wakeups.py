"""gRPC's wake-up bytes are taken at once: with the grpcio that is installed, and harmlessly with any other."""

import asyncio
import functools
import socket
from typing import Any

import grpc
import pytest

from consentry_core.rpc.server.wakeups import take_all_at_once


class Pair:
    """A socket pair as gRPC has one, and a reader that takes a byte of it a call."""

    def __init__(self, name: str = "_handle_events") -> None:
        self.read, self.write = socket.socketpair()
        self.read.setblocking(False)
        self.calls: list[bytes] = []

        def reader(_: Any) -> None:
            self.calls.append(self.read.recv(1))

        reader.__name__ = name
        self.reader = reader

    def close(self) -> None:
        self.read.close()
        self.write.close()


async def after_bytes(pair: Pair, count: int) -> int:
    """How often the reader is called for so many bytes."""
    loop = asyncio.get_running_loop()
    loop.add_reader(pair.read, functools.partial(pair.reader, loop))
    try:
        pair.write.send(bytes(count))
        for _ in range(2 * count):
            await asyncio.sleep(0)
        return len(pair.calls)
    finally:
        loop.remove_reader(pair.read)
        pair.close()


async def test_as_it_is_a_reader_is_called_for_each_byte() -> None:
    assert await after_bytes(Pair(), 50) == 50


async def test_grpcs_reader_is_called_once_for_all_bytes() -> None:
    take_all_at_once()
    assert await after_bytes(Pair(), 50) == 1


async def test_others_readers_are_left_alone() -> None:
    take_all_at_once()
    assert await after_bytes(Pair("_read_ready"), 50) == 50


async def test_saying_so_twice_is_saying_it_once() -> None:
    take_all_at_once()
    take_all_at_once()
    assert await after_bytes(Pair(), 50) == 1


async def test_what_is_no_socket_is_left_alone() -> None:
    """A grpcio that reads from something else is not disturbed."""
    take_all_at_once()
    pair, loop = Pair(), asyncio.get_running_loop()
    called = asyncio.Event()

    def _handle_events() -> None:
        pair.read.recv(1)
        called.set()

    loop.add_reader(pair.read.fileno(), _handle_events)
    pair.write.send(b"12")
    await called.wait()
    loop.remove_reader(pair.read.fileno())
    assert pair.read.recv(10) in {b"2", b""}
    pair.close()


async def test_the_grpcio_that_is_installed_is_one_that_this_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing is mended any more: see what has become of gRPC's reader, or take `wakeups` out if it is not needed now."""
    take_all_at_once()
    loop: Any = asyncio.get_running_loop()
    added: list[tuple[object, str]] = []
    inner = loop.add_reader._add_reader

    def noting(fd: Any, callback: Any, *args: Any) -> Any:
        added.append((fd, callback.__qualname__ if hasattr(callback, "__qualname__") else ""))
        return inner(fd, callback, *args)

    monkeypatch.setattr(loop.add_reader, "_add_reader", noting)
    server = grpc.aio.server()
    await server.start()
    await server.stop(None)
    assert any(isinstance(fd, socket.socket) and name.startswith("_all_of") for fd, name in added), added
