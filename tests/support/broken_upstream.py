"""What nginx and Envoy make of an upstream that breaks: a bare HTTP/2 server that resets streams and answers pages.

    async with broken_upstream([message, Reset(INTERNAL_ERROR)], [Page(502)], [message, HANG]) as upstream: ...

Each list is what one call gets, whichever method it is of; those without an answer left are reset with INTERNAL_ERROR. A reset
throws away what has not been read yet, so after a message it waits for the client to say `took`.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.message import Message

NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL = 0, 2, 7, 8
HANG = object()

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING = 0, 1, 3, 4, 6
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_PREFACE = 24


@dataclass(frozen=True)
class Reset:
    """RST_STREAM with this error code."""

    code: int


@dataclass(frozen=True)
class Page:
    """A page of this HTTP status in place of gRPC's answer."""

    status: int


Step: TypeAlias = Message | Reset | Page | object


class BrokenUpstream:
    """See the module. `asked` is how many calls have come."""

    def __init__(self, answers: Sequence[Sequence[Step]]) -> None:
        self._answers = list(answers)
        self.address = ""
        self.asked = 0
        self._taken = asyncio.Semaphore(0)
        self._news = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def took(self) -> None:
        """Say that one more message was read. From any thread."""
        self._loop.call_soon_threadsafe(self._taken.release)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readexactly(_PREFACE)
            writer.write(_frame(_SETTINGS, 0, 0, b""))
            answered = 0  # with its first message, a call is answered
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind in {_SETTINGS, _PING} and not flags & _ACK:
                    writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
                if kind == _DATA and stream > answered:
                    answered = stream
                    task = asyncio.create_task(self._answer(stream, writer))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        writer.transport.abort()

    async def asked_times(self, times: int) -> None:
        """Wait until so many calls have come."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.asked >= times)

    async def close(self) -> None:
        """Hang up."""
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, stream: int, writer: asyncio.StreamWriter) -> None:
        async with self._news:
            self.asked += 1
            self._news.notify_all()
        begun = False
        for step in self._answers.pop(0) if self._answers else [Reset(INTERNAL_ERROR)]:
            match step:
                case Reset(code):
                    writer.write(_frame(_RST_STREAM, 0, stream, struct.pack(">I", code)))
                case Page(status):
                    fields = b"\x08\x03%d" % status + _field(0x0F, 31 - 15, b"text/html")
                    writer.write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, fields))
                case Message():
                    if not begun:
                        fields = b"\x88" + _field(0x0F, 31 - 15, b"application/grpc")
                        writer.write(_frame(_HEADERS, _END_HEADERS, stream, fields))
                    begun = True
                    data = step.SerializeToString()
                    writer.write(_frame(_DATA, 0, stream, b"\0" + struct.pack(">I", len(data)) + data))
                    await self._taken.acquire()


def _field(*start_and_value: int | bytes) -> bytes:
    """A header that is not indexed: the bytes of its name's index, then its value."""
    *start, value = start_and_value
    assert isinstance(value, bytes)
    return bytes(part for part in start if isinstance(part, int)) + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@contextlib.asynccontextmanager
async def broken_upstream(*answers: Sequence[Step]) -> AsyncIterator[BrokenUpstream]:
    """Serve these answers, in order, on a free port."""
    upstream = BrokenUpstream(answers)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
