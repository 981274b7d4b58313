"""Takes all of gRPC's wake-up bytes at once, where gRPC takes one in each step of the event loop.

grpc.aio tells the event loop of each completed operation by one byte on a socket pair. Its reader takes one byte, and then
handles every operation that has completed. So the bytes of the others stay, and each of them costs a step of the loop in which
nothing is left to be done. The pair holds some 278 bytes (each takes a kernel buffer of its own). When it is full, the polling
thread of gRPC stands still in `write`, and from then on one completion is let in for each byte that is taken: first come, first
served, one a step. A message that arrives then, such as the change that a barrier waits for, comes after everything that had
completed before it: with a thousand streams that were just written to, hundreds of steps later. `tests/bench/wakeups.py` shows
it with gRPC alone.

So all bytes but one are taken before gRPC's reader is called, which takes the last. No completion is missed: gRPC queues it
before it writes its byte, and its reader empties the queue.

This leans on two things of grpcio that are not documented: the reader's name is `_handle_events`, and what it reads from is a
socket. Where either is not so, nothing is changed, and gRPC works as it does without this.
"""

import asyncio
import fcntl
import functools
import socket
import termios
from collections.abc import Callable
from typing import Any

_GRPC_READER = "_handle_events"
_UNLOOKED = 8
"""After a look that found a single byte, so many calls pass without one: looking is all that a quiet server pays."""


def take_all_at_once() -> None:
    """Do so in the running event loop, from when gRPC is first used in it. Call it before that; later it changes nothing."""
    loop = asyncio.get_running_loop()
    add_reader = loop.add_reader
    if isinstance(add_reader, _AddReader):
        return
    # There is no other way to come before the reader.
    loop.add_reader = _AddReader(add_reader)  # type: ignore[method-assign, assignment]


class _AddReader:
    """An event loop's `add_reader` that puts `_all_of` before gRPC's reader, and passes on whatever else is added."""

    def __init__(self, add_reader: Callable[..., Any]) -> None:
        self._add_reader = add_reader

    def __call__(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        named = callback.func if isinstance(callback, functools.partial) else callback
        if isinstance(fd, socket.socket) and getattr(named, "__name__", "") == _GRPC_READER:
            callback = _all_of(fd, callback)
        return self._add_reader(fd, callback, *args)


def _all_of(pair: socket.socket, reader: Callable[..., Any]) -> Callable[..., None]:
    """The reader of gRPC, called once for all bytes that have come."""
    number, take = pair.fileno(), pair.recv
    waiting = memoryview(bytearray(4)).cast("i")
    unlooked = 0

    def read(*args: Any) -> None:
        nonlocal unlooked
        if unlooked:
            unlooked -= 1
        else:
            fcntl.ioctl(number, termios.FIONREAD, waiting)
            if waiting[0] > 1:
                take(waiting[0] - 1)
            else:
                unlooked = _UNLOOKED
        reader(*args)

    return read
