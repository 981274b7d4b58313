"""HTTP/2 as an attacker writes it: frames that gRPC's own client would never send, and as few of them as do the harm.

    connection = await Connection.open(address, answers)
    stream = connection.begin(request_headers(path) + literal("x", "y"))        # headers, and no message
    await connection.send(stream, framed(b"...", compressed=True))
    connection.close()

How the server answers is counted in `answers`: statuses by name, `RESET` for a stream that was reset, `HUNG_UP` for a
connection that was ended, `REFUSED` for one that was not accepted.
"""

import asyncio
import contextlib
import struct
from collections import Counter

import grpc

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_CONTINUATION, _LARGEST_FRAME = 9, 16_384
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_HEADER_TABLE_SIZE, _INITIAL_WINDOW_SIZE = 1, 4
_NAME_OF = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}
_STATUS = b"grpc-status"
FIRST_OF_TABLE = 62
"""The index of what was put into the dynamic table last."""


def literal(name: str, value: str, *, keep: bool = False) -> bytes:
    """A header as it is; `keep` puts it into the server's dynamic table."""
    return bytes([0x40 if keep else 0]) + _text(name) + _text(value)


def indexed(index: int) -> bytes:
    """A header out of the table: one byte, whatever its size."""
    return _integer(0x80, 7, index)


def request_headers(path: str, *, encoding: str = "") -> bytes:
    """What every gRPC call begins with."""
    block = b"\x83\x86" + bytes([0x04]) + _text(path) + bytes([0x01]) + _text("localhost")
    block += literal("content-type", "application/grpc") + literal("te", "trailers")
    return block + (literal("grpc-encoding", encoding) if encoding else b"")


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message on the wire."""
    return struct.pack(">BI", compressed, len(message)) + message


class Connection:
    """One connection; see above."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Counter[str]) -> None:
        self._reader, self._writer, self._answers = reader, writer, answers
        self._window, self._opened = 65_535, asyncio.Event()
        self._last = -1
        self.open_streams: set[int] = set()
        """Those that were not answered yet."""
        self.over = False
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, address: str, answers: Counter[str]) -> "Connection | None":
        """A connection; None when it is refused."""
        host, _, port = address.rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            answers["REFUSED"] += 1
            return None
        # Without a table of the server's own its statuses can be read where they stand.
        settings = struct.pack(">HIHI", _HEADER_TABLE_SIZE, 0, _INITIAL_WINDOW_SIZE, 2**31 - 1)
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
        return cls(reader, writer, answers)

    def begin(self, block: bytes, *, end: bool = False) -> int:
        """A stream with these headers. `end`: nothing follows."""
        self._last += 2
        self.open_streams.add(self._last)
        first, rest = block[:_LARGEST_FRAME], block[_LARGEST_FRAME:]
        flags = (0 if rest else _END_HEADERS) | (_END_STREAM if end else 0)
        self._writer.write(_frame(_HEADERS, flags, self._last, first))
        while rest:
            piece, rest = rest[:_LARGEST_FRAME], rest[_LARGEST_FRAME:]
            self._writer.write(_frame(_CONTINUATION, 0 if rest else _END_HEADERS, self._last, piece))
        return self._last

    async def send(self, stream: int, content: bytes, *, end: bool = True) -> None:
        """Data on a stream, once the server lets it in."""
        while self._window < len(content) and not self.over:
            self._opened.clear()
            await self._opened.wait()
        self._window -= len(content)
        self._writer.write(_frame(_DATA, _END_STREAM if end else 0, stream, content))
        await self.flush()

    async def flush(self) -> None:
        """Wait until what was written has left."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def reset(self, stream: int) -> None:
        """Give a stream up."""
        self.open_streams.discard(stream)
        self._writer.write(_frame(_RST_STREAM, 0, stream, struct.pack(">I", 8)))

    async def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
                stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
                self._heard(kind, flags, stream, await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            self._answers["HUNG_UP"] += 1
        finally:
            self.over = True
            self._opened.set()
            self._writer.transport.abort()

    def _heard(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self._writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._writer.write(_frame(_PING, _ACK, 0, content))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(content)
            self._opened.set()
        elif kind == _HEADERS and flags & _END_STREAM:
            self._ended(stream, _status(content))
        elif kind == _RST_STREAM:
            self._ended(stream, "RESET")

    def _ended(self, stream: int, how: str) -> None:
        if stream in self.open_streams:  # gRPC resets one that it has answered before its client was done
            self.open_streams.discard(stream)
            self._answers[how] += 1


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def _integer(first: int, bits: int, number: int) -> bytes:
    """HPACK's integers: so many bits of the first byte, whose others are given, and seven of each that follows."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    out, number = bytearray([first | most]), number - most
    while number >= 128:
        out.append(number % 128 | 128)
        number //= 128
    return bytes([*out, number])


def _text(text: str) -> bytes:
    content = text.encode()
    return _integer(0, 7, len(content)) + content


def _status(block: bytes) -> str:
    at = block.find(_STATUS)
    if at < 0:
        return "NO_STATUS"
    at += len(_STATUS)
    return _NAME_OF.get(block[at + 1 : at + 1 + block[at]], "NO_STATUS")
